"""Processes that work through a list, one item each at a time, and whose death costs one item only.

concurrent.futures gives the whole pool up when a process is killed; a decoder that crashes must not end a
night's run. pebble (5.2) does so when one dies between two items, or as it starts, or while it holds the lock
of the pipe that all its processes share. Here each has a pipe of its own.
"""

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing import connection
from typing import Any, NamedTuple, TypeVar

from avct_jax import errors

Item = TypeVar("Item")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
GIVE_UP = 3  # times the number of processes may die in succession: they do not start, or memory is short
REMEDY = "free memory, or work with fewer ({})"


class WorkProgress(NamedTuple):
    """An item is still worked on;

    Attributes:
      amount: done since the last time.
    """

    amount: int


class WorkFailure(NamedTuple):
    """An item was not done;

    Attributes:
      error: the UserError that says what the user can mend.
      died: the process did.
    """

    text: str
    error: errors.UserError | None = None
    died: bool = False


class _Worker:
    def __init__(self, context, work: Callable, shared: Any, patient: bool):
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work, shared, patient), daemon=True)
        self.process.start()
        theirs.close()
        self.item: Any = None

    def stop(self, patience: float = 0.0) -> None:
        self.process.join(patience)
        self.process.kill()
        self.process.join()
        self.pipe.close()


def run(
    work: Callable[[Item, Any, Callable[[int], None]], Any],
    items: Sequence[Item],
    shared: Any,
    *,
    jobs: int,
    option: str = "--jobs",
    patience: float = 0.0,
) -> Generator[tuple[Item, Any], None, None]:
    """Yield (item, what `work` returns) as they come, Progress and Failure among them.

    Leaving the loop kills the processes. They do not see Ctrl-C: it is the caller's to decide.

    Args:
      work: a module's function of an item, `shared`, and a function to call with amounts done.
      jobs: processes.
      option: that says how many, for refusals.
      patience: seconds in which a process that is to end may clean up: SystemExit is raised in its work.
    """
    start = functools.partial(_Worker, multiprocessing.get_context("spawn"), work, shared, patience > 0)
    waiting = list(reversed(items))
    workers: list[_Worker] = []
    with _one_thread_each():
        try:
            workers += [start() for _ in range(min(jobs, len(items)))]
            for worker in workers:
                _feed(worker, waiting)
            died = 0
            while busy := [worker for worker in workers if worker.item is not None]:
                for ready in connection.wait([worker.pipe for worker in busy]):
                    worker = next(w for w in busy if w.pipe is ready)
                    item, told = worker.item, _receive(worker)
                    yield item, told
                    if isinstance(told, WorkProgress):
                        continue
                    died = died + 1 if isinstance(told, WorkFailure) and told.died else 0
                    if died >= GIVE_UP * jobs:
                        many = f"{died} processes died one after another"
                        raise errors.UserError(f"{many}: {told.text}; {REMEDY.format(option)}")
                    if died:
                        workers.remove(worker)
                        worker.stop()
                        worker = start()
                        workers.append(worker)
                    _feed(worker, waiting)
        finally:
            end = time.monotonic() + patience
            for worker in workers if patience else ():
                worker.process.terminate()
            for worker in workers:
                worker.stop(max(0.0, end - time.monotonic()))


def _feed(worker: _Worker, waiting: list) -> None:
    worker.item = waiting.pop() if waiting else None
    if worker.item is not None:
        with contextlib.suppress(BrokenPipeError):  # it has died; _receive will tell
            worker.pipe.send(worker.item)


def _receive(worker: _Worker) -> Any:
    try:
        return worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join()
        code = worker.process.exitcode or 0
        cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return WorkFailure(f"the process that worked on it died ({cause})", died=True)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes share the cores: libraries in them, which read this as they load, get one thread each."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _serve(pipe: connection.Connection, work: Callable, shared: Any, patient: bool) -> None:
    with contextlib.suppress(OSError, AttributeError):
        os.setsid()  # neither this process nor the decoders it starts see the terminal's Ctrl-C
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if patient:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    threading.Thread(target=die_with_parent, daemon=True).start()
    while True:
        try:
            item = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(answer(work, item, shared, lambda amount: pipe.send(WorkProgress(amount))))


def answer(
    work: Callable[[Item, Any, Callable[[int], None]], Any], item: Item, shared: Any, tell: Any
) -> Any:
    """What `work` returns of an item, or a WorkFailure where it raises."""
    try:
        return work(item, shared, tell)
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return WorkFailure(text, error if isinstance(error, errors.UserError) else None)


def die_with_parent() -> None:
    """End this process when the one that spawned it has ended; to be called in a thread."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
