"""The time by which a paced stream yields."""

import threading
import time
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
