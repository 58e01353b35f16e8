"""A report as Markdown."""

from collections.abc import Mapping
from typing import Any

ARROWS = {"lower": "↓", "higher": "↑", "zero": "→0", "truth": "→real"}
NEAREST = {"zero", "truth"}

Report = Mapping[str, Any]


def table(report: Report) -> str:
    """One row a measure that any system has, one column a system; the best generated system is bold."""
    head = ["", *(_plain(s["title"]) for s in report["systems"])]
    rows = [_row(report, m) for m in shown_measures(report)]
    rows.append(["videos", *(str(s["videos"]) for s in report["systems"])])
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = ["-" * max(3, widths[0]), *("-" * (max(3, w) - 1) + ":" for w in widths[1:])]
    lines = [head, rule, *rows]
    pad = lambda line: [
        line[0].ljust(widths[0]),
        *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)),
    ]
    return "\n".join(f"| {' | '.join(pad(line))} |" for line in lines)


def _row(report, measure):
    best = best_of(report, measure)
    cells = [(cell(system, measure), system["key"] == best) for system in report["systems"]]
    name = f"{measure['title']} {ARROWS[measure['better']]}"
    return [name, *(f"**{text}**" if is_best else text for text, is_best in cells)]


def _plain(title):
    return title.replace("|", "\\|")  # a bar would begin another column


def document(report: Report) -> str:
    """The table, what its columns are, who measured, and what could not be measured."""
    parts = ["# Evaluation", ""]
    if report["protocol"]:
        parts += [f"Protocol {report['protocol']['name']}: {report['protocol']['about']}", ""]
    parts += [table(report), "", f"Means over {videos_meant(report)}.", ""]
    about = (f"- {m['title']} ({ARROWS[m['better']]}): {m['about']}" for m in shown_measures(report))
    parts += [*about, ""]
    networks = report["made_with"]["networks"]
    parts += ["Measured by:", *(f"- {name}: {label}" for name, label in sorted(networks.items())), ""]
    if report["failed"]:
        parts += ["Not measured:"]
        parts += [f"- {f['system']}, {f['video']}: {f['reason']}" for f in report["failed"]] + [""]
    return "\n".join(parts)


def videos_meant(report: Report) -> str:
    """Which videos the means are of."""
    return "the videos that all systems have" if report.get("matched", True) else "all videos of each"


def shown_measures(report: Report) -> list[Mapping[str, Any]]:
    """Those that any system has a figure of."""
    has = lambda m: any(s["means"].get(m["key"]) is not None for s in report["systems"])
    return [m for m in report["measures"] if has(m)]


def cell(system: Mapping[str, Any], measure: Mapping[str, Any]) -> str:
    """A figure in the measure's digits; a dash where there is none."""
    value = system["means"].get(measure["key"])
    return "-" if value is None else f"{value:z.{measure['digits']}f}"


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
