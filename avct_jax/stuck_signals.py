"""Signals that come while the main thread is in a compiled program, where Python's handlers have to wait."""

import contextlib
import functools
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any

PATIENCE = 1.0  # seconds that the main thread has to hear a signal before it counts as stuck
# Seconds in which further signals, but a key's, are the same one: `timeout` and process managers send theirs
# to the process and to its group.
ECHO = 1.0
LEAST_AGE = 0.5  # seconds that a handler may have run before the watcher reads of its signal
AGAIN = 0.02  # seconds after which an exception that was lost, or could not be raised, is raised again
IMPORTER = "<frozen importlib._bootstrap>"  # the file of Python's import machinery, as its frames name it
END = 0  # no signal's number
ENDED = "{}; nothing was left behind"
WAITING = "{}: the running computation is waited for; once more ends at once"


@contextlib.contextmanager
def watched(numbers: Collection[int], last_words: Callable[[], str]) -> Iterator[Callable[[], None]]:
    """While it lasts, the second signal ends the process where the main thread is stuck.

    Nothing is cleaned up then. Where the main thread is not stuck, its own handlers decide.

    Args:
      numbers: signals that have handlers in Python.
      last_words: what is said before such an end.

    Returns:
      What each of these handlers calls when it runs.
    """
    watcher = _Watcher(frozenset(numbers), last_words)
    ears, mouth = socket.socketpair()
    with ears, mouth:
        mouth.setblocking(False)
        listener = threading.Thread(target=watcher.listen, args=(ears,), daemon=True)
        listener.start()
        before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
        try:
            yield watcher.handled
        finally:
            signal.set_wakeup_fd(before)
            watcher.active = False
            mouth.send(bytes([END]))
            listener.join()


@contextlib.contextmanager
def ending_at_once(leave: Callable[[int], object] = os._exit) -> Iterator[None]:
    """End the process where a signal ends what is inside, after its cleaning up; say so in a line.

    Other threads may be compiling for half a minute: Python would wait for them, and XLA may crash where they
    outlive the interpreter. What they have half written to JAX's cache is removed.

    Args:
      leave: ends the process with an exit code.
    """
    try:
        yield
    except KeyboardInterrupt:
        number = int(signal.SIGINT)
    except SystemExit as end:
        number = end.code - 128 if isinstance(end.code, int) else 0
        if number not in set(signal.Signals):
            raise
    else:
        return
    from avct_jax import compile_cache

    _say(
        ENDED.format("interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}")
    )
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # a closed pipe, or a closed stream
            stream.flush()
    compile_cache.remove_unfinished()
    leave(128 + number)


def is_importing(frame: Any) -> bool:
    """Whether a signal came within Python's import machinery, where no handler may raise.

    It would leave a lock taken, for which other threads would wait for ever at their next import. Modules
    that are being imported are not within. False where nothing could be raised later.

    Args:
      frame: that the signal's handler is given.
    """
    if frame is None or not hasattr(signal, "setitimer"):
        return False
    return frame.f_code.co_filename == IMPORTER


@contextlib.contextmanager
def insisted() -> Iterator[Callable[[Callable[[Any], object]], None]]:
    """Raise once more what a signal's handler raised where Python only prints it and goes on.

    So it does in callbacks of the garbage collector (JAX has one) and in finalisers: a Ctrl-C there
    would be lost. In the main thread alone.

    Returns:
      What takes a handler that could not raise where it was called, see `is_importing`: it is called soon
      again, with the frame of then.
    """
    pending: Callable[[Any], object] | None = None
    print_it = sys.unraisablehook

    def later(handle: Callable[[Any], object]) -> None:
        nonlocal pending
        pending = handle
        if hasattr(signal, "setitimer"):  # else it is called at the block's end
            signal.setitimer(signal.ITIMER_REAL, AGAIN)

    def call(_: object = None, frame: Any = None) -> None:
        nonlocal pending
        if (handle := pending) is not None:
            pending = None
            handle(frame)

    def raise_it(error: BaseException, frame: Any) -> None:
        if not is_importing(frame):
            raise error
        later(functools.partial(raise_it, error))

    def keep(unraisable: Any) -> None:
        if isinstance(unraisable.exc_value, KeyboardInterrupt | SystemExit):
            later(functools.partial(raise_it, unraisable.exc_value.with_traceback(None)))
        else:
            print_it(unraisable)

    before = signal.signal(signal.SIGALRM, call) if hasattr(signal, "SIGALRM") else None
    sys.unraisablehook = keep
    try:
        yield later
        call()
    finally:
        sys.unraisablehook = print_it
        if before is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def is_echo(first: float, number: int) -> bool:
    """Whether a signal that comes now is the one of time `first` once more."""
    return number != signal.SIGINT and time.monotonic() - first < ECHO


class _Watcher:
    """Reads each signal's number as it comes, in a thread of its own."""

    def __init__(self, numbers: frozenset[int], last_words: Callable[[], str]):
        self.numbers, self.last_words, self.active = numbers, last_words, True
        self._first = self._handled = -math.inf

    def handled(self) -> None:
        self._handled = time.monotonic()

    def listen(self, ears: socket.socket) -> None:
        while (number := ears.recv(1)[0]) != END:
            now = time.monotonic()
            if number not in self.numbers:
                continue
            second = self._first > -math.inf
            if second and is_echo(self._first, number):
                continue
            self._first = self._first if second else now
            timer = threading.Timer(PATIENCE, self._judge, (number, now, second))
            timer.daemon = True
            timer.start()

    def _judge(self, number: int, came: float, second: bool) -> None:
        if not self.active or self._handled > came - LEAST_AGE:
            return
        name = signal.Signals(number).name
        _say(self.last_words() if second else WAITING.format(name))
        if second:
            os._exit(128 + number)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # not by sys.stderr, whose lock the main thread may hold
        os.write(2, f"avct: {text}\n".encode())
