"""A report as one HTML file with everything in it: table, curves, contact sheets, films to play."""

import html
import importlib.resources
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from avct_jax.evaluation import evaluate, result_cache
from avct_jax.evaluation.report import markdown, report_assets

COLOURS, DASHES = 6, 4  # of curves, in html_report.css; the first is the real film's
WIDTH, HEIGHT = 720, 120  # of a curve's own coordinates
RATE = 25  # frames/s


def write(report: Mapping[str, Any], shown: Sequence[report_assets.Sample], path: pathlib.Path) -> None:
    """Write the page; nothing in it is fetched from anywhere.

    Raises:
      UserError: the file cannot be written.
    """
    result_cache.write_text(path, page(report, shown))


def page(report: Mapping[str, Any], shown: Sequence[report_assets.Sample]) -> str:
    """The page's text."""
    protocol = report["protocol"]
    about = f"{protocol['name']}: {protocol['about']}" if protocol else "Films measured beside the real ones."
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Evaluation</title>',
        '<link rel="icon" href="data:,">',
        f"<style>{part('html_report.css')}</style></head><body><main><h1>Evaluation</h1><p>{html.escape(about)}</p>",
        _table(report),
        "".join(["<h2>Films</h2>", *map(_sample, shown)] if shown else []),
        _failed(report),
        _makers(report),
        "</main></body></html>",
    ]
    return "\n".join(part for part in parts if part)


def part(name: str) -> str:
    """A style or a program of the pages."""
    return (importlib.resources.files("avct_jax.evaluation.report") / name).read_text(encoding="utf-8")


def _table(report):
    systems = report["systems"]
    head = "".join(f'<th scope="col" class="{s["kind"]}">{html.escape(s["title"])}</th>' for s in systems)
    rows = "".join(_row(report, m) for m in markdown.shown_measures(report))
    films = "".join(f"<td>{s['films']}</td>" for s in systems)
    ways = "↓ lower is better, ↑ higher, →0 nearest to zero, →real nearest to the real films' figure."
    return (
        '<h2>Figures</h2><div class="wide" tabindex="0" role="region" aria-label="Figures"><table>'
        f"<thead><tr><td></td>{head}</tr></thead>"
        f'<tbody>{rows}<tr><th scope="row">films</th>{films}</tr></tbody></table></div>'
        f"<p>{ways} Means over {markdown.films_meant(report)}, with standard errors. "
        f"The best of several systems is bold and green.</p>{_meanings(report)}"
    )


def _row(report, measure):
    best = markdown.best_of(report, measure)
    cells = "".join(_cell(system, measure, best) for system in report["systems"])
    title = f"{html.escape(measure['title'])}&nbsp;{markdown.ARROWS[measure['better']]}"
    return f'<tr><th scope="row">{title}</th>{cells}</tr>'


def _cell(system, measure, best):
    text, error = markdown.cell(system, measure), system["errors"].get(measure["key"])
    spread = f" <small>±{error:.{measure['digits']}f}</small>" if error else ""
    if system["key"] == best:
        return f'<td class="best">{text}<span class="unseen">, best</span>{spread}</td>'
    return f'<td class="{system["kind"]}">{text}{spread}</td>'


def _meanings(report):
    rows = "".join(
        f"<dt>{html.escape(m['title'])}</dt><dd>{html.escape(m['about'])}</dd>"
        for m in markdown.shown_measures(report)
    )
    return f"<details open><summary>What the figures are</summary><dl>{rows}</dl></details>"


def _sample(sample: report_assets.Sample) -> str:
    name = html.escape(sample.name)
    titles = [html.escape(_title(system)) for system in sample.films]
    film = report_assets.data_uri("video/mp4", report_assets.side_by_side(sample))
    panels = len(titles) + 1
    # The bytes lie in the page: with "auto" the first picture is shown at once, at no cost.
    return (
        f'<article><h3>{name}</h3><div class="across" tabindex="0" role="region" aria-label="Film of {name}">'
        f'<video controls playsinline preload="auto" src="{film}" aria-label="{name}: portrait, '
        f'{", ".join(titles)}" style="min-width:{7 * panels}rem;max-width:{report_assets.SIDE * panels}px"></video>'
        f"</div>{curve(sample)}{_sheet(sample, name, titles)}</article>"
    )


def _sheet(sample, name, titles):
    """Moments of the films, a row each, with its name over its first picture."""
    picture = report_assets.data_uri("image/jpeg", report_assets.contact_sheet(sample))
    tops = [f"top:{100 * i / len(titles):.2f}%" for i in range(len(titles))]
    labels = "".join(f'<span style="{top}">{title}</span>' for top, title in zip(tops, titles, strict=True))
    return (
        f'<div class="across" tabindex="0" role="region" aria-label="Moments of {name}"><div class="sheet">'
        f'<img src="{picture}" alt="Moments of {name}; rows: {", ".join(titles)}">'
        f'<div aria-hidden="true">{labels}</div></div></div>'
    )


def _title(system):
    return "real" if system == evaluate.TRUTH else system


def curve(sample: report_assets.Sample) -> str:
    """The mouth's opening over time, real and generated, as inline SVG.

    Only lines are drawn in it: they stretch with the page, and words beside them keep their size.
    """
    known = [x for values in sample.openings.values() for x in values if x is not None]
    top = max([*known, 1e-3])
    longest = max(len(values) for values in sample.openings.values())
    x = lambda i: WIDTH * i / max(1, longest - 1)
    y = lambda v: HEIGHT - 2 - (HEIGHT - 4) * v / top
    lines, legend = [], []
    for n, (system, values) in enumerate(sample.openings.items()):
        kind = f"c{n % COLOURS} d{n % DASHES}"
        path = _path([None if v is None else (x(i), y(v)) for i, v in enumerate(values)])
        lines.append(f'<path class="{kind}" d="{path}"/>')
        legend.append(f'<span><i class="{kind}"></i>{html.escape(_title(system))}</span>')
    seconds = max(0, longest - 1) / RATE
    return (
        "<figure><figcaption><b>Opening of the mouth</b>"
        f"{''.join(legend)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="Opening of the mouth over time">{"".join(lines)}</svg>'
        f'<div class="scale"><span>0 s</span><span>{seconds:.1f} s</span></div></figure>'
    )


def _path(points):
    """Lines between successive points; a gap where there is none."""
    words, is_on = [], False
    for point in points:
        if point is not None:
            words.append(f"{'L' if is_on else 'M'}{point[0]:.1f} {point[1]:.1f}")
        is_on = point is not None
    return "".join(words)


def _failed(report):
    if not report["failed"]:
        return ""
    rows = "".join(
        f"<dt>{html.escape(f['system'])}, {html.escape(f['film'])}</dt><dd>{html.escape(f['reason'])}</dd>"
        for f in report["failed"]
    )
    return f"<h2>Not measured</h2><dl>{rows}</dl>"


def _makers(report):
    networks = sorted(report["made_with"]["networks"].items())
    rows = "".join(f"<dt>{html.escape(n)}</dt><dd>{html.escape(label)}</dd>" for n, label in networks)
    version = html.escape(report["made_with"]["avct_jax"])
    return f"<h2>Measured by</h2><dl><dt>avct_jax</dt><dd>{version}</dd>{rows}</dl>"
