"""Work that is done beside other work: a voice is heard on one core while the portrait is read on another."""

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from avct_jax.animator import notes as gathering

Result = TypeVar("Result")


class Background(Generic[Result]):
    """A function's work in a thread of its own, begun at once; a process that ends does not wait for it."""

    def __init__(self, work: Callable[[list[str]], Result]):
        """Begin.

        Args:
          work: is given a list for its notes.
        """
        self._notes: list[str] = []
        self._future: concurrent.futures.Future[Result] = concurrent.futures.Future()
        threading.Thread(target=self._run, args=(work,), daemon=True).start()

    def result(self, notes: list[str]) -> Result:
        """Wait for what it returns, and add its notes to others, or raise what it raised."""
        found = self._future.result()
        notes.extend(self._notes)
        return found

    def wait(self) -> None:
        """Wait for its end, however it ends."""
        concurrent.futures.wait([self._future])

    def _run(self, work: Callable[[list[str]], Result]) -> None:
        try:
            with gathering.gathered(self._notes):
                self._future.set_result(work(self._notes))
        except BaseException as error:
            self._future.set_exception(error)
