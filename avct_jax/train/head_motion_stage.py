"""E_h learned from the speaker's pose sequences: L1 of every pose, and once more of the first."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from avct_jax.layers import pose_image
from avct_jax.models import head_motion
from avct_jax.train import losses, state


class Batch(NamedTuple):
    """Stretches of t frames: sound, and the poses (rad, mm) that a head took."""

    audio: Float[Array, "b t 4 41"]
    poses: Float[Array, "b t 6"]


@dataclasses.dataclass(frozen=True)
class HeadMotionStageConfig:
    """Weights and variations.

    Attributes:
      first_weight: of the first pose's error (Wang et al., AAAI 2022, "Training Details").
      speed: weight of the error of frame-to-frame changes, which a head at rest does not satisfy.
      shift: largest change of translation, and turn: of rotation, of a whole stretch, as shares of the
        network's range: a portrait may look anywhere.
      noise: of the audio features, in their standard deviations.
    """

    first_weight: float = 1.0
    speed: float = 5.0
    shift: float = 0.3
    turn: float = 0.25
    noise: float = 0.15
    decay: float = 0.995


def make_train_step(
    config: HeadMotionStageConfig,
    head_motion_config: head_motion.HeadMotionConfig,
    optimizer: optax.GradientTransformation,
) -> Callable[[state.State, Batch, Array], tuple[state.State, dict[str, Array]]]:
    """Build the pure step (state, batch, key) -> (state, metrics); the caller jits it."""
    network = head_motion.HeadMotion(head_motion_config)

    def step(current, batch, key):
        audio, poses = _vary(config, batch, jax.random.fold_in(key, current.step))
        box = pose_image.draw_pose_boxes(head_motion.to_real_units(poses[:, 0]))

        def loss_fn(params):
            variables = {"params": params, "batch_stats": current.player.batch_stats}
            found, updates = network.apply(variables, box, audio[:, :-1], train=True, mutable=["batch_stats"])
            speed = losses.mean_absolute(jnp.diff(found - poses, axis=1))
            metrics = {
                "pose": losses.pose_l1(found, poses, first_weight=config.first_weight),
                "speed": config.speed * speed,
            }
            return sum(metrics.values()), (metrics, updates["batch_stats"])

        (_, (metrics, stats)), gradients = jax.value_and_grad(loss_fn, has_aux=True)(current.player.params)
        player = state.update(current.player, gradients, stats, optimizer, decay=config.decay)
        return state.State(current.step + 1, player), metrics

    return step


def _vary(config, batch, key):
    """Other places and directions of the head, and a less exact sound; poses in network range."""
    keys = jax.random.split(key, 2)
    reach = jnp.asarray([config.turn] * 3 + [config.shift] * 3)
    moved = jax.random.uniform(keys[0], (len(batch.poses), 1, 6), minval=-1, maxval=1) * reach.reshape(
        1, 1, 6
    )
    spread = batch.audio.std((0, 1, 2)).reshape(1, 1, 1, -1)
    audio = batch.audio + config.noise * spread * jax.random.normal(keys[1], batch.audio.shape)
    return audio, jnp.clip(head_motion.to_network_range(batch.poses) + moved, -0.95, 0.95)
