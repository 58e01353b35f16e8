"""What the command line shows: the commands there are, notes, results, where time went.

Everything goes to standard error, so that results on standard output can be piped.
"""

import contextlib
import difflib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from avct_jax import errors, progress

note, tell = progress.note, progress.tell


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
      kind: what is chosen.
      choices: a line of help for each.
      about, more: what --help begins and ends with.

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
def going_on_later() -> Iterator[None]:
    """Around work that is kept piece by piece: Ctrl-C says so."""
    try:
        yield
    except KeyboardInterrupt:
        said = "interrupted; what is finished is kept, and the same command goes on from there"
        raise KeyboardInterrupt(said) from None


def made_line(output: str, report: Any, place: Any = None) -> str:
    """Tell of a video that was made.

    Args:
      report: an `animator.base.Report`.
      place: of its subtitles: a file, "burn", or None.
    """
    name = "".join(c if c.isprintable() or "\udc80" <= c <= "\udcff" else ascii(c)[1:-1] for c in output)
    line = f"{name}: {report.frames} frames, {report.seconds:.2f} s of sound"
    if place is None:
        return line
    guessed = sum(cue.guessed for cue in report.cues)
    count = len(report.cues)
    said = ("1 subtitle" if count == 1 else f"{count} subtitles") + (
        f", times of {guessed} guessed" if guessed else ""
    )
    return f"{line}; {said}, in the picture" if place == "burn" else f"{line}; {os.fspath(place)}: {said}"


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
