"""Draw a run's losses: `python scripts/plot_curves.py RUN/STAGE/metrics.jsonl... --output curves.svg`.

One panel a metric; training as a line (smoothed over the reports), held-out figures as dots. Several files
share a panel, labelled by their folder.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

VALIDATION = "val/"
SMOOTHING = 0.8  # share of the running mean kept from report to report
UNPLOTTED = {"step", "seconds", "step_seconds", "examples_per_second", "data_wait_share", "time"}


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Columns (step, value) of every metric of a metrics.jsonl."""
    columns: dict[str, list[tuple[float, float]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for name, value in row.items():
            if name not in UNPLOTTED and isinstance(value, int | float):
                columns.setdefault(name, []).append((row["step"], value))
    return {name: np.array(values) for name, values in columns.items()}


def smooth(values: np.ndarray) -> np.ndarray:
    """Exponential running mean, corrected for its beginning."""
    mean, weight, out = 0.0, 0.0, []
    for value in values:
        mean, weight = SMOOTHING * mean + (1 - SMOOTHING) * value, SMOOTHING * weight + 1 - SMOOTHING
        out.append(mean / weight)
    return np.array(out)


def draw(files: list[pathlib.Path], output: pathlib.Path, chosen: list[str]) -> None:
    """Draw the panels."""
    import matplotlib

    matplotlib.use("svg" if output.suffix == ".svg" else "agg")
    from matplotlib import pyplot

    runs = {path.parent.name: read(path) for path in files}
    names = chosen or sorted({name.removeprefix(VALIDATION) for columns in runs.values() for name in columns})
    rows = -(-len(names) // 3)
    _, axes = pyplot.subplots(rows, min(3, len(names)), figsize=(10.5, 2.5 * rows), squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        for label, columns in runs.items():
            if name in columns:
                step, value = columns[name].T
                axis.plot(step, smooth(value), label=label, linewidth=1.2)
            if VALIDATION + name in columns:
                axis.plot(*columns[VALIDATION + name].T, "o", markersize=3, label=f"{label}, held out")
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(names) :]:
        axis.set_axis_off()
    axes.flat[0].legend(fontsize=7)
    pyplot.tight_layout()
    pyplot.savefig(output, dpi=110)


def main() -> int:
    """Parse, read, draw."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=pathlib.Path, help="metrics.jsonl of stages")
    parser.add_argument("--output", type=pathlib.Path, required=True, help=".svg or .png")
    parser.add_argument("--metrics", nargs="*", default=[], help="which; default: all")
    args = parser.parse_args()
    missing = [path for path in args.files if not path.is_file()]
    if missing:
        print(f"no {missing[0]}; name the metrics.jsonl of a run's stage", file=sys.stderr)
        return 2
    draw(args.files, args.output, args.metrics)
    return 0


if __name__ == "__main__":
    sys.exit(main())
