"""A training that hangs is ended, with the stacks of all its threads, so that a scheduler starts it again.

Collectives wait for ever for a process that is stuck in its data, its disk or its driver, and all others look
as busy as before. Each process watches itself: the stacks say which of them waited for the others, and which
was waited for.
"""

import contextlib
import faulthandler
import math
import os
import pathlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

HUNG = 86  # exit code; no shell's, signal's or sysexits.h's
# What compiles, judges or saves has so many times as long as a step.
PATIENCE = 10
MARGIN = 60.0  # seconds later the C library ends a process none of whose Python threads runs any more: with 1
FOLDER = "stacks"
# Seconds between a process's stacks and its end, for the others to write theirs: JAX ends them where one is
# gone, at once where it is process 0, which therefore goes last.
FAREWELL, LAST = 10.0, 15.0


class Watchdog:
    """Ends the process where nothing has been heard for too long; use as a context manager."""

    def __init__(
        self,
        folder: pathlib.Path,
        seconds: float,
        *,
        process: int = 0,
        processes: int = 1,
        leave: Callable[[int], object] = os._exit,
        now: Callable[[], float] = time.monotonic,
    ):
        """Watch, once entered.

        Args:
          folder: of the stage; stacks go to `stacks/process-N.txt` in it.
          seconds: in which each step must end; 0 watches nothing.
          process: number of this one, of `processes`.
          leave: ends the process with a code.
        """
        self._path = folder / FOLDER / f"process-{process}.txt"
        self._seconds, self._leave, self._now = seconds, leave, now
        self._farewell = 0.0 if processes == 1 else FAREWELL if process else LAST
        self._last, self._armed = now(), -math.inf
        self._patient = 1  # blocks that take long; the first step, which is compiled, is one
        self._has_stepped = False
        self._ended = threading.Event()
        self._file = None

    def __enter__(self) -> "Watchdog":
        if self._seconds:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Open before it is needed: a full disk or a dead file system must not keep the process alive.
            self._file = open(self._path, "a", encoding="utf-8")
            self.beat()
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        if self._file:
            faulthandler.cancel_dump_traceback_later()
            self._file.close()
            if not self._path.stat().st_size:
                self._path.unlink()
                with contextlib.suppress(OSError):  # others' stacks are there
                    self._path.parent.rmdir()

    def beat(self) -> None:
        """Something ended: count from now."""
        self._last = self._now()
        if self._file and self._last - self._armed > self._limit() / 10:
            self._armed = self._last
            faulthandler.dump_traceback_later(self._limit() + MARGIN, exit=True, file=self._file)

    def stepped(self) -> None:
        """A step ended."""
        if not self._has_stepped:
            self._has_stepped, self._patient, self._armed = True, self._patient - 1, -math.inf
        self.beat()

    @contextlib.contextmanager
    def patient(self) -> Iterator[None]:
        """Give the block PATIENCE times as long: it judges or saves."""
        self._patient, self._armed = self._patient + 1, -math.inf
        self.beat()
        try:
            yield
        finally:
            self._patient, self._armed = self._patient - 1, -math.inf
            self.beat()

    def check(self) -> None:
        """End the process, if nothing has been heard for too long."""
        quiet = self._now() - self._last
        if self._file and quiet > self._limit():
            self._end(quiet)

    def _limit(self) -> float:
        return self._seconds * (PATIENCE if self._patient else 1)

    def _watch(self) -> None:
        while not self._ended.wait(min(1.0, self._seconds / 4)):
            self.check()

    def _end(self, quiet: float) -> None:
        assert self._file
        limit = f"--watchdog {self._seconds:g}"
        said = f"avct: no step has ended for {quiet:.0f} s ({limit}); the stacks are in {self._path}"
        # Whatever of this fails: the process must end.
        with contextlib.suppress(Exception):
            self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  nothing for {quiet:.0f} s\n")
            self._file.flush()
            faulthandler.dump_traceback(self._file, all_threads=True)
            os.fsync(self._file.fileno())
        with contextlib.suppress(Exception):
            print(said, file=sys.stderr, flush=True)
        time.sleep(self._farewell)
        self._leave(HUNG)
