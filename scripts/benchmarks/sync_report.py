"""How far apart images and audio come: numbers seen and clicks heard, paired."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from scripts.benchmarks import counter_stream

TARGET = 0.045  # seconds by which audio may lead unnoticed
SETTLED = 5.0  # seconds at the start that are not counted: buffers find their length


def offsets(seen: Sequence[tuple[int, float]], heard: Sequence[float]) -> list[float]:
    """Seconds by which each click comes after its image; negative: before it.

    Args:
      seen: numbers of frames, and when each was first seen, seconds.
      heard: when clicks were heard, by the same clock.
    """
    marked = np.array([time for number, time in seen if number % counter_stream.EVERY == 0])
    if not len(marked) or not heard:
        return []
    most = counter_stream.EVERY / counter_stream.FRAME_RATE / 2
    begin = min(marked[0], heard[0]) + SETTLED
    found = [time - marked[np.abs(marked - time).argmin()] for time in heard if time > begin]
    return [float(offset) for offset in found if abs(offset) < most]


def summary(name: str, found: Sequence[float]) -> dict[str, Any]:
    """Mean, 95th percentile and maximum of the distance, ms."""
    ms = 1000 * np.array(found or [np.nan])
    away = np.abs(ms)
    return {
        "way": name,
        "clicks": len(found),
        "mean": round(float(ms.mean()), 1),
        "least": round(float(ms.min()), 1),
        "most": round(float(ms.max()), 1),
        "p95": round(float(np.percentile(away, 95)), 1),
        "max": round(float(away.max()), 1),
        "fits": bool(np.percentile(away, 95) < 1000 * TARGET),
    }


def tell(rows: Sequence[dict[str, Any]], file: str | None) -> None:
    """Print a table, and write JSON."""
    print("ms; mean, least, most: audio after image; p95, max: of the distance")
    print(f"{'way':44} clicks    mean   least    most     p95     max  < 45")
    for row in rows:
        figures = " ".join(f"{row[name]:7.1f}" for name in ("mean", "least", "most", "p95", "max"))
        print(f"{row['way']:44} {row['clicks']:6d} {figures}  {'yes' if row['fits'] else 'no'}")
    if file:
        pathlib.Path(file).write_text(json.dumps(list(rows), indent=2) + "\n")
