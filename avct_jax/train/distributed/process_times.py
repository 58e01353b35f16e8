"""Which process holds the others up: each one's seconds a step, side by side.

Steps end together, so all processes take equally long. Of a slow one's time more is its own: it is spent
drawing examples and starting steps, not waiting for the devices. A slow device shows in a product of its own,
which needs no other.
"""

import json
import pathlib
import socket
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Float

FILE = "processes.jsonl"
SLOW = 1.5  # times the median of all, and
SHARE = 0.2  # of a step's time more than it, before a process is called slow
# Side of the matrices that time a device, and how often they are multiplied: little memory, and more work
# than it takes to start it.
PRODUCT = {"cpu": (512, 1)}
USUAL_PRODUCT = (2048, 16)
TRIES = 3
NAME = 64  # characters of a host's name


class ProcessTime(NamedTuple):
    """Of one process, since the last report.

    Attributes:
      step: s a step, from beginning to end.
      own: s a step in which this process was not waiting for devices.
      data: s a step in which it waited for examples; part of `own`.
      product: s that its slowest device takes for a product of matrices.
    """

    step: float
    own: float
    data: float
    product: float


class ProcessTimes:
    """Gathers all processes' times; every process makes one and calls the same methods."""

    def __init__(self, folder: pathlib.Path):
        self._path = folder / FILE
        self._products = _products()
        self.hosts = _gather_names(socket.gethostname())
        self._named: set[int] = set()

    def report(self, step: int, own: Callable[[float], ProcessTime]) -> list[str]:
        """Exchange times after `step`; the first process writes them down.

        Args:
          own: from the seconds of this process's product.

        Returns:
          In the first process, a line for each that is slow and was not at the last report.
        """
        mine = np.array(own(max(_seconds(p) for p in self._products)), np.float64)
        all_times = np.asarray(multihost_utils.process_allgather(mine)).reshape(-1, len(ProcessTime._fields))
        if jax.process_index():
            return []
        columns = dict(zip(ProcessTime._fields, all_times.astype(float).T.round(6).tolist(), strict=True))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"after": step, **columns}) + "\n")
        found = slow(all_times, self.hosts)
        lines = [line for number, line in found.items() if number not in self._named]
        self._named = set(found)
        return lines


def slow(times: Float[np.ndarray, "processes 4"], hosts: Sequence[str]) -> dict[int, str]:
    """Processes that the others wait for, and in a line why.

    Args:
      times: rows of ProcessTime.
    """
    rows = [ProcessTime(*map(float, row)) for row in times]
    usual = ProcessTime(*(statistics.median_low(column) for column in zip(*rows, strict=True)))
    lines = {}
    for number, row in enumerate(rows):
        late = row.own - usual.own
        reasons = []
        if row.own > SLOW * usual.own and late > SHARE * row.step:
            why = "waits for its examples" if row.data - usual.data > late / 2 else "is busy on its processor"
            reasons.append(f"{why}: {row.own:.3g} s a step, others {usual.own:.3g}")
        if row.product > SLOW * usual.product:
            reasons.append(
                f"has a slow device: {row.product:.3g} s for a product, others {usual.product:.3g}"
            )
        if reasons:
            lines[number] = f"process {number} on {hosts[number]} {'; '.join(reasons)}"
    return lines


def _products() -> list[Callable[[], Any]]:
    """A product of matrices for each of this process's devices."""
    side, times = PRODUCT.get(jax.local_devices()[0].platform, USUAL_PRODUCT)
    product = jax.jit(lambda m: jax.lax.fori_loop(0, times, lambda _, x: jnp.matmul(x, m) / side, m))
    matrices = [jax.device_put(np.ones((side, side), np.float32), d) for d in jax.local_devices()]
    found = [lambda m=m: jax.block_until_ready(product(m)) for m in matrices]
    for once in found:  # compiles
        once()
    return found


def _seconds(once: Callable[[], Any]) -> float:
    """Of the fastest of a few: a device that is throttled is slow each time, a busy moment is not."""
    found = []
    for _ in range(TRIES):
        began = time.perf_counter()
        once()
        found.append(time.perf_counter() - began)
    return min(found)


def _gather_names(name: str) -> list[str]:
    own = np.frombuffer(name.encode()[:NAME].ljust(NAME), np.uint8)
    rows = np.asarray(multihost_utils.process_allgather(own)).reshape(-1, NAME)
    return [bytes(row.astype(np.uint8)).decode(errors="replace").strip() for row in rows]
