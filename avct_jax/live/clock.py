"""The time by which a paced stream yields, and the turns of its threads."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Protocol, runtime_checkable


@runtime_checkable
class Clock(Protocol):
    """What a paced stream asks of time; tests have their own."""

    def now(self) -> float:
        """Seconds that never go back."""
        ...

    def sleep(self, condition: threading.Condition, seconds: float) -> None:
        """Wait until a frame is due; a notice ends it early. The condition is held."""
        ...

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait for another thread's notice, at most so long. The condition is held."""
        ...

    def rest(self, condition: threading.Condition) -> None:
        """Wait for work, without end. The condition is held."""
        ...


class RealClock:
    """This machine's."""

    def now(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def sleep(self, condition: threading.Condition, seconds: float) -> None:
        """Wait until a frame is due."""
        condition.wait(seconds)

    def wait(self, condition: threading.Condition, seconds: float | None) -> None:
        """Wait for another thread's notice."""
        condition.wait(seconds)

    def rest(self, condition: threading.Condition) -> None:
        """Wait for work."""
        condition.wait()


class Turns:
    """A lock that its worker, who wants it again at once, leaves to callers after each chunk.

    Of two threads that want one of Python's locks, that one gets it which does not sleep: a worker with much
    to plan would keep audio from coming in, and then have nothing to plan.
    """

    def __init__(self):
        """Begin with nobody's turn."""
        self._lock, self._changed, self._callers = threading.RLock(), threading.Condition(), 0

    @contextlib.contextmanager
    def caller(self) -> Iterator[None]:
        """Have the next turn; within one's own as well."""
        with self._changed:
            self._callers += 1
            self._changed.notify_all()
        try:
            with self._lock:
                yield
        finally:
            with self._changed:
                self._callers -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def worker(self) -> Iterator[None]:
        """Have a turn when no caller wants one."""
        with self._changed:
            self._changed.wait_for(lambda: not self._callers)
        with self._lock:
            yield
