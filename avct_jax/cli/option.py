"""Options: what commands' have in common, and how they are read by tyro.

A command's options are a dataclass. A field's name, type, default and line in the docstring are all there is
of an option; nested dataclasses are groups in the help, and leave no trace in the names.
"""

import contextlib
import dataclasses
import io
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypeVar

import tyro

from avct_jax import errors

HELP = {"-h", "--help"}
WIDE = 9999  # columns, in which tyro breaks no line of a refusal
NARROW = 40  # columns; tyro 1.0.17 draws for ever where there are five
RULE = re.compile(r"^ *[-─]{3,} *$", re.MULTILINE)  # what divides the parts of one
NAMED = re.compile(r"^ {6}([^\s,]+)", re.MULTILINE)  # options that one lists
SAYINGS = (
    (r"Error parsing (.+?): ", r"\1: "),
    (r"Arguments (\S+) and (\S+) are not allowed together!", r"\2: not allowed with \1"),
    (
        r"invalid choice (.*) for argument '(\S+)'. Expected one of (.*).",
        r"\2: invalid choice: \1, not of \3",
    ),
    (
        r"Missing value for argument '(\S+)'. .*",
        r"\1: expected a value, which may begin with a dash where it is written \1=...",
    ),
    (r"Unrecognized options: ", r"unrecognized arguments: "),
)
# No prefixes of groups in options' names, no --no-still beside --still, and no word `None` for nothing.
PLAIN = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone)

Kind = TypeVar("Kind")


def _hint(default: str) -> str:
    """What --help says of a default: nothing where it is nothing."""
    return "" if default in ("None", "False", "") else f"(default: {default})"


def shown_as(metavar: str | None = None) -> Any:
    """How a value is called in the help."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=_hint)


class AlsoJson(NamedTuple):
    """Marks an option that a file of jobs may also give as JSON's own: an object (dict), or a list."""

    kind: type


def read_by(read: Callable[..., Any], count: int | Literal["*"] = 1) -> Any:
    """How a value is read of `count` words; `read` raises a ValueError that says what would do."""
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=count,
        metavar="",
        instance_from_str=lambda words: read(*words),
        is_instance=lambda value: True,
        str_from_instance=lambda value: [str(value)],
    )


def whole(least: int, said: str) -> Callable[[str], int]:
    """Read a whole number that is not below `least`, which `said` says."""

    def read(text: str) -> int:
        with contextlib.suppress(ValueError):
            if (value := int(text)) >= least:
                return value
        raise ValueError(f"{text!r} must be a whole number{said}")

    return read


def factor(most: float, *, off: bool = False) -> Any:
    """How a factor from 0 to `most` is read; with `off` that word is 0."""
    said = f"must be a number from 0 to {most:g}" + (", or off" if off else "") + "; 1 is usual"

    def read(text: str) -> float:
        with contextlib.suppress(ValueError):
            value = 0.0 if off and text == "off" else float(text)
            if 0 <= value <= most:
                return value
        raise ValueError(f"{text!r} {said}")

    return read_by(read)


def _face(text: str) -> int | tuple[float, ...] | str:
    if text == "all":
        return text
    with contextlib.suppress(ValueError):
        found = int(text) if text.isdecimal() else tuple(float(word) for word in text.split(","))
        if (isinstance(found, int) and found > 0) or (isinstance(found, tuple) and len(found) == 2):
            return found
    raise ValueError(f"{text!r} must be a face's number, from 1, or a place in it, such as 120,80; or all")


def _some(*words: str) -> list[str]:
    if words:
        return list(words)
    raise ValueError("expected at least one")


def _maybe(*words: str) -> str:
    if len(words) < 2:
        return "".join(words)
    raise ValueError("expected one at most")


