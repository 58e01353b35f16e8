"""Where a video is cut.

A cut changes the image from one frame to the next and then lets it be. A moving head, a panning camera or a
light that flickers changes it for several frames; a head that fills the image changes every pixel and few
colours. So a cut is a change that stands out of those around it, in the pixels or in the face's landmarks (a
speaker whose pauses were cut out jumps in front of the same wall); where the colours change altogether, it is
one anyway. The thresholds were chosen on 222 videos, against the cuts that one sees in them.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

SIDE = 32  # px, of the small images compared: coarse enough for noise and blocks of compression to vanish
BINS = (8, 4, 4)  # of hue, saturation, value
AROUND = 4  # frames before and after, of which none may change as much
# Least change, and how many times the largest one around it. 30 frames/s made 25 doubles every fifth change.
PIXELS = ((10.0, 3.0),)  # of 255
FACE = ((0.08, 2.7), (0.05, 4.0))  # of the face's size
NEW_COLOURS, NEW_PIXELS = 0.5, 40.0  # share of pixels of other colours, and mean change: another scene

T = TypeVar("T")


class Look(NamedTuple):
    """What is remembered of a frame."""

    small: Float32[np.ndarray, "32 32 3"]
    colours: Float32[np.ndarray, "8 4 4"]


class Change(NamedTuple):
    """Between two frames.

    Attributes:
      pixels: their mean change, 0 to 255.
      colours: share of pixels of other colours, 0 to 1.
      face: mean way of the landmarks over the face's size, 0 where they are not known.
    """

    pixels: float
    colours: float
    face: float = 0.0

    @property
    def is_another_scene(self) -> bool:
        """Whether nothing is as it was."""
        return self.colours > NEW_COLOURS and self.pixels > NEW_PIXELS


STILL = Change(0.0, 0.0)


def look(frame: UInt8[np.ndarray, "h w 3"]) -> Look:
    """Remember an RGB frame by 32x32 pixels and a histogram of their colours."""
    small = cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    colours = cv2.calcHist(
        [cv2.cvtColor(small, cv2.COLOR_RGB2HSV)], [0, 1, 2], None, list(BINS), [0, 180, 0, 256, 0, 256]
    )
    return Look(small.astype(np.float32), np.asarray(colours, np.float32) / SIDE**2)


def change(before: Look, now: Look) -> Change:
    """Compare two frames."""
    common = float(np.minimum(before.colours, now.colours).sum())
    return Change(float(np.abs(now.small - before.small).mean()), 1 - common)


def suspect(before: Iterable[Change], now: Change) -> bool:
    """Whether the image tells of a cut, by what was seen so far."""
    return now.is_another_scene or _stands_out(now.pixels, [c.pixels for c in before], PIXELS)


def mark_cuts(changes: Iterable[tuple[Change, T]]) -> Iterator[tuple[bool, T]]:
    """Tell of each frame, four frames late, whether a new shot begins with it.

    Args:
      changes: of each frame from the one before (STILL for the first), and what to hand on with the answer.
    """
    window: deque[tuple[Change, T]] = deque(maxlen=2 * AROUND + 1)
    late = 0  # frames of the window that wait for their answer
    for item in changes:
        window.append(item)
        late += 1
        if late > AROUND:
            yield _answer(window, len(window) - late)
            late -= 1
    while late:
        yield _answer(window, len(window) - late)
        late -= 1


def _answer(window: Sequence[tuple[Change, T]], at: int) -> tuple[bool, T]:
    now, item = window[at]
    around = [window[i][0] for i in range(len(window)) if 0 < abs(i - at) <= AROUND]
    moved = _stands_out(now.face, [c.face for c in around], FACE)
    return moved or suspect(around, now), item


def _stands_out(value: float, others: Sequence[float], rules: Iterable[tuple[float, float]]) -> bool:
    most = max(others, default=0.0)
    return any(value > least and value > times * most for least, times in rules)
