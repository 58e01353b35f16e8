"""What training carries from step to step."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax


@flax.struct.dataclass
class Player:
    """One trained network: parameters, their moving average, statistics and optimiser."""

    params: Any
    average: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """What `apply` takes while training."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def averaged(self) -> dict[str, Any]:
        """What `apply` takes for judging and shipping."""
        return {"params": self.average, "batch_stats": self.batch_stats}


@flax.struct.dataclass
class State:
    """The step counter and the networks being trained, by name."""

    step: Any
    players: Any


def make_player(variables: dict[str, Any], optimizer: optax.GradientTransformation) -> Player:
    """Begin training from these variables."""
    params = variables["params"]
    # A copy: a step that donates its state may not be given one buffer twice.
    average = jax.tree.map(lambda p: jnp.array(p, copy=True), params)
    return Player(params, average, variables.get("batch_stats", {}), optimizer.init(params))


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
    changes, opt_state = optimizer.update(gradients, player.opt_state, player.params)
    params = optax.apply_updates(player.params, changes)
    average = jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, player.average, params)
    return Player(params, average, batch_stats, opt_state)
