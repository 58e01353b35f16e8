"""A training state split over devices: of every large tensor each device along "fsdp" keeps one part.

Parameters, their moving average and the optimiser's moments lie split between steps and in checkpoints. In a
step a parameter is whole on every device from where it is first needed: the work is that of data parallelism,
the memory of what is carried from step to step is divided (ZeRO: Rajbhandari et al., SC 2020; Rajbhandari's
third stage without its freeing between layers). Networks that are used and not trained stay whole.
"""

from typing import Any

import jax
import numpy as np

from avct_jax.train.core import train_state
from avct_jax.train.distributed import device_mesh

LEAST = (
    2**14
)  # numbers of a tensor: a smaller one is whole everywhere, its parts would cost more than they save
SPLIT_ON_USE = ("params", "ema_params", "batch_stats", "ema_batch_stats")  # of a NetworkState


def is_split(mesh: jax.sharding.Mesh) -> bool:
    """Whether states are split over the devices of this mesh."""
    return device_mesh.FSDP in mesh.axis_names


def sharding_of(shape: tuple[int, ...], mesh: jax.sharding.Mesh) -> jax.sharding.NamedSharding:
    """Where a tensor lies: split on its largest axis that "fsdp" divides, the last of equals; else whole."""
    parts = mesh.shape.get(device_mesh.FSDP, 1)
    fitting = [i for i, size in enumerate(shape) if size % parts == 0]
    if parts == 1 or not fitting or int(np.prod(shape)) < LEAST:
        return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    axis = max(fitting, key=lambda i: (shape[i], i))
    names = [device_mesh.FSDP if i == axis else None for i in range(axis + 1)]
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*names))


def shardings(state: Any, mesh: jax.sharding.Mesh) -> Any:
    """Where each array of a state lies: a tree like it.

    Args:
      state: its arrays, or their shapes (jax.eval_shape).
    """
    return jax.tree.map(lambda x: sharding_of(x.shape, mesh), state)


def place(state: Any, mesh: jax.sharding.Mesh) -> Any:
    """Put a state, of which each process has all, where `shardings` says."""
    where = shardings(state, mesh)
    if jax.process_count() == 1:
        return jax.device_put(state, where)

    def put(x, sharding):
        x = np.asarray(x)
        return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])

    return jax.tree.map(put, state, where)


def gathered(
    current: train_state.TrainState, mesh: jax.sharding.Mesh, fields: tuple[str, ...] = SPLIT_ON_USE
) -> train_state.TrainState:
    """The state with these fields of each network whole on every device; inside of `jax.jit`.

    Without it the compiler might split the work by channels, and send activations instead of parameters.
    """
    if not is_split(mesh):
        return current
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    def gather(own: train_state.NetworkState) -> train_state.NetworkState:
        found = {name: jax.lax.with_sharding_constraint(getattr(own, name), whole) for name in fields}
        return own.replace(**found)  # pyright: ignore[reportAttributeAccessIssue]  # flax.struct's

    return current.replace(  # pyright: ignore[reportAttributeAccessIssue]
        network_states={name: gather(own) for name, own in current.network_states.items()}
    )


def exportable(current: train_state.TrainState, mesh: jax.sharding.Mesh) -> train_state.TrainState:
    """The state with averaged networks that the first process can read; all processes must ask."""
    if not is_split(mesh):
        return current
    fields = ("ema_params", "ema_batch_stats")
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    averages = {
        name: {field: getattr(own, field) for field in fields} for name, own in current.network_states.items()
    }
    gathered_averages = jax.jit(lambda x: x, out_shardings=whole)(averages)
    network_states = {
        name: own.replace(**gathered_averages[name]) for name, own in current.network_states.items()
    }
    return current.replace(network_states=network_states)  # pyright: ignore[reportAttributeAccessIssue]
