"""Many devices as one: the mesh, how arrays lie on it, and how the processes of a cluster find each other.

Parameters lie whole on every device, batches in equal slices along the axis "data"; where a state is split
(distributed/fsdp.py), batches lie along "fsdp", too. What is learned hangs on the global batch alone: on one
device, on eight, or on several machines.
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from avct_jax import errors, malloc
from avct_jax.train.distributed import device_mesh

AXIS = device_mesh.DATA
CONNECT_SECONDS = 300  # that a process waits for the others,
LEAVE_SECONDS = 30  # and at its end: one that failed shall not wait for long
SLURM_TASKS = ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")
# Of a Kubernetes JobSet or indexed job: the first is the kubelet's, scripts/k8s/ sets the others.
JOB_INDEX, COORDINATOR, PROCESS_COUNT = (
    "JOB_COMPLETION_INDEX",
    "JAX_COORDINATOR_ADDRESS",
    "AVCT_PROCESS_COUNT",
)


class Cluster(NamedTuple):
    """The processes that train together; None: JAX reads SLURM's variables itself."""

    coordinator: str | None = None
    process_id: int | None = None
    process_count: int | None = None


def find_cluster(
    coordinator: str | None = None,
    process_id: int | None = None,
    process_count: int | None = None,
    *,
    environment: Mapping[str, str] = os.environ,
) -> Cluster | None:
    """Tell from the options, or else from SLURM's or Kubernetes' variables, who trains together.

    Args:
      coordinator: host:port of process 0.
      process_id: from 0.
      process_count: of all.

    Returns:
      None for a process that is alone.

    Raises:
      UserError: some of the three are missing, or do not fit.
    """
    given = (coordinator, process_id, process_count)
    if any(value is not None for value in given):
        return _checked(*given)
    if _slurm_tasks(environment) > 1:
        return Cluster()
    if all(environment.get(name) for name in (JOB_INDEX, COORDINATOR, PROCESS_COUNT)):
        return _checked(
            environment[COORDINATOR],
            _number(environment, JOB_INDEX),
            _number(environment, PROCESS_COUNT),
        )
    return None


def join(cluster: Cluster | None) -> None:
    """Meet the other processes; to be called before JAX has looked for devices.

    Raises:
      UserError: they were not met in time.
    """
    if cluster is None:
        return
    try:
        jax.distributed.initialize(
            coordinator_address=cluster.coordinator,
            num_processes=cluster.process_count,
            process_id=cluster.process_id,
            initialization_timeout=CONNECT_SECONDS,
            shutdown_timeout_seconds=LEAVE_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        raise errors.UserError(
            f"the {cluster.process_count or 'other'} processes did not meet at "
            f"{cluster.coordinator or 'the first node of the SLURM step'} ({_first_line(error)}); "
            "check the address, the port, and that all of them were started"
        ) from None


def make_mesh(count: int = 0, fsdp: int = 1) -> jax.sharding.Mesh:
    """Lay devices along the axis "data", process by process; see device_mesh.lay.

    Args:
      count: of devices to use; 0: all. Several processes use all.
      fsdp: devices over which a training state is split; 1: it lies whole on each.

    Raises:
      UserError: there are fewer, or `fsdp` does not divide them.
    """
    # Sorted, so that the slice of process p is the p-th part of the batch.
    devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
    if count < 0 or count > len(devices):
        raise errors.UserError(f"--devices {count} is more than there are ({len(devices)}); ask for as many")
    if count and jax.process_count() > 1:
        raise errors.UserError("several processes use all their devices; leave --devices out")
    used = devices[:count] if count else devices
    return device_mesh.lay(used, fsdp)


def replicated(mesh: jax.sharding.Mesh) -> jax.sharding.NamedSharding:
    """Whole on every device."""
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())


def sliced(mesh: jax.sharding.Mesh) -> jax.sharding.NamedSharding:
    """The first axis in equal slices, one a device."""
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(device_mesh.batch_axes(mesh)))


