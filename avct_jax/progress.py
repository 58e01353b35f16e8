"""How far something is, on standard error: a bar on a terminal, plain lines now and then elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

PLAIN_SECONDS = 10.0  # between lines where standard error is no terminal


def tell(text: str) -> None:
    """Write beside the results; a terminal that was closed or a full disk must not stop the work."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def note(text: str) -> None:
    """Say in one line what was decided."""
    tell(f"avct: {' '.join(text.split())}")


def tenths(text: str, *, least: int = 1) -> Callable[[int, int], None]:
    """What to call with things done and in all: it says so ten times.

    Args:
      text: the line, with {done} and {total} in it.
      least: of fewer things in all nothing is said.
    """

    def show(done: int, total: int) -> None:
        if done and total >= least and done * 10 // total > (done - 1) * 10 // total:
            note(text.format(done=done, total=total))

    return show


class Progress:
    """Shows how far something is, while it is entered; nothing when quiet."""

    def __init__(
        self, text: str = "", *, unit: str = "steps", name: str = "", quiet: bool = False, paced: bool = True
    ):
        """Begin.

        Args:
          text: what is done first.
          unit: what is counted, "frames".
          name: of the whole.
          paced: rate and time left are shown, and lines come by time; else only what is told is, and the bar
            stays on the terminal.
        """
        self._text, self._unit, self._name, self._quiet, self._paced = text, unit, name, quiet, paced
        self._bar: Any = None
        self._task: Any = None
        self._begun = self._said = 0.0  # seconds, when counting began and when a line came last
        self._first = self._done = 0  # things that were done then, and are done
        self._total: int | None = None

    def __enter__(self):
        if not self._quiet and sys.stderr.isatty():
            self._bar = _bar(named=bool(self._name), transient=self._paced)
            self._bar.start()
            self._task = self._bar.add_task(self._name, total=None, rest=self._text)
        return self

    def __exit__(self, *_) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None

    def show(self, done: int, total: int, text: str = "") -> None:
        """Things are done, of those in all; text: what more there is to tell."""
        now = time.monotonic()
        if total != self._total or done < self._done:  # counting begins, or begins anew
            self._begun, self._first, self._total = now, done, total
            self._said = self._said or now
        self._done = done
        if self._bar:
            rest = "  ".join(filter(None, [self._unit, self._pace(now), text]))
            self._bar.update(self._task, completed=done, total=total, rest=rest)
        elif self._paced and not self._quiet and now - self._said >= PLAIN_SECONDS:
            self._said = now
            note(", ".join(filter(None, [f"{done} of {total} {self._unit}", self._pace(now), text])))

    def say(self, line: str) -> None:
        """Show a line that stays, when quiet, too."""
        if self._bar:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            tell(line)

    def _pace(self, now: float) -> str:
        """How fast it goes, and how long it will: on the mean, for rich forgets what took over 30 seconds."""
        done, spent = self._done - self._first, now - self._begun
        if not self._paced or done <= 0 or spent <= 0 or self._total is None:
            return ""
        rate = done / spent
        said = f"{rate:.3g} {self._unit}/s" if rate >= 1 else f"{1 / rate:.3g} s each"
        return f"{said}, {duration((self._total - self._done) / rate)} left"


def duration(seconds: float) -> str:
    """As h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _bar(*, named: bool, transient: bool) -> Any:
    from rich import console, progress  # 0.08 s, for terminals only

    columns = (
        *([progress.TextColumn("{task.description}", markup=False)] if named else []),
        progress.BarColumn(bar_width=20),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[rest]}", markup=False),
    )
    return progress.Progress(*columns, console=console.Console(stderr=True), transient=transient)
