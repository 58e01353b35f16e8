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
class Player:
    """One trained network: parameters, statistics, the moving average of both, and the optimiser.

    Statistics are averaged at the parameters' pace, so that the two belong together: the live ones are of the
    last ten steps, the averaged parameters of the last thousand.
    """

    params: Any
    average: Any
    batch_stats: Any
    average_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """What `apply` takes while training."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def averaged(self) -> dict[str, Any]:
        """What `apply` takes for judging and shipping."""
        return {"params": self.average, "batch_stats": self.average_stats}


@flax.struct.dataclass
class State:
    """The step counter and the networks being trained, by name."""

    step: Any
    players: Any


def make_player(variables: dict[str, Any], optimizer: optax.GradientTransformation) -> Player:
    """Begin training from these variables."""
    params = variables["params"]
    stats = variables.get("batch_stats", {})
    # Copies: a step that donates its state may not be given one buffer twice.
    average, average_stats = jax.tree.map(lambda x: jnp.array(x, copy=True), (params, stats))
    return Player(params, average, stats, average_stats, optimizer.init(params))


def make_state(variables: dict[str, dict[str, Any]], optimizer: optax.GradientTransformation) -> State:
    """Begin at step 0 with one player for each network's variables."""
    players = {name: make_player(own, optimizer) for name, own in variables.items()}
    return State(jnp.zeros((), jnp.int32), players)


def update(
    player: Player, gradients: Any, batch_stats: Any, optimizer: optax.GradientTransformation, *, decay: Any
) -> Player:
    """Take one step of the optimiser and of the moving average.

    Args:
      decay: share of the moving average kept this step, a number or a scalar array.
    """
    chex.assert_trees_all_equal_shapes(gradients, player.params)
    chex.assert_trees_all_equal_structs(batch_stats, player.batch_stats)
    changes, opt_state = optimizer.update(gradients, player.opt_state, player.params)
    params = optax.apply_updates(player.params, changes)
    average = optax.incremental_update(params, player.average, 1 - decay)
    stats = optax.incremental_update(batch_stats, player.average_stats, 1 - decay)
    return Player(params, average, batch_stats, stats, opt_state)


def advance(
    current: State,
    gradients: Mapping[str, Any],
    batch_stats: Mapping[str, Any],
    rules: Mapping[str, optax.GradientTransformation],
    *,
    decay: float,
) -> tuple[State, dict[str, Array]]:
    """Take one step of every network.

    Args:
      gradients, batch_stats, rules: of every network, by name.
      decay: share of the moving averages kept each step, see optimizer.average_decay.
    Returns: the state after it, and {GRADIENT_NORM: of all networks together}. By this metric the loop learns
      of a step that spoilt the state, whichever way the losses hide it.
    """
    kept = optimizers.average_decay(decay, current.step)
    players = {
        name: update(player, gradients[name], batch_stats[name], rules[name], decay=kept)
        for name, player in current.players.items()
    }
    return State(current.step + 1, players), {GRADIENT_NORM: optax.global_norm(gradients)}


@jax.jit
def is_finite(tree: Any) -> Array:
    """Whether every number of a tree is finite."""
    leaves = jax.tree.leaves(jax.tree.map(lambda x: jnp.isfinite(x).all(), tree))
    return jnp.stack(leaves).all() if leaves else jnp.array(True)