def check_batch_size(batch_size: int, mesh: jax.sharding.Mesh, *, microbatches: int = 1) -> None:
    """Refuse a batch that cannot be dealt out evenly.

    Raises:
      UserError: it is no multiple of the devices times the microbatches.
    """
    unit = mesh.size * microbatches
    if batch_size < 1 or batch_size % unit:
        parts = f" times {microbatches} microbatches" if microbatches > 1 else ""
        near = max(1, round(batch_size / unit)) * unit
        remedy = (
            f"pass --batch-size {near}, or fewer --devices" if mesh.size > 1 else f"pass --batch-size {near}"
        )
        raise errors.UserError(
            f"batch size {batch_size} must be a multiple of {_devices(mesh.size)}{parts}; {remedy}"
        )


def check_memory(examples: Any, batch_size: int, mesh: jax.sharding.Mesh, *, unit: int) -> None:
    """Refuse a batch whose arrays alone do not fit into memory: a step takes many times as much.

    Args:
      examples: some of the batch, as a source makes them.
      unit: of what the batch size must be a multiple.

    Raises:
      UserError: it does not fit; names a size that may.
    """
    each = [(x.nbytes / len(x), isinstance(x, jax.Array)) for x in jax.tree.leaves(examples)]
    on_host = sum(size for size, is_placed in each if not is_placed)
    stats = next(iter(mesh.local_devices)).memory_stats() or {}
    places = [
        ("this machine has", malloc.available(), on_host / jax.process_count()),
        ("a device has", stats.get("bytes_limit"), sum(size for size, _ in each) / mesh.size),
    ]
    for owner, room, one in places:
        if room and batch_size * one > room:
            fits = max(unit, int(room / one / 2) // unit * unit)
            need, has = (size / 2**30 for size in (batch_size * one, room))
            raise errors.UserError(
                f"a batch of {batch_size} needs {need:.1f} GiB for its examples alone, and "
                f"{owner} {has:.1f}; pass --batch-size {fits} or less"
            )


def place(tree: Any, mesh: jax.sharding.Mesh) -> Any:
    """Put a tree whole on every device; each process has all of it."""
    whole = replicated(mesh)
    if jax.process_count() == 1:
        return jax.device_put(tree, whole)

    def put(x):
        x = np.asarray(x)
        return jax.make_array_from_callback(x.shape, whole, lambda index: x[index])

    return jax.tree.map(put, tree)


def make_key(seed: int, mesh: jax.sharding.Mesh) -> jax.Array:
    """A random key, on every device."""
    return jax.jit(lambda: jax.random.key(seed), out_shardings=replicated(mesh))()


def place_batch(batch: Any, mesh: jax.sharding.Mesh) -> Any:
    """Put a batch on the devices: each process gives its own slice, and all see the whole.

    Args:
      batch: a tree of numpy arrays, this process's part of the examples in their order; JAX arrays are
        placed already.
    """
    sharding, processes = sliced(mesh), jax.process_count()

    def put(local):
        if isinstance(local, jax.Array):
            return local
        local = np.asarray(local)
        shape = (len(local) * processes, *local.shape[1:])
        return jax.make_array_from_process_local_data(sharding, local, shape)

    return jax.tree.map(put, batch)


def any_process(flag: bool) -> bool:
    """Whether some process says so; all of them must ask."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def is_first_process() -> bool:
    """Whether this one writes the logs and the images."""
    return jax.process_index() == 0


def _checked(coordinator: str | None, process_id: int | None, process_count: int | None) -> Cluster | None:
    if process_count == 1:
        return None
    if coordinator is None or process_id is None or process_count is None:
        raise errors.UserError(
            "--coordinator, --process-id and --process-count belong together; give all three"
        )
    if not 0 <= process_id < process_count:
        raise errors.UserError(
            f"process id {process_id} is not below the process count {process_count}; they count from 0"
        )
    if ":" not in coordinator:
        raise errors.UserError(f"coordinator {coordinator!r} names no port; give host:port")
    return Cluster(coordinator, process_id, process_count)


def _devices(count: int) -> str:
    return f"the {count} devices" if count > 1 else "1 device"


def _slurm_tasks(environment: Mapping[str, str]) -> int:
    # Only srun sets the step's variables: a batch script's own shell is alone, whatever the job asked for.
    if "SLURM_JOB_ID" not in environment or "SLURM_STEP_NODELIST" not in environment:
        return 1
    name = next((name for name in SLURM_TASKS if environment.get(name)), None)
    return _number(environment, name) if name else 1


def _number(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except ValueError:
        raise errors.UserError(f"{name} is {environment[name]!r}; it must be a whole number") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
