"""What the person in front of the terminal sees of a run: a live line, or a plain one each report."""

import contextlib
import sys
from collections.abc import Iterable, Mapping
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
            shown = _values([*metrics.items()][:SHOWN])
            self._bar.update(self._task, completed=done, pace=self._pace(done, pace), losses=shown)
        elif not self._quiet:
            values = _values(metrics.items())
            self._say(f"{self._name} {done}/{self._total}  {self._pace(done, pace)}  {values}")

    def evaluated(self, done: int, metrics: Mapping[str, float]) -> None:
        """Show what held-out examples gave."""
        if not self._quiet:
            self._say(f"{self._name} {done}/{self._total}  {_values(metrics.items())}")

    def note(self, text: str) -> None:
        """Say in one line what was decided; shown when quiet, too."""
        self._say(f"avct: {' '.join(text.split())}")

    def _pace(self, done: int, pace: Pace) -> str:
        left = _duration((self._total - done) * pace.step_seconds)
        speed = f"{pace.step_seconds:.3g} s/step  {pace.examples_per_second:.3g} examples/s"
        return f"{speed}  {pace.data_wait_share:.0%} waiting for data  {left} left"

    def _say(self, line: str) -> None:
        if self._bar:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            _tell(line)


def show_decoding(done: int, total: int) -> None:
    """Tell, ten times in all, how many clips' images have been decoded."""
    if done and done * 10 // total > (done - 1) * 10 // total:
        _tell(f"avct: images of {done} of {total} clips are decoded")


def _values(metrics: Iterable[tuple[str, float]]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _tell(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # a closed terminal or a full disk must not stop the work
        print(line, file=sys.stderr, flush=True)
