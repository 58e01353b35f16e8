"""What recognises phonemes of a live reply: the checkpoint's own network, or hama's over the last second."""

import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from avct_jax import errors
from avct_jax.data.speech import hearing, mesh_features
from avct_jax.inference import live_inference
from avct_jax.live.reply import Reply
from avct_jax.models import mesh_system
from avct_jax.models.frozen import hama_conformer

AHEAD = 5  # frames after a chunk whose audio is waited for; twice as many are worth 0.001 of correlation
HAMA_BACK = 15  # frames that hama's network hears before those that are wanted
HAMA_LEAST_PEAK = 0.05  # of full scale: what is softer is not made louder
SOURCES = ("hama", "network")


Logs = Callable[[], Float[np.ndarray, "m 2 56"]]


@runtime_checkable
class Ears(Protocol):
    """Recognises frames of a reply, some before and after a chunk.

    Attributes:
      chunk: frames that are recognised at once.
      ahead: frames after them whose audio is waited for, at least those of demeanour.AHEAD.
      back: frames of audio before a chunk that must be kept.
    """

    chunk: int
    ahead: int
    back: int

    def begin(self, reply: Reply, begin: int, known: int) -> Logs:
        """Begin to recognise the audio of the frames before `known`, which was let in.

        Returns:
          what to call once features are measured: log-posteriors (m, 2, 56) of the frames from the mouth's
          radius before `begin` to as many after the chunk.
        """
        ...


@functools.cache
def _program(config: mesh_system.MeshSystemConfig) -> Any:
    """Compiled once for all streams of a system and a chunk."""
    return jax.jit(functools.partial(live_inference.recognise, config))


class NetworkEars:
    """The phoneme network of a checkpoint: causal but for 200 ms, 0.2 ms of processor time a frame."""

    def __init__(self, config: mesh_system.MeshSystemConfig, variables: Any, chunk: int):
        """Take the weights; compiles at the first call.

        Raises:
          UserError: there is no phoneme network among them.
        """
        if mesh_system.HEARING not in variables:
            raise errors.UserError(
                "this checkpoint has no phoneme network, which a stream needs; run `avct train phonemes`, or "
                "choose the recogniser hama"
            )
        net, radius = config.phoneme_net, config.speech_motion.window_radius
        self.chunk, self.ahead, self.back = chunk, AHEAD, radius + net.frames_back
        self._seen = self.back + chunk + radius + net.frames_ahead
        self._recognise = functools.partial(_program(config), variables)

    def begin(self, reply: Reply, begin: int, known: int) -> Logs:
        """Wait for features, see `Ears`."""

        def recognise():
            assert reply.heard is not None
            features = hearing.stretch(reply.heard, begin - self.back, self._seen, known)
            return np.asarray(self._recognise(jnp.asarray(features)))

        return recognise


@functools.cache
def _hama() -> Any:
    """Compiled once for all streams of a look-ahead and a chunk."""
    columns = mesh_features.columns()
    program = jax.jit(live_inference.hear)
    return functools.partial(program, jax.device_put(hama_conformer.window_variables()), jnp.asarray(columns))


class HamaEars:
    """hama's network, which knows more voices: the last second is heard anew for each chunk.

    Its weights have learned what such a second tells of the whole (`hama_conformer.window_variables`).
    """

    def __init__(self, radius: int, chunk: int, ahead: int = AHEAD):
        """Take hama's weights; compiles at the first call.

        Args:
          radius: frames before and after a chunk that are wanted too.
          chunk: frames that are recognised at once.
          ahead: frames after a chunk whose audio is waited for.

        Raises:
          UserError: hama is missing, or another one.
        """
        self.chunk, self.ahead, self.back = chunk, ahead, radius + HAMA_BACK
        self._radius, self._hear = radius, _hama()

    def begin(self, reply: Reply, begin: int, known: int) -> Logs:
        """Hear at once, in JAX's threads, see `Ears`."""
        sound = reply.sound(begin - self.back, known + hearing.AHEAD) / max(reply.peak, HAMA_LEAST_PEAK)
        found = self._hear(jnp.asarray(sound, jnp.float32))
        first, steps = self.back - self._radius, mesh_features.STEPS
        frames = np.arange(first, first + self.chunk + 2 * self._radius)
        index = steps * frames[:, None] + np.arange(steps)

        def logs():
            heard = np.asarray(found)
            return heard[np.minimum(index, len(heard) - 1)]

        return logs


def choose(
    source: str, config: mesh_system.MeshSystemConfig, variables: Any, chunk: int, ahead: int = AHEAD
) -> Ears:
    """Return the ears of a name.

    Args:
      ahead: frames after a chunk whose audio is waited for; the checkpoint's network waits for AHEAD.

    Raises:
      UserError: the name is not known, or the network is missing.
    """
    if source not in SOURCES:
        raise errors.UserError(f"the recogniser is {source!r}; choose of {', '.join(SOURCES)}")
    if source == "hama":
        return HamaEars(config.speech_motion.window_radius, chunk, ahead)
    return NetworkEars(config, variables, chunk)
