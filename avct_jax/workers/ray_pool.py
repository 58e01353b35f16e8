"""Ray's actors that work through a list, on as many machines as the cluster has.

An actor keeps what it loaded and compiled. One that is lost, with its machine or alone, costs the time of
its item: that is done again by another. What is made must therefore bear its name only when it is whole, and
be the same whoever makes it. The cluster is Ray's own affair: this knows of actors only.
"""

import collections
import contextlib
import importlib.metadata
import logging
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from avct_jax import errors
from avct_jax.data.clips import worker_pool

TRIES = 3  # of an item whose actors are lost: it may be what ends them
TICK = 1.0  # seconds between two looks at how far the actors are
TELLING = 0.5  # seconds between two words of an actor
PATIENCE = 600.0  # seconds without any actor, in which a cluster may grow
NOTICE = 30.0  # seconds of them after which it is told
MEMORY = 0.9  # of a GPU, that those who share it take together
REMEDY = "look at `ray status`, or work with fewer ({})"

log = logging.getLogger(__name__)


def library() -> Any:
    """Ray itself, which sends nothing to its makers.

    Raises:
      UserError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or it warns of what it will do
    try:
        import ray  # pyright: ignore[reportMissingImports] - an extra
    except ImportError:
        raise errors.UserError("--engine ray needs Ray: pip install 'avct-jax[ray]'") from None
    return ray


def run(
    work: Callable[[Any, Any, Callable[[int], None]], Any],
    items: Sequence[Any],
    shared: Any,
    *,
    jobs: int = 0,
    option: str = "--workers",
    patience: float = 0.0,
    address: str | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
) -> Generator[tuple[Any, Any], None, None]:
    """Yield (item, what `work` returns) as they come, as `worker_pool.run` does.

    Leaving the loop ends the actors. Relative names of files mean the same as here: actors work in a
    folder of the same name.

    Args:
      work: a module's function of an item, `shared`, and a function to call with amounts done; its module
        must be installed on all machines.
      jobs: actors; 0: as many as there is room for.
      option: that says how many, for refusals.
      patience: not used: actors are ended at once, and what they left half-written is known by its name.
      address: see `engine.Engine`.
      cpus, gpus: that each actor takes.

    Raises:
      UserError: Ray or the cluster is not there, it has no room, its machines lack the folder or have another
        version of this package, or actors are lost one after another.
    """
    del patience
    if not items:
        return
    ray = library()
    with _connected(ray, address):
        jobs = min(jobs or _room(ray, cpus, gpus), len(items))
        crew = _RayCrew(ray, work, items, shared, jobs, cpus, gpus, option)
        try:
            yield from crew.answers()
        finally:
            crew.end()


@contextlib.contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """Be connected to a cluster; to the caller's where it is already."""
    if ray.is_initialized():
        yield
        return
    own = {"logging_level": logging.ERROR} | ({} if address else {"include_dashboard": False})
    try:
        ray.init(address=address, log_to_driver=False, **own)
    except Exception as error:  # of a dozen kinds: Ray's, gRPC's, Python's
        reason = " ".join(str(error).split())[:200]
        place = address or os.environ.get("RAY_ADDRESS") or "this machine"
        raise errors.UserError(
            f"no Ray cluster answers at {place} ({reason}); look at `ray status` there, set "
            "RAY_AUTH_MODE=token where it asks for one, or leave the address out"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _room(ray: Any, cpus: float, gpus: float) -> int:
    """How many actors the machines hold now; 1 where there is none yet."""
    count = 0
    for node in ray.nodes():
        has = node["Resources"] if node["Alive"] else {}
        kinds = {"CPU": cpus, "GPU": gpus}
        count += min((int(has.get(kind, 0) / amount) for kind, amount in kinds.items() if amount), default=1)
    return max(1, count)


class _RayWorker:
    """An actor: one item at a time, with what it loaded for those before."""

    def __init__(self, gpus: float):
        if 0 < gpus < 1:  # XLA would take three quarters of it for the first
            os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{MEMORY * gpus:.3f}")

    def ready(self, folder: str, version: str) -> str:
        """Go to the folder; returns why nothing can be done here, "" where it can."""
        where = f"on the machine {os.uname().nodename}"
        if _version() != version:
            return f"avct-jax is {_version()} {where} and {version} here; install the same"
        try:
            os.chdir(folder)
        except OSError as error:
            return f"{folder!r} cannot be reached {where} ({error.strerror}); work in a folder that all share"
        return ""

    def do(self, work: Callable, number: int, item: Any, shared: Any, board: Any) -> tuple[Any, int]:
        """Do an item; returns the answer, and the amount done that the board was not told."""
        logger = logging.getLogger("avct_jax")
        if not logger.handlers:  # what it says is in the answer
            logger.addHandler(logging.NullHandler())
        untold, last = 0, time.monotonic()

        def tell(amount: int) -> None:
            nonlocal untold, last
            untold += amount
            if time.monotonic() - last >= TELLING:
                board.add.remote(number, untold)
                untold, last = 0, time.monotonic()

        return worker_pool.answer(work, item, shared, tell), untold


class _RayBoard:
    """An actor that all others tell how far they are."""

    def __init__(self):
        self.amounts = collections.Counter()

    def add(self, number: int, amount: int) -> None:
        self.amounts[number] += amount

    def take(self) -> dict[int, int]:
        taken, self.amounts = dict(self.amounts), collections.Counter()
        return taken


class _RayCrew:
    """The actors of one list; their answers' references are keys of those that begin, and that work."""

    def __init__(self, ray, work, items, shared, jobs, cpus, gpus, option):
        self.ray, self.work, self.items, self.jobs, self.option = ray, work, items, jobs, option
        self.what = {"num_cpus": cpus, "num_gpus": gpus}
        self.kind = ray.remote(_RayWorker).options(**self.what, max_restarts=0)
        self.board = ray.remote(_RayBoard).options(num_cpus=0, max_restarts=-1, **_beside(ray)).remote()
        self.shared = ray.put(shared)
        self.waiting = collections.deque(range(len(items)))
        self.tries: collections.Counter = collections.Counter()
        self.beginning: dict[Any, Any] = {}
        self.busy: dict[Any, tuple[Any, int]] = {}
        self.lost, self.looked, self.worked = 0, time.monotonic(), time.monotonic()
        self.told = False

    def answers(self) -> Generator[tuple[Any, Any], None, None]:
        while self.waiting or self.busy:
            self._begin()
            found, _ = self.ray.wait([*self.beginning, *self.busy], num_returns=1, timeout=TICK)
            if found or time.monotonic() - self.looked >= TICK:
                yield from self._progress()
            for ref in found:
                if ref in self.beginning:
                    self._employ(ref)
                else:
                    yield from self._finish(ref)
            self._mind_room()

    def end(self) -> None:
        """End all actors."""
        actors = [*self.beginning.values(), *(actor for actor, _ in self.busy.values()), self.board]
        for actor in actors:
            with contextlib.suppress(Exception):  # gone, or the cluster is
                self.ray.kill(actor)

    def _begin(self) -> None:
        """As many actors as there is work for; those that find no room wait for it."""
        wanted = min(self.jobs, len(self.waiting) + len(self.busy))
        for _ in range(wanted - len(self.beginning) - len(self.busy)):
            actor = self.kind.remote(self.what["num_gpus"])
            self.beginning[actor.ready.remote(os.getcwd(), _version())] = actor

    def _employ(self, ref: Any) -> None:
        actor = self.beginning.pop(ref)
        try:
            problem = self.ray.get(ref)
        except self.ray.exceptions.RayError as error:
            return self._count_lost(error)
        if problem:
            raise errors.UserError(problem)
        self._feed(actor)

    def _feed(self, actor: Any) -> None:
        if not self.waiting:
            return self.ray.kill(actor)
        number = self.waiting.popleft()
        self.tries[number] += 1
        ref = actor.do.remote(self.work, number, self.items[number], self.shared, self.board)
        self.busy[ref] = actor, number

    def _finish(self, ref: Any) -> Iterator[tuple[Any, Any]]:
        actor, number = self.busy.pop(ref)
        item = self.items[number]
        try:
            answer, untold = self.ray.get(ref)
        except self.ray.exceptions.RayTaskError as error:  # not the work's own: that is an answer
            yield item, worker_pool.WorkFailure(_line(error))
        except self.ray.exceptions.RayError as error:
            log.info("a worker was lost: %s", _line(error))
            if self.tries[number] < TRIES:
                self.waiting.appendleft(number)
                return
            self._count_lost(error)
            text = f"{TRIES} workers were lost over it ({_line(error)})"
            yield item, worker_pool.WorkFailure(text, died=True)
            return
        else:
            self.lost = 0
            if untold:
                yield item, worker_pool.WorkProgress(untold)
            yield item, answer
        self._feed(actor)

    def _count_lost(self, error: Exception) -> None:
        """Of items, and of actors that did not begin: either the list or the cluster is what ends them."""
        self.lost += 1
        if self.lost >= worker_pool.GIVE_UP * self.jobs:
            many = f"{self.lost} workers were lost one after another"
            raise errors.UserError(f"{many}: {_line(error)}; {REMEDY.format(self.option)}")

    def _progress(self) -> Iterator[tuple[Any, worker_pool.WorkProgress]]:
        """What the board was told since the last time; it may be lost with its machine."""
        self.looked = time.monotonic()
        try:
            amounts = self.ray.get(self.board.take.remote(), timeout=5 * TICK)
        except self.ray.exceptions.RayError:
            return
        for number, amount in amounts.items():
            yield self.items[number], worker_pool.WorkProgress(amount)

    def _mind_room(self) -> None:
        now = time.monotonic()
        self.worked = now if self.busy else self.worked
        if (idle := now - self.worked) < NOTICE:
            self.told = False
            return
        asked = ", ".join(f"{amount:g} {kind[4:].upper()}" for kind, amount in self.what.items() if amount)
        if idle >= PATIENCE:
            raise errors.UserError(
                f"the Ray cluster had no room for a worker ({asked}) in {idle:.0f} s; look at `ray status`, "
                "add machines, or ask for less by --worker-cpus and --worker-gpus"
            )
        if not self.told:
            self.told = True
            log.warning("the Ray cluster has no room for a worker yet (%s); see `ray status`", asked)


def _beside(ray: Any) -> dict[str, Any]:
    """How an actor stays on this machine: those that may be lost are others."""
    from ray.util import scheduling_strategies  # pyright: ignore[reportMissingImports]

    node = ray.get_runtime_context().get_node_id()
    return {"scheduling_strategy": scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=True)}


def _version() -> str:
    try:
        return importlib.metadata.version("avct-jax")
    except importlib.metadata.PackageNotFoundError:  # it runs from its source
        return "unknown"


def _line(error: Exception) -> str:
    """What Ray says, in short."""
    words = " ".join(str(error).split())
    return words if len(words) <= 160 else f"{words[:160]}..."
