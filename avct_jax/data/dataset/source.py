"""What the trainer asks of batches, wherever they come from."""

import abc
import collections
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int

from avct_jax import errors
from avct_jax.data.dataset import batch_types

T = TypeVar("T")


@runtime_checkable
class Source(Protocol):
    """Batches of numpy, each decided by (kind, config, seed, step, batch size, held_out) alone.

    Batch `step` holds examples step * batch_size and on, as sampler.py numbers them. `part` = (i, m)
    means the i-th of m equal slices, which joined are the whole batch; batch_size is that of the whole.
    """

    def batch(
        self,
        kind: str,
        config: batch_types.DrawConfig,
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
        config: batch_types.DrawConfig,
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


class PeopleSource(abc.ABC):
    """A Source of one kind, drawn person by person; the speaker has a share of his own.

    Attributes:
      KIND: of its batches.
      STREAM: of random numbers, which no other source may share.
    """

    KIND: ClassVar[str]
    STREAM: ClassVar[int]

    def __init__(
        self,
        persons: Sequence[str] | np.ndarray,
        usable: Bool[np.ndarray, " n"],
        held_out: Bool[np.ndarray, " n"],
        *,
        speaker: str,
        speaker_prob: float,
    ):
        """Take n examples.

        Args:
          persons: who is in each of them.
          usable: which may be drawn.
          held_out: which are for judging only.
          speaker_prob: of examples that are the speaker's.
        """
        self.speaker, self.speaker_prob = speaker, speaker_prob
        names = np.array(persons, str)
        self._people: dict[bool, dict[str, np.ndarray]] = {}
        for split in (False, True):
            chosen = usable & (held_out == split)
            present = sorted(set(names[chosen].tolist()))
            self._people[split] = {name: np.flatnonzero(chosen & (names == name)) for name in present}

    @abc.abstractmethod
    def collate(self, drawn: list[tuple[int, np.random.Generator]]) -> Any:
        """Make a batch of the examples of these numbers; what else is random in one is its generator's."""

    def batch(
        self, kind: str, config: Any, *, seed: int, step: int, batch_size: int,
        part: tuple[int, int] = (0, 1), held_out: bool = False,
    ) -> Any:  # fmt: skip
        """Make a batch as Source says.

        Raises:
          UserError: there is nobody to draw.
        """
        del config
        if kind != self.KIND:
            raise ValueError(f"kind is {kind!r}; this source has {self.KIND} only")
        numbers = (step * batch_size + place for place in part_of(batch_size, part))
        generators = [np.random.default_rng((seed, self.STREAM, number)) for number in numbers]
        people = self.people(bool(held_out), step)
        return self.collate([(self._draw(people, rng, held_out), rng) for rng in generators])

    def batches(self, kind: str, config: Any, *, first_step: int = 0, **which: Any) -> Iterator[Any]:
        """Yield batches as Source says."""
        return prefetch(lambda ahead: self.batch(kind, config, step=first_step + ahead, **which))

    def people(self, held_out: bool, step: int) -> dict[str, np.ndarray]:
        """Whom a step draws from: numbers of examples by person."""
        del step
        return self._people[held_out]

    def _draw(self, people, rng, held_out):
        others = [name for name in people if name != self.speaker]
        if self.speaker in people and (not others or rng.random() < self.speaker_prob):
            return self.choose(people[self.speaker], rng)
        if not others:
            which = "for judging" if held_out else "to learn from"
            raise errors.UserError(f"no clip is fit {which} ({self.KIND}); preprocess more or longer videos")
        return self.choose(people[others[int(rng.integers(len(others)))]], rng)

    def choose(self, which: Int[np.ndarray, " k"], rng: np.random.Generator) -> int:
        """Draw one of a person's examples."""
        return int(rng.choice(which))


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
