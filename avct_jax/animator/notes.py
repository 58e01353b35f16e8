"""What is decided or lost on the way is a line in `Report.notes`, whichever part of the package logs it."""

import contextlib
import logging
import threading
from collections.abc import Iterator


class Gatherer(logging.Handler):
    """Adds what is logged in the thread that made it to a list of notes."""

    def __init__(self, notes: list[str]):
        """Gather from warnings on."""
        super().__init__(logging.WARNING)
        self._notes, self._thread = notes, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Add one, as a line; what is known is not said again."""
        line = " ".join(record.getMessage().split())
        if record.thread == self._thread and line not in self._notes:
            self._notes.append(line)


@contextlib.contextmanager
def gathered(notes: list[str]) -> Iterator[None]:
    """Add to `notes` what the package logs, from warnings on, while the block runs; it is logged as well."""
    logger, gatherer = logging.getLogger("avct_jax"), Gatherer(notes)
    logger.addHandler(gatherer)
    try:
        yield
    finally:
        logger.removeHandler(gatherer)
