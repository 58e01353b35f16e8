"""What the person in front of the terminal sees of a run: a live line, or a plain one each report."""

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

SHOWN = 4  # metrics on the live line


class Pace(NamedTuple):
    """How fast steps go: seconds a step, examples a second, and the share of time spent waiting for data."""

    step_seconds: float
    examples_per_second: float
    data_wait_share: float


class Progress:
    """Shows on standard error; use as a context manager."""

    def __init__(self, name: str, *, done: int, total: int, quiet: bool = False):
        self._name, self._done, self._total, self._quiet = name, done, total, quiet
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> "Progress":
        if not self._quiet and sys.stderr.isatty():
            from rich import console, progress  # 0.1 s, for terminals only

            columns = (
                progress.TextColumn("{task.description}"),
                progress.BarColumn(bar_width=20),
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.fields[pace]}"),
                progress.TimeRemainingColumn(),
                progress.TextColumn("{task.fields[losses]}"),
            )
            self._bar = progress.Progress(*columns, console=console.Console(stderr=True))
            self._bar.start()
            self._task = self._bar.add_task(
                self._name, total=self._total, completed=self._done, pace="compiling", losses=""
            )
        return self

    def __exit__(self, *_) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, done: int) -> None:
        """A step more was begun."""
        if self._bar:
            self._bar.update(self._task, completed=done)

    def report(self, done: int, metrics: Mapping[str, float], pace: Pace) -> None:
        """Show the means since the last report."""
        if self._bar:
            values = "  ".join(f"{name} {value:.4g}" for name, value in [*metrics.items()][:SHOWN])
            self._bar.update(self._task, completed=done, pace=_pace(pace), losses=values)
        elif not self._quiet:
            values = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            left = _duration((self._total - done) * pace.step_seconds)
            self._say(f"{self._name} {done}/{self._total}  {_pace(pace)}  {left} left  {values}")

    def judged(self, done: int, metrics: Mapping[str, float]) -> None:
        """Show what held-out examples gave."""
        values = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        if not self._quiet:
            self._say(f"{self._name} {done}/{self._total}  {values}")

    def note(self, text: str) -> None:
        """Say in one line what was decided; shown when quiet, too."""
        self._say(f"avct: {' '.join(text.split())}")

    def _say(self, line: str) -> None:
        if self._bar:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)


def _pace(pace: Pace) -> str:
    wait = f"{pace.data_wait_share:.0%} waiting for data"
    return f"{pace.step_seconds:.3g} s/step  {pace.examples_per_second:.3g} examples/s  {wait}"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
