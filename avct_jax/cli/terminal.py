"""What the command line shows while it works: notes, a progress bar, where time went.

Everything goes to standard error, so that results on standard output can be piped.
"""

import contextlib
import difflib
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from avct_jax import errors

Progress = Callable[[int, int], None]
PLAIN_SECONDS = 10.0  # between lines where standard error is no terminal


def note(text: str) -> None:
    """Say in one line what was decided."""
    tell(f"avct: {' '.join(text.split())}")


def tell(text: str) -> None:
    """Write beside the results, to standard error; a terminal that was closed must not stop the work."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Write a result to standard output; a full disk does not undo what is done.

    Raises:
      BrokenPipeError: nobody reads it any more.
    """
    try:
        print(text)
    except BrokenPipeError:
        raise
    except (OSError, ValueError):
        pass


def show_result(text: str) -> None:
    """Write to standard output what is kept nowhere else.

    Raises:
      UserError: it cannot be written. BrokenPipeError: nobody reads it any more.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise errors.UserError(
            f"standard output cannot be written to ({error.strerror}); free space, or send it elsewhere"
        ) from None


def choose(
    words: Sequence[str], command: str, kind: str, choices: Mapping[str, str], about: str, more: str
) -> str:
    """The first word, one of several; --help in its place lists them and ends the process.

    Args:
      kind: what is chosen. choices: a line of help for each. about, more: what --help begins and ends with.
    Raises:
      UserError: there is no word, or an unknown one.
    """
    word = words[0] if words else ""
    if word in choices:
        return word
    if word in ("-h", "--help"):
        width = max(map(len, choices))
        lines = [f"  {name:<{width}}  {text}" for name, text in choices.items()]
        print(f"usage: {command} {kind} ...", about, "\n".join(lines), sep="\n\n")
        print(more, end="")
        raise SystemExit(0)
    near = difflib.get_close_matches(word, choices, n=1)
    meant = f"did you mean {near[0]}?" if near else f"{kind} is one of {', '.join(choices)}"
    what = f"there is no {kind} {word!r}" if word else f"no {kind} is given"
    raise errors.UserError(f"{what}: {meant}; see `{command} --help`")


class NoteHandler(logging.Handler):
    """Shows the package's log messages as notes, each once, on whatever standard error is at that time."""

    def __init__(self):
        """Begin with nothing shown."""
        super().__init__(logging.INFO)
        self.shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Show one that was not shown."""
        if (line := " ".join(record.getMessage().split())) not in self.shown:
            self.shown.add(line)
            note(line)


@contextlib.contextmanager
def notes_of_the_package(*, quiet: bool) -> Iterator[None]:
    """Show what avct_jax logs, from warnings on, while the block runs; nothing when quiet."""
    logger = logging.getLogger("avct_jax")
    handler = NoteHandler()
    if quiet:
        handler.setLevel(logging.CRITICAL + 1)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


@contextlib.contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Progress | None]:
    """A bar of frames done, on a terminal only: yields what to call with frames done and in all, or None."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich import console, progress  # 0.1 s, for terminals only

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("frames"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console.Console(stderr=True), transient=True) as bar:
        task = bar.add_task("looking and listening", total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, description="drawing", completed=done, total=total)

        yield show


@contextlib.contextmanager
def task_bar(*, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """Shows how far something is: a bar on a terminal, a line every ten seconds elsewhere.

    Yields what to call with things done, things in all, and what is being done.
    """
    if quiet:
        yield lambda done, total, text: None
    elif not sys.stderr.isatty():
        yield _Lines()
    else:
        from rich import console, progress  # 0.1 s, for terminals only

        columns = (
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.description}"),
        )
        with progress.Progress(*columns, console=console.Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=None)
            yield lambda done, total, text: bar.update(task, completed=done, total=total, description=text)


@contextlib.contextmanager
def going_on_later() -> Iterator[None]:
    """Around work that is kept piece by piece: Ctrl-C says so."""
    try:
        yield
    except KeyboardInterrupt:
        said = "interrupted; what is finished is kept, and the same command goes on from there"
        raise KeyboardInterrupt(said) from None


class _Lines:
    """Says every few seconds what is being done."""

    def __init__(self):
        self.said = time.monotonic()

    def __call__(self, done: int, total: int, text: str) -> None:
        if time.monotonic() - self.said > PLAIN_SECONDS:
            self.said = time.monotonic()
            note(f"{done} of {total}, {text}")


def timing_table(timings: Mapping[str, float], frames: int) -> str:
    """Seconds by part, their sum, and frames a second: of everything, and without reading and compiling."""
    total = sum(timings.values())
    width = max(map(len, [*timings, "total"]))
    lines = [f"{name:<{width}} {seconds:8.2f} s" for name, seconds in timings.items()]
    lines.append(f"{'total':<{width}} {total:8.2f} s  {frames / max(total, 1e-9):.1f} frames/s")
    steady = sum(timings.get(name, 0.0) for name in ("draw", "encode"))
    if steady:
        lines.append(f"draw and encode alone: {frames / steady:.1f} frames/s")
    return "\n".join(lines)
