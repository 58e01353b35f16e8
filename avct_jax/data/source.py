"""What the trainer asks of batches, wherever they come from."""

import collections
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import Any, Protocol, TypeVar, runtime_checkable

from avct_jax.data import schema

T = TypeVar("T")


@runtime_checkable
class Source(Protocol):
    """Batches of numpy, each decided by (kind, config, seed, step, batch size, held_out) alone.

    Batch `step` holds examples step * batch_size and on, as data/windows.py numbers them. `part` = (i, m)
    means the i-th of m equal slices, which joined are the whole batch; batch_size is that of the whole.
    """

    def batch(
        self,
        kind: str,
        config: schema.DrawConfig,
        *,
        seed: int,
        step: int,
        batch_size: int,
        part: tuple[int, int] = (0, 1),
        held_out: bool = False,
    ) -> Any:
        """Make one batch of `kind` (schema.KINDS).

        Raises:
          UserError: no clip fits, or a file is missing or damaged.
          ValueError: the batch cannot be cut into so many parts.
        """
        ...

    def batches(
        self,
        kind: str,
        config: schema.DrawConfig,
        *,
        seed: int,
        batch_size: int,
        part: tuple[int, int] = (0, 1),
        held_out: bool = False,
        first_step: int = 0,
    ) -> Iterator[Any]:
        """Yield the batches of first_step, first_step + 1, ... without end, made ahead in the background.

        Close the iterator (or let go of it) to stop the work.
        """
        ...


def part_of(batch_size: int, part: tuple[int, int]) -> range:
    """Places in a batch that a part holds.

    Raises:
      ValueError: the batch cannot be cut into so many parts.
    """
    which, count = part
    if count < 1 or batch_size < 1 or batch_size % count or not 0 <= which < count:
        raise ValueError(
            f"batch size {batch_size} must be a multiple of the {count} processes (part {which})"
        )
    size = batch_size // count
    return range(which * size, (which + 1) * size)


def prefetch(
    make: Callable[[int], T], numbers: Iterable[int] | None = None, *, ahead: int = 2, workers: int = 1
) -> Iterator[T]:
    """Yield make(number) for each number, in order, worked out ahead by threads.

    What `make` raises is raised here, at its place in the order.

    Args:
      numbers: 0, 1, ... by default.
      ahead: results that may wait to be taken.
    """
    coming = iter(itertools.count() if numbers is None else numbers)
    pool = futures.ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
    waiting = collections.deque(pool.submit(make, n) for n in itertools.islice(coming, ahead + workers))
    try:
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(make, n) for n in itertools.islice(coming, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
