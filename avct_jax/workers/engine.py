"""Who works through a list: processes of this machine, or Ray's actors on many."""

import functools
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from avct_jax import errors

LOCAL, RAY, AUTO = "local", "ray", "ray://auto"


@runtime_checkable
class WorkPool(Protocol):
    """What works through a list; see `data.clips.worker_pool.run`, which is one."""

    def __call__(
        self,
        work: Callable[[Any, Any, Callable[[int], None]], Any],
        items: Sequence[Any],
        shared: Any,
        *,
        jobs: int,
        option: str = "--workers",
        patience: float = 0.0,
    ) -> Generator[tuple[Any, Any], None, None]:
        """Yield (item, what `work` returns) as they come, WorkProgress and WorkFailure among them."""
        ...


class Engine(NamedTuple):
    """Who works.

    Attributes:
      kind: "local" or "ray".
      address: of a Ray cluster: "auto" for one that runs on this machine, "ray://HOST:PORT" for one
        elsewhere, by Ray's client server; None for that of RAY_ADDRESS, or else one that is started here and
        ended again.
      cpus, gpus: that each of Ray's actors takes; 0.5 GPU lets two share one.
    """

    kind: str = LOCAL
    address: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0

    def pool(self) -> WorkPool:
        """What works through a list.

        Raises:
          UserError: Ray is not installed.
        """
        if self.kind == LOCAL:
            from avct_jax.data.clips import worker_pool

            return worker_pool.run
        from avct_jax.workers import ray_pool

        ray_pool.library()
        return functools.partial(ray_pool.run, address=self.address, cpus=self.cpus, gpus=self.gpus)

    def count(self, asked: int | None, usual: int) -> int:
        """How many work at once: as asked; else as usual here, and as many as there is room for with Ray.

        That is 0 for `pool`'s `jobs`.
        """
        return asked or (usual if self.kind == LOCAL else 0)


HERE = Engine()


def parse(text: str, *, cpus: float | None = None, gpus: float | None = None) -> Engine:
    """Read "local", "ray", "ray://auto" or "ray://HOST:PORT".

    Args:
      cpus, gpus: of each of Ray's actors; None is usual.

    Raises:
      UserError: it is none of them, or the local engine is given what is Ray's.
    """
    if text == LOCAL:
        if cpus is not None or gpus is not None:
            raise errors.UserError("--worker-cpus and --worker-gpus are for --engine ray; leave them out")
        return HERE
    scheme, _, place = text.partition("://")
    if scheme != RAY or (text != RAY and not place):
        raise errors.UserError(f"--engine {text!r} is none; choose local, ray, {AUTO} or ray://HOST:10001")
    address = None if text == RAY else "auto" if text == AUTO else text
    given = {name: amount for name, amount in (("cpus", cpus), ("gpus", gpus)) if amount is not None}
    return Engine(RAY, address, **given)
