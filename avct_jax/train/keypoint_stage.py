"""Warm-up of E_kd: keypoints and Jacobians learned from landmarks, before anything is rendered."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, UInt8

from avct_jax import motion
from avct_jax.models import keypoint_detector
from avct_jax.train import augment, losses, state

JACOBIAN_WEIGHT = 0.2


class Batch(NamedTuple):
    """Frames with a margin around the face's square, and the motion that landmarks say."""

    frames: UInt8[Array, "b s s 3"]
    motion: motion.Motion


def make_train_step(
    config: keypoint_detector.KeypointDetectorConfig,
    optimizer: optax.GradientTransformation,
    *,
    mirrored_index: Int[Array, " k"],
    image_size: int = 256,
    margin: float = 1.25,
    decay: float = 0.998,
) -> Callable[[state.State, Batch, Array], tuple[state.State, dict[str, Array]]]:
    """Build the pure step (state, batch, key) -> (state, metrics); the caller jits it."""
    detector = keypoint_detector.KeypointDetector(config)

    def step(current, batch, key):
        image, target = _augmented(
            batch, jax.random.fold_in(key, current.step), mirrored_index, image_size, margin
        )

        def loss_fn(params):
            variables = {"params": params, "batch_stats": current.player.batch_stats}
            found, updates = detector.apply(variables, image, train=True, mutable=["batch_stats"])
            error = losses.motion_l1(found.motion, target)
            total = error.keypoints + JACOBIAN_WEIGHT * error.jacobians
            return total, (error._asdict(), updates["batch_stats"])

        (_, (metrics, stats)), gradients = jax.value_and_grad(loss_fn, has_aux=True)(current.player.params)
        player = state.update(current.player, gradients, stats, optimizer, decay=decay)
        return state.State(current.step + 1, player), metrics

    return step


def _augmented(batch: Batch, key: Any, mirrored_index, image_size, margin):
    keys = jax.random.split(key, 3)
    count = len(batch.frames)
    view = augment.random_view(keys[0], count, scale=0.2, shift=0.12, turn=0.2)
    image = augment.look(batch.frames, view, image_size, margin=margin)
    image = augment.recolour(image, augment.random_colours(keys[1], count, strength=0.3))
    noise = jax.random.normal(keys[2], image.shape) * 0.02
    return jnp.clip(image + noise, 0, 1), augment.see_motion(batch.motion, view, mirrored_index)
