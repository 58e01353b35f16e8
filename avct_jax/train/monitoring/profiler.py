"""An XPlane trace of a few steps, for XProf or TensorBoard's profile plugin."""

import pathlib
from typing import Any

import jax

WARM_UP = 3  # steps before a trace: compilation is not what it shall show


class Profile:
    """Traces `count` of a run's steps `first` + 1 ... `last`; use as a context manager. 0 traces nothing."""

    def __init__(self, folder: pathlib.Path, count: int, *, first: int, last: int):
        room = last - first
        count = min(count, room)
        self._folder, self._running = folder, False
        self._begin = first + min(WARM_UP, room - count)
        self._end = self._begin + count

    def __enter__(self) -> "Profile":
        return self

    def before(self, done: int) -> None:
        """Begin, if it is time, now that `done` steps were taken."""
        if self._begin == done < self._end and not self._running:
            jax.profiler.start_trace(str(self._folder))
            self._running = True

    def after(self, done: int, results: Any) -> None:
        """End, if it is time, when `results` of step `done` are there."""
        if self._running and done >= self._end:
            jax.block_until_ready(results)
            self._finish()

    def __exit__(self, *_) -> None:
        if self._running:
            self._finish()

    def _finish(self) -> None:
        jax.profiler.stop_trace()
        self._running = False
