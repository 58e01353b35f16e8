"""What the person in front of the terminal sees of a run: a live line, or a plain one each report."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from avct_jax import progress

SHOWN = 4  # metrics on the live line


class Pace(NamedTuple):
    """How fast steps go: seconds a step, examples a second, and the share of time spent waiting for data."""

    step_seconds: float
    examples_per_second: float
    data_wait_share: float


class RunProgress(progress.Progress):
    """Steps of a run; use as a context manager."""

    def __init__(self, name: str, *, done: int, total: int, quiet: bool = False):
        """Begin with steps done, of those in all."""
        super().__init__("compiling", name=name, quiet=quiet, paced=False)
        self._from, self._steps = done, total

    def __enter__(self):
        super().__enter__()
        self.advance(self._from)
        return self

    def advance(self, done: int) -> None:
        """A step more was begun."""
        self.show(done, self._steps, self._text)

    def report(self, done: int, metrics: Mapping[str, float], pace: Pace) -> None:
        """Show the means since the last report."""
        speed = self._speed(done, pace)
        self._text = f"{speed}  {_values([*metrics.items()][:SHOWN])}"
        self.advance(done)
        if self._bar is None:
            self._tell(done, f"{speed}  {_values(metrics.items())}")

    def evaluated(self, done: int, metrics: Mapping[str, float]) -> None:
        """Show what held-out examples gave."""
        self._tell(done, _values(metrics.items()))

    def note(self, text: str) -> None:
        """Say in one line what was decided; shown when quiet, too."""
        self.say(f"avct: {' '.join(text.split())}")

    def _tell(self, done: int, text: str) -> None:
        if not self._quiet:
            self.say(f"{self._name} {done}/{self._steps}  {text}")

    def _speed(self, done: int, pace: Pace) -> str:
        left = progress.duration((self._steps - done) * pace.step_seconds)
        speed = f"{pace.step_seconds:.3g} s/step  {pace.examples_per_second:.3g} examples/s"
        return f"{speed}  {pace.data_wait_share:.0%} waiting for data  {left} left"


def _values(metrics: Iterable[tuple[str, float]]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics)
