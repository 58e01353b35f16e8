"""A part of a list of work: "2/8" is the second of eight; each item is in exactly one of them."""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from avct_jax import errors

Item = TypeVar("Item")
AUTO = "auto"
SLURM_ID, SLURM_COUNT = "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"
SLURM_FIRST, SLURM_LAST, SLURM_STEP = (f"SLURM_ARRAY_TASK_{name}" for name in ("MIN", "MAX", "STEP"))
KUBERNETES_INDEX = "JOB_COMPLETION_INDEX"
FORM = "write I/N, such as 2/8 for the second of eight; or auto, or auto/N"


class Shard(NamedTuple):
    """A part of the work.

    Attributes:
      number: which, 1 to `count`.
      count: how many there are.
    """

    number: int = 1
    count: int = 1

    @property
    def is_whole(self) -> bool:
        """It is all of the work."""
        return self.count == 1

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f"{self.number}/{self.count}"

    def of(self, items: Sequence[Item]) -> list[Item]:
        """The items of this part: every `count`-th, so that parts are alike in size.

        All shards must be given the same items in the same order.
        """
        return list(items[self.number - 1 :: self.count])

    def split(self, count: int) -> list["Shard"]:
        """Divide it further: its own items are those of the smaller parts."""
        return [Shard(self.number + self.count * each, self.count * count) for each in range(count)]


WHOLE = Shard()


def parse(text: str | None, environment: Mapping[str, str] = os.environ) -> Shard:
    """Read a shard.

    Args:
      text: "2/8"; "auto" takes both numbers from a SLURM job array that has no gaps; "auto/8" takes the
        number alone, SLURM_ARRAY_TASK_ID or Kubernetes' JOB_COMPLETION_INDEX + 1; None is the whole.
      environment: variables of the process.

    Raises:
      UserError: it is none of them, or the variables are not there.
    """
    if text is None:
        return WHOLE
    number, _, count = text.partition("/")
    if number != AUTO:
        return _checked(_whole(number, text), _whole(count, text))
    if text == AUTO:
        return _of_array(environment)
    if SLURM_ID in environment:
        return _checked(_variable(environment, SLURM_ID), _whole(count, text), f"{SLURM_ID}: ")
    if KUBERNETES_INDEX in environment:
        index = _variable(environment, KUBERNETES_INDEX)
        return _checked(index + 1, _whole(count, text), f"{KUBERNETES_INDEX} + 1: ")
    raise errors.UserError(
        f"--shard {text}: neither {SLURM_ID} (of a SLURM job array) nor {KUBERNETES_INDEX} (of an indexed "
        "Kubernetes job) is set; write the number, such as 2/8"
    )


def _of_array(environment: Mapping[str, str]) -> Shard:
    if SLURM_ID not in environment:
        why = f"{SLURM_ID} is not set: this is no task of a SLURM job array; write I/N, such as 2/8"
        if KUBERNETES_INDEX in environment:
            why = "Kubernetes tells no count; write auto/N, N being the job's completions"
        raise errors.UserError(f"--shard auto: {why}")
    names = (SLURM_ID, SLURM_FIRST, SLURM_LAST, SLURM_COUNT)
    task, first, last, count = (_variable(environment, name) for name in names)
    step = _variable(environment, SLURM_STEP) if SLURM_STEP in environment else 1
    if step < 1 or first + (count - 1) * step != last or (task - first) % step:
        raise errors.UserError(
            f"--shard auto: the job array has gaps ({count} tasks, {first} to {last}), so it does not tell "
            "which part is whose; write auto/N with the count of all parts (shards.sbatch: AVCT_SHARDS=N)"
        )
    return _checked((task - first) // step + 1, count)


def _variable(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except (KeyError, ValueError):
        raise errors.UserError(
            f"--shard auto: {name} is {environment.get(name)!r}, no whole number; write I/N, such as 2/8"
        ) from None


def _whole(word: str, text: str) -> int:
    if not (word.isascii() and word.isdecimal()):
        raise errors.UserError(f"--shard {text!r} is no part; {FORM}")
    return int(word)


def _checked(number: int, count: int, source: str = "") -> Shard:
    if not 1 <= number <= count:
        raise errors.UserError(f"--shard: {source}{number}/{count} is no part; they count from 1/N to N/N")
    return Shard(number, count)
