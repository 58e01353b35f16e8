"""The mouth of a live stream: from audio features to coefficients in one call of fixed shape, to be jitted.

What `mesh_inference.predict` does with a whole recording is done here with the part of it that is known: the
phoneme network and E_avct see one stretch, beyond which there are zeros as beyond a recording's end.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from avct_jax import speech_format
from avct_jax.inference import mesh_inference
from avct_jax.layers import applied
from avct_jax.models import mesh_system
from avct_jax.models.frozen import hama_conformer
from avct_jax.models.mesh import phoneme_net, speech_motion


class Known(NamedTuple):
    """What is known when the mouth of n frames is predicted; m = n + 2 radius frames.

    Attributes:
      logs: log-posteriors of phonemes.
      audio: features, streaming_features.py; zeros where there is no audio or none yet.
      inside: which frames lie in the reply; before and after it nobody speaks.
      said: least log-posteriors, of phonemes that are known to be said; -inf where none is.
      poses: rotation vector (rad) and shift (eye distances) of the head.
      gain: liveliness, factor on the motion.
    """

    logs: Float[Array, "m 2 s"]
    audio: Float[Array, "m 4 columns"]
    inside: Bool[Array, " m"]
    said: Float[Array, "m 2 s"]
    poses: Float[Array, "m 6"]
    gain: Float[Array, ""]


def recognise(
    config: mesh_system.MeshSystemConfig,
    variables: mesh_inference.Variables,
    features: Float[Array, "w 4 columns"],
) -> Float[Array, "m 2 s"]:
    """Return the log-posteriors of the frames that have all the neighbours that the phoneme network sees.

    Args:
      features: zeros where there is no audio or none yet.
    """
    net, params = phoneme_net.PhonemeNet(config.phoneme_net), variables[mesh_system.HEARING]["params"]
    recognised = applied.function(phoneme_net.PhonemeNet.__call__, net, {"params": params})
    return jnp.maximum(recognised(features[None])[0], speech_motion.LEAST_LOG)


def hear(
    variables: hama_conformer.Variables, columns: Int[Array, " s"], wav: Float[Array, " n"]
) -> Float[Array, "t s"]:
    """Return hama's log-posteriors of a stretch of audio, every 20 ms.

    Args:
      variables: `hama_conformer.variables()`.
      columns: of its tokens, that are wanted.
      wav: 16 kHz, full scale 1; zeros where there is no audio or none yet.
    """
    heard = applied.function(hama_conformer.HamaConformer.__call__, hama_conformer.HamaConformer(), variables)
    return jnp.maximum(heard(wav[None])[0][:, columns], speech_motion.LEAST_LOG)


def predict(
    config: mesh_system.MeshSystemConfig, variables: mesh_inference.Variables, known: Known
) -> tuple[Float[Array, "n k"], Float[Array, "n k"]]:
    """Predict the coefficients of speech of n frames, as they are and with the gain."""
    quiet = jnp.full(known.logs.shape, speech_motion.LEAST_LOG).at[..., speech_format.BLANK].set(0.0)
    logs = jnp.maximum(jnp.where(known.inside[:, None, None], known.logs, quiet), known.said)
    heard = mesh_inference.SpeechWindow(logs, known.audio, known.poses)
    spoken = mesh_inference.predict(config, variables, heard, jnp.float32(config.style))
    centre, opening = mesh_inference.centre(config), mesh_inference.opening(variables)
    return spoken, speech_motion.amplify(spoken, known.gain, centre, opening)
