"""How late a stream is, by design and as measured."""

import collections
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from avct_jax.data.speech import hearing
from avct_jax.live import frame_planner

KEPT = 1500  # measurements = a minute of frames


class Percentiles(NamedTuple):
    """Seconds; 0 where nothing has been measured."""

    p50: float
    p95: float
    p99: float


class StreamLatency:
    """The delay of a stream by its parts, and what it took.

    Attributes:
      repeated: frames that showed the last image again, for theirs was not ready in time.
      moved_on: seconds by which the clock was moved on, for frames were asked for or planned so late.
    """

    def __init__(self, chunk: int, ahead: int):
        """Begin to measure a stream that hears `chunk` frames at once, by as many as `ahead` after them."""
        self.repeated, self.moved_on = 0, 0.0
        self._chunk, self._ahead = chunk, ahead
        kept = lambda: collections.deque(maxlen=KEPT)
        self._first_frames, self._frames, self._lateness = kept(), kept(), kept()

    @property
    def algorithmic(self) -> dict[str, float]:
        """Seconds of audio that must have come after a frame's first sample before it can be drawn, at most.

        Other rates than 16 kHz add some 20 ms of resampling, see `docs/how-to/live.md`.
        """
        frames = {"chunk": self._chunk, "features": hearing.AHEAD, "mouth": self._ahead}
        return {name: count / frame_planner.FRAME_RATE for name, count in frames.items()}

    @property
    def first_frame(self) -> Percentiles:
        """From the first piece of a reply to its first frame."""
        return _percentiles(self._first_frames)

    @property
    def frame(self) -> Percentiles:
        """What a frame took to be planned and drawn, a chunk's time shared out."""
        return _percentiles(self._frames)

    @property
    def lateness(self) -> Percentiles:
        """By how much frames of a paced stream came after their time."""
        return _percentiles(self._lateness)

    def __repr__(self) -> str:
        """Return all figures, ms."""
        ms = lambda seconds: f"{1000 * seconds:.0f}"
        parts = ", ".join(f"{ms(seconds)} {name}" for name, seconds in self.algorithmic.items())
        rows = {"first frame": self.first_frame, "frame": self.frame, "lateness": self.lateness}
        said = "; ".join(f"{name} {'/'.join(map(ms, row))}" for name, row in rows.items())
        counted = f"repeated {self.repeated}; moved on by {ms(self.moved_on)}"
        return f"StreamLatency(by design {parts}; p50/p95/p99: {said}; {counted}; ms)"

    def saw_first_frame(self, seconds: float) -> None:
        """Note one."""
        self._first_frames.append(seconds)

    def saw_frames(self, seconds: float, count: int) -> None:
        """Note a chunk of frames that took so long together."""
        self._frames.append(seconds / count)

    def saw_lateness(self, seconds: float) -> None:
        """Note how late a frame was."""
        self._lateness.append(seconds)


def _percentiles(measured: Iterable[float]) -> Percentiles:
    found = list(measured)
    return Percentiles(*map(float, np.percentile(found, (50, 95, 99)))) if found else Percentiles(0, 0, 0)
