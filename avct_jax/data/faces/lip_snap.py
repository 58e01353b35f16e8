"""Lips brought to where an image shows them meet.

The landmark network has seen photographs: on paintings and statues its lips are some pixels off, and a mouth
that opens beside its line shows two of them. Where lips are shut, the line between them is the darkest thing
across the mouth: a smooth path along it is sought, and taken where it is plain.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from avct_jax import face_topology as topology

SHUT = 0.04  # eye distances between the inner lips, above which there is no one line
FARTHEST = 0.05  # eye distances that the line may be off
STEPS = 41  # places tried along each way across
WIDE = 0.035  # eye distances: a line is dark against the lips so far about it
FINE = 0.006  # eye distances over which the image is smoothed first
BEND = 3.0  # cost of two neighbours' offsets that differ by FARTHEST
FAR = 0.15  # cost of an offset of FARTHEST
# Darkness, in standard deviations of the mouth's own, from which the line counts as plain, and by which it
# must be darker than where the landmarks lie.
PLAIN, GAIN = 0.6, 0.25
BODY_SHARE = 0.5  # of the line's movement that the rows between the rims of a lip take


class LipLine(NamedTuple):
    """Where lips meet at the nine inner landmarks: how far below them (eye distances), and how plain."""

    offset: Float[np.ndarray, " 9"]
    darkness: float
    before: float


def snap(image: UInt8[np.ndarray, "s s 3"], points: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "478 3"]:
    """Move the inner lips, and half as far the lips' bodies, onto the line that the image shows.

    Args:
      points: landmarks in [-1, 1] of the image.

    Returns:
      The landmarks as they are where the mouth is open, or the line is not plain.
    """
    unit = float(np.linalg.norm(points[topology.EYE_CORNERS[0]] - points[topology.EYE_CORNERS[1]]))
    upper, lower = (points[list(row[1:-1])] for row in (topology.UPPER_INNER_LIP, topology.LOWER_INNER_LIP))
    if np.linalg.norm(upper - lower, axis=1).max() > SHUT * unit:
        return points
    down = _down(points)
    found = find(image, (upper + lower)[:, :2] / 2, down, unit)
    if found.darkness < PLAIN or found.darkness < found.before + GAIN:
        return points
    moves = np.zeros_like(points)
    way = np.append(down, 0.0) * unit
    for row in (topology.UPPER_INNER_LIP, topology.LOWER_INNER_LIP):
        moves[list(row[1:-1])] = found.offset[:, None] * way
    for body in (topology.UPPER_LIP_BODY, topology.LOWER_LIP_BODY):
        across = (points[list(body), :2] - points[61, :2]) @ (points[291, :2] - points[61, :2])
        along = ((upper + lower)[:, :2] / 2 - points[61, :2]) @ (points[291, :2] - points[61, :2])
        share = np.interp(across, along, found.offset)
        moves[list(body)] = BODY_SHARE * share[:, None] * way
    return points + moves


def find(
    image: UInt8[np.ndarray, "s s 3"],
    places: Float[np.ndarray, "9 2"],
    down: Float[np.ndarray, " 2"],
    unit: float,
) -> LipLine:
    """Seek the dark line near `places`.

    Args:
      places: in [-1, 1].
      down: unit vector across the mouth.
      unit: eye distance in [-1, 1].
    """
    offsets = np.linspace(-FARTHEST, FARTHEST, STEPS)
    dark = _darkness(image, unit * (len(image) - 1) / 2)
    where = places[:, None] + offsets[None, :, None] * unit * down
    pixels = ((where + 1) / 2 * (len(image) - 1)).astype(np.float32)
    known = cv2.remap(dark, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    path = _best_path(known - FAR * (offsets / FARTHEST) ** 2, offsets)
    rows = np.arange(len(places))
    return LipLine(offsets[path], float(known[rows, path].mean()), float(known[:, STEPS // 2].mean()))


def _down(points):
    """Across the mouth, in the image."""
    way = points[topology.CHIN, :2] - points[topology.FOREHEAD, :2]
    return way / np.linalg.norm(way)


def _darkness(image, unit):
    """How much darker each pixel is than its surroundings, in the spread of the face's own brightness.

    Args:
      unit: eye distance, px.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = cv2.GaussianBlur(grey, (0, 0), max(0.7, FINE * unit))
    wide = cv2.GaussianBlur(grey, (0, 0), max(2.0, WIDE * unit))
    return (wide - fine) / max(float(grey.std()) * 0.25, 2.0)


def _best_path(gain, offsets):
    """Choose an offset in each row so that their gains, less their bends, are most (Viterbi).

    The corners of the mouth, beyond the first and the last row, stay.
    """
    bend = BEND * ((offsets[:, None] - offsets[None]) / FARTHEST) ** 2
    corner = BEND * (offsets / FARTHEST) ** 2
    gain[[0, -1]] -= corner
    total, back = gain[0].copy(), []
    for row in gain[1:]:
        reached = total[None] - bend
        back.append(reached.argmax(1))
        total = row + reached.max(1)
    path = [int(total.argmax())]
    for choice in reversed(back):
        path.append(int(choice[path[-1]]))
    return np.array(path[::-1])
