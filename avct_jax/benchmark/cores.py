"""Processor cores that a measurement may use."""

import os

from avct_jax import errors


def use(wanted: int) -> None:
    """Use so many at most; before JAX is imported, which begins as many threads as it finds.

    Raises:
      UserError: there are fewer, or the system does not let a process choose.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise errors.UserError("--cores needs Linux; leave it out")
    if wanted > (there := count()):
        raise errors.UserError(f"--cores {wanted}: this process may use {there}")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:wanted])


def count() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
