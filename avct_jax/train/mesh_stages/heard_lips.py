"""What a phoneme network is for: lips. How far those that it makes differ from those that its teacher makes.

E_avct is frozen, and given both networks' posteriors with the same audio and head pose. Posteriors that move
lips alike are equally good here, however they differ.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax import speech_format
from avct_jax.layers import applied
from avct_jax.models.mesh import speech_motion

OPENING = 0.05  # eye distances: the usual standard deviation of lips' opening
COEFFICIENTS = 0.2  # weight of the other motion beside the opening
LAST = 2  # frames: as many as a live stream draws at once


class Ruler(NamedTuple):
    """E_avct, frozen.

    Attributes:
      variables: its weights.
      gap: by how much each coefficient parts the lips, eye distances.
      style: how lively the mouth is, natural logarithm.
    """

    variables: Mapping[str, Any]
    gap: Float[Any, " k"]
    style: Float[Any, ""]


class LipGoal(NamedTuple):
    """What lips should do in the n = t - 2 radius frames that have all their neighbours.

    Attributes:
      audio: features that E_avct hears.
      weight: 0 where a recording has ended: there it is quiet.
      poses: of the head, rad and eye distances, the same in all frames of an example.
      wanted: coefficients, standard deviations of speech.
    """

    audio: Float[Array, "b t 4 columns"]
    weight: Float[Array, "b t"]
    poses: Float[Array, "b 6"]
    wanted: Float[Array, "b n k"]


def aim(
    sizes: speech_motion.SpeechMotionConfig,
    ruler: Ruler,
    logs: Float[Array, "b t 2 s"],
    audio: Float[Array, "b t 4 columns"],
    weight: Float[Array, "b t"],
    poses: Float[Array, "b 6"],
) -> LipGoal:
    """Ask E_avct what lips do by the teacher's log-posteriors."""
    wanted = predict(sizes, ruler, logs, LipGoal(audio, weight, poses, jnp.zeros(0)))
    return LipGoal(audio, weight, poses, jax.lax.stop_gradient(wanted))


def predict(
    sizes: speech_motion.SpeechMotionConfig, ruler: Ruler, logs: Float[Array, "b t 2 s"], goal: LipGoal
) -> Float[Array, "b n k"]:
    """Ask E_avct what lips do by these log-posteriors."""
    quiet = jnp.full(logs.shape[-1], speech_motion.LEAST_LOG).at[speech_format.BLANK].set(0.0)
    heard = jnp.maximum(logs, speech_motion.LEAST_LOG)
    said = jnp.where(goal.weight[..., None, None] > 0, heard, quiet[None, None, None])
    network = speech_motion.SpeechMotion(sizes)
    speak = applied.function(speech_motion.SpeechMotion.__call__, network, ruler.variables)
    poses = jnp.broadcast_to(goal.poses[:, None], (*goal.weight.shape, goal.poses.shape[-1]))
    return speak(said, poses, goal.audio, jnp.broadcast_to(ruler.style, len(logs)))


def difference(
    sizes: speech_motion.SpeechMotionConfig, ruler: Ruler, logs: Float[Array, "b t 2 s"], goal: LipGoal
) -> Float[Array, ""]:
    """How far lips are from their goal: mean square of openings, in their usual standard deviation, plus
    COEFFICIENTS times that of all coefficients. The LAST frames count as much as all together: of what comes
    after them least is known to a stream.
    """
    off, radius = predict(sizes, ruler, logs, goal) - goal.wanted, sizes.window_radius
    error = jnp.square(off @ ruler.gap / OPENING) + COEFFICIENTS * jnp.square(off).mean(-1)
    weight = goal.weight[:, radius:-radius]
    mean = lambda rows, weight: (rows * weight).sum() / jnp.maximum(weight.sum(), 1)
    return (mean(error, weight) + mean(error[:, -LAST:], weight[:, -LAST:])) / 2
