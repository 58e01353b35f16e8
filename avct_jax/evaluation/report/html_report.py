"""A report as one HTML file with everything in it: table, curves, contact sheets, videos to play."""

import functools
import importlib.resources
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from avct_jax.evaluation import evaluate, result_cache
from avct_jax.evaluation.report import markdown, report_assets

COLOURS, DASHES = 6, 4  # of curves, in html_report.css; the first is the real video's
WIDTH, HEIGHT = 720, 120  # of a curve's own coordinates
RATE = 25  # frames/s


def write(report: Mapping[str, Any], shown: Sequence[report_assets.VideoSample], path: pathlib.Path) -> None:
    """Write the page; nothing in it is fetched from anywhere.

    Raises:
      UserError: the file cannot be written.
    """
    result_cache.write_text(path, page(report, shown))


def page(report: Mapping[str, Any], shown: Sequence[report_assets.VideoSample]) -> str:
    """The page's text."""
    protocol, about = report["protocol"], "Videos measured beside the real ones."
    return render(
        "html_report.html.j2",
        report=report,
        about=f"{protocol['name']}: {protocol['about']}" if protocol else about,
        videos_meant=markdown.videos_meant(report),
        rows=[_row(report, measure) for measure in markdown.shown_measures(report)],
        samples=[_sample(sample) for sample in shown],
        side=report_assets.SIDE,
    )


def curve(sample: report_assets.VideoSample) -> str:
    """The mouth's opening over time, real and generated, as inline SVG."""
    return render("curve.html.j2", curve=_curve(sample))


def render(template: str, **values: Any) -> str:
    """The text of one of the templates beside this file; values are escaped in it."""
    return _templates().get_template(template).render(values)


def part(name: str) -> str:
    """A style or a program of the pages."""
    return (importlib.resources.files("avct_jax.evaluation.report") / name).read_text(encoding="utf-8")


@functools.cache
def _templates():
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(part),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["part"] = part
    return made


def _row(report, measure):
    best = markdown.best_of(report, measure)
    cells = [_cell(system, measure, best) for system in report["systems"]]
    return {**measure, "arrow": markdown.ARROWS[measure["better"]], "cells": cells}


def _cell(system, measure, best):
    error = system["errors"].get(measure["key"])
    return {
        "text": markdown.cell(system, measure),
        "error": f"{error:.{measure['digits']}f}" if error else "",
        "best": system["key"] == best,
        "kind": system["kind"],
    }


def _sample(sample: report_assets.VideoSample) -> dict[str, Any]:
    return {
        "name": sample.name,
        "titles": [_title(system) for system in sample.videos],
        "panels": len(sample.videos) + 1,
        "video": report_assets.data_uri("video/mp4", report_assets.side_by_side(sample)),
        "sheet": report_assets.data_uri("image/jpeg", report_assets.contact_sheet(sample)),
        "curve": _curve(sample),
    }


def _title(system):
    return "real" if system == evaluate.TRUTH else system


def _curve(sample: report_assets.VideoSample) -> dict[str, Any]:
    known = [x for values in sample.openings.values() for x in values if x is not None]
    top = max([*known, 1e-3])
    longest = max(len(values) for values in sample.openings.values())
    x = lambda i: WIDTH * i / max(1, longest - 1)
    y = lambda v: HEIGHT - 2 - (HEIGHT - 4) * v / top
    lines = [
        {
            "kind": f"c{n % COLOURS} d{n % DASHES}",
            "title": _title(system),
            "path": _path([None if v is None else (x(i), y(v)) for i, v in enumerate(values)]),
        }
        for n, (system, values) in enumerate(sample.openings.items())
    ]
    return {"width": WIDTH, "height": HEIGHT, "lines": lines, "seconds": max(0, longest - 1) / RATE}


def _path(points):
    """Lines between successive points; a gap where there is none."""
    words, is_on = [], False
    for point in points:
        if point is not None:
            words.append(f"{'L' if is_on else 'M'}{point[0]:.1f} {point[1]:.1f}")
        is_on = point is not None
    return "".join(words)
