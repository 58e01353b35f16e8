"""A report as one HTML file with everything in it: table, curves, contact sheets, films to play."""

import html
import importlib.resources
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from avct_jax.evaluation import evaluate, markdown, samples, store

COLOURS = ("#7d8790", "#d1495b", "#2274a5", "#e09f3e", "#6a4c93", "#3a7d44")  # the first: the real film
WIDTH, HEIGHT, MARGIN = 720, 160, 34  # of a curve, px
RATE = 25  # frames/s


def write(report: Mapping[str, Any], shown: Sequence[samples.Sample], path: pathlib.Path) -> None:
    """Write the page; nothing in it is fetched from anywhere.

    Raises:
      UserError: the file cannot be written.
    """
    store.write_text(path, page(report, shown))


def page(report: Mapping[str, Any], shown: Sequence[samples.Sample]) -> str:
    """The page's text."""
    protocol = report["protocol"]
    about = f"{protocol['name']}: {protocol['about']}" if protocol else "Films measured beside the real ones."
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Evaluation</title>',
        f"<style>{part('page.css')}</style></head><body><main><h1>Evaluation</h1><p>{html.escape(about)}</p>",
        _table(report),
        "".join(["<h2>Films</h2>", *map(_sample, shown)] if shown else []),
        _failed(report),
        _makers(report),
        "</main></body></html>",
    ]
    return "\n".join(part for part in parts if part)


def part(name: str) -> str:
    """A style or a program of the pages."""
    return (importlib.resources.files("avct_jax.evaluation") / name).read_text(encoding="utf-8")


def _table(report):
    systems = report["systems"]
    head = "".join(f'<th scope="col" class="{s["kind"]}">{html.escape(s["title"])}</th>' for s in systems)
    rows = "".join(_row(report, m) for m in markdown.shown_measures(report))
    films = "".join(f"<td>{s['films']}</td>" for s in systems)
    ways = "↓ lower is better, ↑ higher, →0 nearest to zero, →real nearest to the real films' figure."
    return (
        '<h2>Figures</h2><div class="wide" tabindex="0" role="region" aria-label="Figures"><table>'
        f'<thead><tr><th scope="col"></th>{head}<th scope="col" class="about">what it is</th></tr></thead>'
        f'<tbody>{rows}<tr><th scope="row">films</th>{films}<td class="about"></td></tr></tbody>'
        "</table></div>"
        f"<p>{ways} Means over the films that all systems have, with standard errors. "
        "The best of several systems is green.</p>"
    )


def _row(report, measure):
    cells, best = [], markdown.best_of(report, measure)
    for system in report["systems"]:
        error = system["errors"].get(measure["key"])
        spread = f" <small>±{error:.{measure['digits']}f}</small>" if error else ""
        kind = "best" if best == system["key"] else system["kind"]
        cells.append(f'<td class="{kind}">{markdown.cell(system, measure)}{spread}</td>')
    title = f"{html.escape(measure['title'])} {markdown.ARROWS[measure['better']]}"
    about = html.escape(measure["about"])
    return f'<tr><th scope="row">{title}</th>{"".join(cells)}<td class="about">{about}</td></tr>'


def _sample(sample: samples.Sample) -> str:
    name = html.escape(sample.name)
    film = samples.data_uri("video/mp4", samples.side_by_side(sample))
    sheet = samples.data_uri("image/jpeg", samples.contact_sheet(sample))
    rows = ", ".join(html.escape(_title(system)) for system in sample.films)
    return (
        f'<article><h3>{name}</h3><video controls preload="metadata" src="{film}" '
        f'aria-label="{name}: portrait, {rows}"></video>{curve(sample)}'
        f'<img src="{sheet}" alt="Moments of {name}; rows: {rows}"><small>Rows: {rows}</small></article>'
    )


def _title(system):
    return "real" if system == evaluate.TRUTH else system


def curve(sample: samples.Sample) -> str:
    """The mouth's opening over time, real and generated, as inline SVG."""
    known = [x for values in sample.openings.values() for x in values if x is not None]
    top = max([*known, 1e-3])
    longest = max(len(values) for values in sample.openings.values())
    x = lambda i: MARGIN + (WIDTH - 2 * MARGIN) * i / max(1, longest - 1)
    y = lambda v: HEIGHT - MARGIN + (2 * MARGIN - HEIGHT) * v / top
    lines, legend = [], []
    for n, (system, values) in enumerate(sample.openings.items()):
        colour = COLOURS[n % len(COLOURS)]
        path = _path([None if v is None else (x(i), y(v)) for i, v in enumerate(values)])
        lines.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        at = MARGIN + 130 * n
        legend.append(f'<line x1="{at}" x2="{at + 18}" y1="12" y2="12" stroke="{colour}" stroke-width="3"/>')
        legend.append(f'<text x="{at + 24}" y="16">{html.escape(_title(system))[:18]}</text>')
    seconds = (longest - 1) / RATE
    foot = HEIGHT - MARGIN
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Opening of the mouth over time">'
        f'<line class="axis" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{foot}" y2="{foot}"/>'
        f'{"".join(lines + legend)}<text x="{MARGIN}" y="{HEIGHT - 12}">0 s</text>'
        f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 12}" text-anchor="end">{seconds:.1f} s</text>'
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">opening of the mouth</text></svg>'
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
