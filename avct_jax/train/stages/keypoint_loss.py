"""Predicted motion against the true one: the warm-up's losses, and how well a face speaks."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax import motion
from avct_jax.train import losses
from avct_jax.train.stages import avct_inputs

LIPS = (0, 1)  # upper and lower lip among the keypoints of data/faces/landmark_motion.py


def losses_of(
    config: Any,
    found: motion.Motion,
    found_rest: motion.Motion,
    target: motion.Motion,
    rest: motion.Motion,
) -> dict[str, Float[Array, ""]]:
    """The warm-up: errors of the motion since rest, of the lips' opening, and of the places; no weights yet.

    Args:
      config: an avct_stage.AVCTStageConfig, for its shares of keypoints.
      found, target: (b, t).
      found_rest: predicted for silence, (b, 1).
      rest: what it should be, (b, 1).
    """
    weights = jnp.asarray(config.shares).reshape(1, 1, -1, 1)
    moved = (found.keypoints - found_rest.keypoints) - (target.keypoints - rest.keypoints)
    opened = (_opening(found) - _opening(found_rest)) - (_opening(target) - _opening(rest))
    since = lambda m, still: m.jacobians @ motion.invert_2x2(still.jacobians)
    turned = since(found, found_rest) - since(target, rest)
    placed = losses.motion_l1(found, target)
    return {
        "keypoints": losses.mean_absolute(weights * moved),
        "opening": losses.mean_absolute(opened),
        "jacobians": losses.mean_absolute(turned),
        "places": placed.keypoints + placed.jacobians,
    }


def scores(found: avct_inputs.Prediction, seen: avct_inputs.AVCTInputs) -> dict[str, Float[Array, ""]]:
    """How well the face speaks, since rest.

    keypoint_error: mean absolute, [-1, 1] units. opening_correlation: of the lips' predicted and true
    opening; opening_spread: the share of the true spread.
    """
    assert found.rest is not None
    moved = (found.spoken.keypoints - found.rest.keypoints) - (seen.target.keypoints - seen.rest.keypoints)
    since = lambda m, rest: (_opening(m) - _opening(rest))[..., 1]
    guess, truth = since(found.spoken, found.rest), since(seen.target, seen.rest)
    guess, truth = guess - guess.mean(), truth - truth.mean()
    spread = jnp.sqrt(jnp.square(guess).mean() * jnp.square(truth).mean())
    return {
        "keypoint_error": losses.mean_absolute(moved),
        "opening_correlation": (guess * truth).mean() / jnp.maximum(spread, 1e-12),
        "opening_spread": jnp.sqrt(jnp.square(guess).mean() / jnp.maximum(jnp.square(truth).mean(), 1e-12)),
    }


def _opening(x: motion.Motion):
    upper, lower = LIPS
    return x.keypoints[..., lower, :] - x.keypoints[..., upper, :]
