"""Devices laid out as a mesh: the axis "data" alone, or beside it "fsdp", over which a state is split.

The order is what counts: the slice of the batch that a process draws is where its devices stand, and devices
that split one state stand in one slice (TPU) or machine (GPU), where links are fast.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils

from avct_jax import errors

DATA, FSDP = "data", "fsdp"


def lay(devices: Sequence[Any], fsdp: int = 1) -> jax.sharding.Mesh:
    """Lay devices along "data", or along "data" and "fsdp" where `fsdp` is more than 1.

    Several slices lie along "data" first: between them go gradients only, unless a state is split over more
    devices than a slice has.

    Args:
      devices: in the order of their processes.
      fsdp: devices over which a state is split; divides their number.

    Raises:
      UserError: it does not.
    """
    auto = jax.sharding.AxisType.Auto
    if fsdp == 1:
        return jax.sharding.Mesh(np.array(devices), (DATA,), axis_types=(auto,))
    if fsdp < 1 or len(devices) % fsdp:
        fits = [n for n in range(1, len(devices) + 1) if len(devices) % n == 0]
        raise errors.UserError(
            f"--fsdp {fsdp} does not divide the {len(devices)} devices; pass one of {_listed(fits)}"
        )
    return jax.sharding.Mesh(grid(devices, fsdp), (DATA, FSDP), axis_types=(auto, auto))


def batch_axes(mesh: jax.sharding.Mesh) -> str | tuple[str, ...]:
    """The axes over which a batch is dealt out: all of them."""
    return (DATA, FSDP) if FSDP in mesh.axis_names else DATA


def part(mesh: jax.sharding.Mesh) -> tuple[int, int]:
    """Which part of a batch is this process's, from 0, and of how many: by where its devices stand."""
    processes = _processes(mesh.devices)
    return processes.index(jax.process_index()), len(processes)


def grid(devices: Sequence[Any], fsdp: int) -> np.ndarray:
    """Arrange devices as (data, fsdp), each process's side by side.

    Raises:
      UserError: a state would be split over parts of slices.
    """
    plain = np.array(devices, object).reshape(-1, fsdp)
    slices = len({_slice_of(d) for d in devices})
    each = len(devices) // slices
    if slices == 1:
        found = mesh_utils.create_device_mesh(plain.shape, devices)
    elif any(a % b for a, b in [(len(devices), slices), (max(each, fsdp), min(each, fsdp))]):
        raise errors.UserError(
            f"--fsdp {fsdp} does not fit {slices} slices or machines of {each} devices; pass --fsdp {each}"
        )
    else:
        inside = min(fsdp, each)
        between = fsdp // inside
        found = mesh_utils.create_hybrid_device_mesh(
            (each // inside, inside), (slices // between, between), devices
        )
    # A physical order that tears a process's devices apart would tear its part of the batch apart, too.
    return found if _is_contiguous(found) else plain


def _is_contiguous(grid: np.ndarray) -> bool:
    """Whether each process's devices stand side by side."""
    found = _processes(grid)
    return len(found) == len(set(found))


def _processes(grid: np.ndarray) -> list[int]:
    return [process for process, _ in itertools.groupby(d.process_index for d in grid.flat)]


def _slice_of(device: Any) -> int:
    return getattr(device, "slice_index", 0) or 0


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