# typing's own, not `str | None`, and neither Any nor tuple[str, ...]: such tyro 1.0 checks itself, and
# imports typeguard for the others (0.06 s).
MaybeText = Optional[str]  # noqa: UP045
MaybeNumber = Optional[int]  # noqa: UP045
WORD = read_by(str)  # of an option that may be of several kinds
POSITIVE = read_by(whole(1, " above 0"))
Flag = Annotated[bool, shown_as()]
File = Annotated[str, shown_as("FILE")]
Folder = Annotated[str, shown_as("DIR")]
Positive = Annotated[int, POSITIVE, shown_as("N")]
MaybeFile = Annotated[MaybeText, shown_as("FILE")]
MaybeFiles = Annotated[tuple, tyro.conf.UseAppendAction, shown_as("FILE")]
MaybeFolder = Annotated[MaybeText, shown_as("DIR")]
MaybePositive = Annotated[MaybeNumber, POSITIVE, shown_as("N")]
MaybeNatural = Annotated[MaybeNumber, read_by(whole(0, ", 0 or more")), shown_as("N")]
MaybeFace = Annotated[object, read_by(_face), shown_as("N|X,Y|all")]
SomeFiles = Annotated[list[str], tyro.conf.Positional, read_by(_some, "*"), shown_as("FILE ...")]
SomeNames = Annotated[list[str] | None, read_by(_some, "*"), shown_as("NAME ...")]
AnyFile = Annotated[MaybeText, read_by(_maybe, "*"), shown_as("[FILE]")]  # "": the option alone

LOUD = tyro.conf.create_mutex_group(required=False, title="what is shown")


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a command tells while it works.

    Attributes:
      quiet: only failures
      verbose: also where the time went
      debug: as --verbose, and a traceback for every refusal
    """

    quiet: Annotated[Flag, LOUD] = False
    verbose: Annotated[Flag, LOUD] = False
    debug: Annotated[Flag, LOUD] = False


def parse(kind: type[Kind], words: Sequence[str], command: str, more: str = "") -> Kind:
    """Read the words behind a command; --help among them prints and ends the process.

    Args:
      kind: a dataclass of options; its docstring is what --help begins with.
      command: what is typed before the words.
      more: what --help ends with.

    Raises:
      UserError: a word is no option, or a value does not fit.
    """
    for word in itertools.takewhile("--".__ne__, words):
        if found := re.match(r"--[^=]*_[^=]*", word):  # tyro would not mind
            meant = f"did you mean {found[0].replace('_', '-')}?"
            raise errors.UserError(f"unrecognized arguments: {found[0]}; {meant}; see `{command} --help`")
    return read(kind, words, command, more, config=PLAIN)


def read(kind: Any, words: Sequence[str], command: str, more: str = "", **options: Any) -> Any:
    """Let tyro read words, with options of its own; the rest is as in `parse`."""
    run = lambda words: tyro.cli(kind, prog=command, args=words, **options)
    if not HELP.isdisjoint(words):
        try:
            with _columns(max(NARROW, shutil.get_terminal_size().columns)):
                return run(["--help"])
        except SystemExit:
            print(more, end="")
            raise
    said = io.StringIO()
    try:
        with _columns(WIDE), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            return run(words)
    except SystemExit:
        raise errors.UserError(f"{_complaint(said.getvalue())}; see `{command} --help`") from None


@contextlib.contextmanager
def _columns(count: int) -> Iterator[None]:
    """Let tyro take the terminal for so wide."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(count)
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


def _complaint(box: str) -> str:
    """tyro's complaint in a line, without its frame and its further help."""
    title, what, *more = parts if len(parts := RULE.split(box)) > 1 else ("", box)
    if "Required options" in title:
        return f"the following arguments are required: {', '.join(NAMED.findall(what))}"
    said = " ".join(what.split())
    for pattern, ours in SAYINGS:
        said = re.sub(pattern, ours, said)
    near = NAMED.findall(more[0]) if "Unrecognized" in title else ()
    return f"{said}; did you mean {near[0]}?" if near else said


def check_files(output: str, *inputs: str | None, checkpoint: str | None = None) -> None:
    """Look at all files before seconds are spent on imports and weights.

    Args:
      inputs: media, tables and texts.
      checkpoint: of our own format.

    Raises:
      UserError: an input is missing or unreadable, a checkpoint is PyTorch's, or `output` is an input.
    """
    from avct_jax.data.media import video_io
    from avct_jax.files import atomic_write, file_kind

    for given in filter(None, inputs):
        video_io.check_readable(given)
    if checkpoint is not None:
        if not os.path.isfile(checkpoint):
            raise errors.UserError(f"no checkpoint at {checkpoint!r}; name an existing .safetensors file")
        file_kind.refuse_torch(checkpoint)
    atomic_write.refuse_overwriting(output, *inputs, checkpoint)


def tell_overwriting(output: str, *, quiet: bool) -> None:
    """Say that a file is written over, once nothing is left that would be refused at a glance."""
    from avct_jax.cli import terminal

    if os.path.exists(output) and not quiet:
        terminal.note(f"{output} is there already and will be written over")
