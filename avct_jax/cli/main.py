"""`avct`, the command line: subcommands, and how failures look to the person who typed them.

Nothing heavy is imported before a subcommand runs: `avct --help` answers at once.
"""

import codecs
import contextlib
import errno
import functools
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import avct_jax
from avct_jax import compile_cache, errors, stuck_signals
from avct_jax.cli import terminal

REFUSED = 2  # exit codes: an input or an option was refused,
INTERRUPTED = 130  # Ctrl-C (128 + SIGINT),
TERMINATED = 143  # asked to end (128 + SIGTERM; 129 where the terminal was closed),
PIPE_CLOSED = 141  # nobody reads the output any more (128 + SIGPIPE),
BUG = 1  # a failure nobody foresaw
ENDING = (signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
PRINTABLE = "avct.printable"  # how streams encode what they cannot: see _printable
STUCK = "interrupted in the middle of a computation; unfinished files may be left"
GRACE = 10.0  # seconds after a signal in which further ones do not disturb the cleaning up
COMMANDS = {
    "animate": "a portrait and a voice become a talking video",
    "inspect": "what is seen of a portrait, a sound or a film, in a picture",
    "verify": "whether films say that they are synthetic, and who says so",
    "demo": "see it at once: a bundled portrait speaks a bundled sentence",
    "serve": "a page, jobs over HTTP and live streams",
    "preprocess": "videos become clips to train on",
    "evaluate": "measure videos of talking faces",
    "ablate": "train and measure the paper's ablations",
    "convert": "released weights become a checkpoint that --checkpoint takes",
    "export": "a portrait's programs as StableHLO, for use without this package",
    "bench": "frames a second and operations a frame on this machine",
    "train": "train the networks",
}
ABOUT = "One portrait and one voice in, a talking video out: the AVCT of Wang et al. (AAAI 2022) in JAX."
MORE = """
start here:
  avct demo                                                            leaves demo.mp4
  avct animate --image face.jpg --audio speech.wav --output talk.mp4   your own

`avct COMMAND --help` says more and has examples; `avct --version` says which this is. Compiled programs are
kept in your cache folder (AVCT_CACHE_DIR names another one, AVCT_NO_CACHE=1 switches that off).
"""
# Libraries in C++ that greet on standard error; what they know of failures reaches us as exceptions.
SILENCED = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "GLOG_minloglevel": "3",
    "ABSL_MIN_LOG_LEVEL": "3",
    "OPENCV_LOG_LEVEL": "ERROR",
}
COLOURLESS = "PYTHON_TYRO_ANSI_CODES"  # tyro knows no NO_COLOR


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
      argv: the words after `avct`; None takes the process's own.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    debug = "--debug" in argv or bool(os.environ.get("AVCT_DEBUG"))
    for name, level in SILENCED.items():
        os.environ.setdefault(name, level)
    if os.environ.get("NO_COLOR"):
        os.environ[COLOURLESS] = "False"
    os.environ["JAX_ENABLE_X64"] = "0"  # everything here is of 32 bits, whatever other programs need
    _open_streams()
    try:
        with _ending_cleanly():
            try:
                return _dispatch(argv)
            finally:
                _flush()
    except errors.UserError as error:
        return _refuse(error, debug)
    except KeyboardInterrupt as interrupt:
        code = getattr(interrupt, "code", INTERRUPTED)
        return _say(str(interrupt) or "interrupted; nothing was left behind", code)
    except BrokenPipeError:
        _silence_stdout()
        return PIPE_CLOSED
    except Exception as problem:
        if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:
            _silence_stdout()
            return _refuse(
                errors.UserError(f"no space is left for {problem.filename or 'the output'}; free some"), debug
            )
        if missing := _missing_platform():
            return _refuse(
                errors.UserError(f"JAX_PLATFORMS is {missing!r}, which is not here; unset it"), debug
            )
        traceback.print_exc()
        return _say("this should not have happened: please report it with the lines above", BUG)


def _dispatch(argv: Sequence[str]) -> int:
    if argv and argv[0] == "--version":
        print(f"avct-jax {avct_jax.__version__}")
        return 0
    run, options = _read(argv)
    with terminal.notes_of_the_package(quiet=options.shown.quiet), compile_cache.mended():
        return run(options)


def _read(argv: Sequence[str]) -> tuple[Callable[[Any], int], Any]:
    """What is to be run, and what it is asked; the command's own module is all that is imported for that."""
    name = terminal.choose(argv, "avct", "COMMAND", COMMANDS, ABOUT, MORE)
    command = importlib.import_module(f"avct_jax.cli.commands.{name}")
    if name == "train":
        return command.read(argv[1:])
    from avct_jax.cli import option  # and tyro

    return command.run, option.parse(command.Options, argv[1:], f"avct {name}", command.EXAMPLES)


@contextlib.contextmanager
def _ending_cleanly() -> Iterator[None]:
    """Let a polite kill, or a closed terminal, unwind like Ctrl-C does: half-written files are removed.

    What comes right after the first signal is not heard: an impatient Ctrl-C would end the cleaning up. Where
    that has not begun, in the middle of a compiled program, a second one ends the process.
    """
    asked = float("-inf")

    def end(number, frame):
        nonlocal asked
        if stuck_signals.is_importing(frame):
            later(functools.partial(end, number))
            return
        handled()
        if time.monotonic() - asked < GRACE:
            return
        asked = time.monotonic()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ending = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]  # as nohup asks
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        ending.append(signal.SIGINT)
    with stuck_signals.insisted() as later, stuck_signals.watched(ending, lambda: STUCK) as handled:
        before = {number: signal.signal(number, end) for number in ending}
        try:
            yield
        finally:
            for number, handler in before.items():
                # Once asked, the process ends by that signal.
                signal.signal(number, signal.SIG_IGN if asked > 0 else handler or signal.SIG_DFL)


def _open_streams() -> None:
    """Have streams that take everything: a shell may close them, and file names need not be UTF-8."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - open to the end of the process
        with contextlib.suppress(AttributeError):  # somebody's own stream
            getattr(sys, name).reconfigure(errors=PRINTABLE)


def _printable(error: UnicodeError) -> tuple[str | bytes, int]:
    """Bytes of a file's name as they are, and letters that a terminal lacks by their number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter = error.object[error.start]
    if 0xDC80 <= ord(letter) <= 0xDCFF:
        return bytes([ord(letter) - 0xDC00]), error.start + 1
    return letter.encode("ascii", "backslashreplace").decode(), error.start + 1


codecs.register_error(PRINTABLE, _printable)


def _flush() -> None:
    """Write what was printed: a closed pipe shows itself here; a full disk does not undo what is done."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:
        _silence_stdout()


def _silence_stdout() -> None:
    # Python flushes once more at its end, which would fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refuse(error: errors.UserError, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    return _say(" ".join(str(error).split()), REFUSED)


def _missing_platform() -> str:
    """What JAX_PLATFORMS asks for, if that is why nothing works; else ""."""
    named = os.environ.get("JAX_PLATFORMS", "")
    if named and "jax" in sys.modules:
        try:
            sys.modules["jax"].devices()
        except Exception:  # jax says it in many ways
            return named
    return ""


def _say(message: str, code: int) -> int:
    with contextlib.suppress(OSError):
        print(f"avct: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
