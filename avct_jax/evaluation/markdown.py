"""A report as Markdown."""

from collections.abc import Mapping
from typing import Any

ARROWS = {"lower": "↓", "higher": "↑", "zero": "→0", "truth": "→real"}
NEAREST = {"zero", "truth"}

Report = Mapping[str, Any]


def table(report: Report) -> str:
    """One row a system, one column a measure that any system has; the best generated system is bold."""
    measures = shown_measures(report)
    head = ["system", *(f"{m['title']} {ARROWS[m['better']]}" for m in measures), "films"]
    best = {m["key"]: best_of(report, m) for m in measures}
    rows = []
    for system in report["systems"]:
        cells = [cell(system, m) for m in measures]
        marked = [
            f"**{c}**" if best[m["key"]] == system["key"] else c for c, m in zip(cells, measures, strict=True)
        ]
        rows.append([system["title"], *marked, str(system["films"])])
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def document(report: Report) -> str:
    """The table, what its columns are, who measured, and what could not be measured."""
    parts = ["# Evaluation", ""]
    if report["protocol"]:
        parts += [f"Protocol {report['protocol']['name']}: {report['protocol']['about']}", ""]
    parts += [table(report), "", "Means over the films that all systems have.", ""]
    about = (f"- {m['title']} ({ARROWS[m['better']]}): {m['about']}" for m in shown_measures(report))
    parts += [*about, ""]
    networks = report["made_with"]["networks"]
    parts += ["Measured by:", *(f"- {name}: {label}" for name, label in sorted(networks.items())), ""]
    if report["failed"]:
        parts += ["Not measured:"]
        parts += [f"- {f['system']}, {f['film']}: {f['reason']}" for f in report["failed"]] + [""]
    return "\n".join(parts)


def shown_measures(report: Report) -> list[Mapping[str, Any]]:
    """Those that any system has a figure of."""
    has = lambda m: any(s["means"].get(m["key"]) is not None for s in report["systems"])
    return [m for m in report["measures"] if has(m)]


def cell(system: Mapping[str, Any], measure: Mapping[str, Any]) -> str:
    """A figure in the measure's digits; a dash where there is none."""
    value = system["means"].get(measure["key"])
    return "-" if value is None else f"{value:.{measure['digits']}f}"


def best_of(report: Report, measure: Mapping[str, Any]) -> str | None:
    """The best generated system's key, where several compete."""
    key = measure["key"]
    made = [s for s in report["systems"] if s["kind"] == "generated" and s["means"].get(key) is not None]
    truth = next((s["means"].get(key) for s in report["systems"] if s["kind"] == "truth"), None)
    if len(made) < 2 or (measure["better"] == "truth" and truth is None):
        return None
    aim = {"zero": 0.0, "truth": truth}.get(measure["better"])
    worth = {
        "lower": lambda x: x,
        "higher": lambda x: -x,
        "zero": lambda x: abs(x),
        "truth": lambda x: abs(x - aim),
    }[measure["better"]]
    return min(made, key=lambda s: worth(s["means"][key]))["key"]
