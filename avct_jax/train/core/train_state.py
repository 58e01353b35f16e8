"""What training carries from step to step."""

from collections.abc import Mapping
from typing import Any

import chex
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from avct_jax.train.core import optimizer as optimizers

GRADIENT_NORM = "gradient_norm"  # a metric of every stage's step


@flax.struct.dataclass
class NetworkState:
    """One trained network: parameters, statistics, the moving average of both, and the optimiser.

    Statistics are averaged at the parameters' pace, so that the two belong together: the live ones are of the
    last ten steps, the averaged parameters of the last thousand.
    """

    params: Any
    ema_params: Any
    batch_stats: Any
    ema_batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """What `apply` takes while training."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def ema_variables(self) -> dict[str, Any]:
        """What `apply` takes for judging and shipping."""
        return {"params": self.ema_params, "batch_stats": self.ema_batch_stats}


@flax.struct.dataclass
class TrainState:
    """The step counter and the networks being trained, by name."""

    step: Any
    network_states: Any


def make_network_state(variables: dict[str, Any], optimizer: optax.GradientTransformation) -> NetworkState:
    """Begin training from these variables."""
    params = variables["params"]
    stats = variables.get("batch_stats", {})

    @jax.jit  # one program instead of one for every shape
    def rest(params, stats):
        # Copies: a step that donates its state may not be given one buffer twice.
        copies = jax.tree.map(lambda x: jnp.array(x, copy=True), (params, stats))
        return *copies, optimizer.init(params)

    ema_params, ema_batch_stats, opt_state = rest(params, stats)
    return NetworkState(params, ema_params, stats, ema_batch_stats, opt_state)


def make_state(variables: dict[str, dict[str, Any]], optimizer: optax.GradientTransformation) -> TrainState:
    """Begin at step 0 with one player for each network's variables."""
    network_states = {name: make_network_state(own, optimizer) for name, own in variables.items()}
    return TrainState(jnp.zeros((), jnp.int32), network_states)


def update(
    network_state: NetworkState,
    gradients: Any,
    batch_stats: Any,
    optimizer: optax.GradientTransformation,
    *,
    ema_decay: Any,
) -> NetworkState:
    """Take one step of the optimiser and of the moving average.

    Args:
      ema_decay: share of the moving average kept this step, a number or a scalar array.
    """
    chex.assert_trees_all_equal_shapes(gradients, network_state.params)
    chex.assert_trees_all_equal_structs(batch_stats, network_state.batch_stats)
    changes, opt_state = optimizer.update(gradients, network_state.opt_state, network_state.params)
    params = optax.apply_updates(network_state.params, changes)
    ema_params = optax.incremental_update(params, network_state.ema_params, 1 - ema_decay)
    stats = optax.incremental_update(batch_stats, network_state.ema_batch_stats, 1 - ema_decay)
    return NetworkState(params, ema_params, batch_stats, stats, opt_state)


def advance(
    current: TrainState,
    gradients: Mapping[str, Any],
    batch_stats: Mapping[str, Any],
    rules: Mapping[str, optax.GradientTransformation],
    *,
    ema_decay: float,
) -> tuple[TrainState, dict[str, Array]]:
    """Take one step of every network.

    Args:
      gradients, batch_stats, rules: of every network, by name.
      ema_decay: share of the moving averages kept each step, see optimizer.ema_decay_at.

    Returns:
      The state after it, and {GRADIENT_NORM: of all networks together}. By this metric the loop learns of a
      step that spoilt the state, whichever way the losses hide it.
    """
    kept = optimizers.ema_decay_at(ema_decay, current.step)
    network_states = {
        name: update(network_state, gradients[name], batch_stats[name], rules[name], ema_decay=kept)
        for name, network_state in current.network_states.items()
    }
    return TrainState(current.step + 1, network_states), {GRADIENT_NORM: optax.global_norm(gradients)}


@jax.jit
def is_finite(tree: Any) -> Array:
    """Whether every number of a tree is finite."""
    leaves = jax.tree.leaves(jax.tree.map(lambda x: jnp.isfinite(x).all(), tree))
    return jnp.stack(leaves).all() if leaves else jnp.array(True)
