"""What a loop counts between two reports: metrics, seconds, and seconds spent waiting for data."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from avct_jax.train.monitoring import run_progress


class Means:
    """Running means of metrics; they outlive a stop, so that a curve does not show it."""

    def __init__(self, kept: Mapping[str, Any] | None = None):
        self.count = int(kept["count"]) if kept else 0
        self._sums = {name: float(value) for name, value in kept["sums"].items()} if kept else {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Count one step's metrics."""
        self.count += 1
        for name, value in row.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)

    def take(self) -> tuple[dict[str, float], int]:
        """The means, and of how many; counts from nothing again."""
        means = {name: value / self.count for name, value in self._sums.items()}
        count, self.count, self._sums = self.count, 0, {}
        return means, count

    def as_json(self) -> dict[str, Any]:
        """What `kept` takes."""
        return {"count": self.count, "sums": dict(self._sums)}


class StepClock:
    """Seconds a step, without judging and the like, and the share of them spent waiting for data."""

    def __init__(self):
        self.restart()

    def restart(self) -> None:
        """Count from now."""
        self._since, self._waited, self._left_out = time.perf_counter(), 0.0, 0.0
        self._blocked = 0.0

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block as waiting."""
        began = time.perf_counter()
        yield
        self._waited += time.perf_counter() - began

    @contextlib.contextmanager
    def blocked(self) -> Iterator[None]:
        """Count the block as waiting for devices."""
        began = time.perf_counter()
        yield
        self._blocked += time.perf_counter() - began

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the block out."""
        began = time.perf_counter()
        yield
        self._left_out += time.perf_counter() - began

    def own_seconds(self, steps: int) -> float:
        """Seconds a step, of so many, in which the process did not wait for devices."""
        return max(time.perf_counter() - self._since - self._left_out - self._blocked, 0.0) / steps

    def pace(self, steps: int, batch_size: int) -> run_progress.Pace:
        """Of so many steps since the last restart."""
        seconds = max(time.perf_counter() - self._since - self._left_out, 1e-9)
        return run_progress.Pace(seconds / steps, steps * batch_size / seconds, self._waited / seconds)
