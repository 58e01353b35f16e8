"""The mouth of a live stream: how it moves with the audio that is known, and comes to rest without it."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from avct_jax.inference import live_inference, mesh_inference
from avct_jax.models import mesh_system
from avct_jax.models.mesh import speech_motion

LIVELINESS = (0.7, 1.7)  # least and most factor on a mouth's motion, as in mesh_animator.py
USUAL = 1.15  # the factor that most voices come to
SURE = 40  # frames of speech by which a mouth's usual opening is half known
MEMORY = 375  # frames of speech = 15 s over which it is remembered
ENTER = (0.25, 0.5, 0.75)  # shares of a reply's first frames, the rest is what was there before
CLOSE = (0.8, 0.5, 0.25, 0.08, 0.0)  # of the last mouth of a reply, after its end
NEVER = float("inf")  # frames since somebody spoke
CUT = (0.4, 0.1, 0.0)  # the same where a reply breaks off: shut in the third frame


class Manner(NamedTuple):
    """How far a mouth opens while it speaks: mean and mean square, eye distances, of so many frames."""

    mean: float = 0.0
    square: float = 0.0
    frames: int = 0


class Lips(NamedTuple):
    """Where the lips are.

    Attributes:
      shown: coefficients of the last frame.
      left: that are brought to rest.
      ago: frames since.
      entered: frames of speech since then.
      cut: whether speech broke off.
      quiet: frames since somebody spoke.
    """

    shown: Float[np.ndarray, " k"]
    left: Float[np.ndarray, " k"]
    ago: int = 0
    entered: int = 0
    cut: bool = False
    quiet: float = NEVER


@functools.cache
def _program(config: mesh_system.MeshSystemConfig) -> Any:
    """Compiled once for all streams of a system and a chunk."""
    return jax.jit(functools.partial(live_inference.predict, config))


class Mouth:
    """The compiled networks that move a mouth, for chunks of one length."""

    def __init__(self, config: mesh_system.MeshSystemConfig, variables: Any, chunk: int):
        """Take the weights; compiles at the first call."""
        self.chunk = chunk
        self.radius = config.speech_motion.window_radius
        self.components = config.speech_motion.components
        self.opening = np.asarray(mesh_inference.opening(variables))
        self.amplitude = config.mouth_amplitude
        self._predict = functools.partial(_program(config), variables)

    def predict(
        self,
        logs: Float[np.ndarray, "m 2 s"],
        audio: Float[np.ndarray, "m 4 columns"],
        inside: Bool[np.ndarray, " m"],
        said: Float[np.ndarray, "m 2 s"],
        poses: Float[np.ndarray, "m 6"],
        manner: Manner,
        scale: float = 1.0,
    ) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
        """Predict a chunk's coefficients, as they are and with the liveliness that `manner` lacks.

        Args:
          scale: factor on the latter's motion, 0 to 2.
        """
        gain = liveliness(manner, self.amplitude)
        more = np.float32(gain * max(scale, 1.0))
        given: tuple[Any, ...] = (
            logs,
            audio,
            inside,
            said,
            poses.astype(np.float32),
            more,
        )
        spoken, lively = map(np.asarray, self._predict(live_inference.Known(*given)))
        return spoken, speech_motion.rescale(lively, spoken, gain, scale, self.opening)

    def lips_at_rest(self) -> Lips:
        """Begin with the mouth shut."""
        rest = np.zeros(self.components, np.float32)
        return Lips(rest, rest, ago=len(CLOSE))


def liveliness(manner: Manner, amplitude: float) -> float:
    """The factor that brings lips to people's usual opening, by what is known of these so far."""
    if not amplitude:
        return 1.0
    if manner.frames < 2:
        return USUAL
    spread = np.sqrt(max(manner.square - manner.mean**2, 0.0))
    wanted = np.clip(amplitude / max(spread, 1e-6), *LIVELINESS)
    known = manner.frames / (manner.frames + SURE)
    return float(wanted**known * USUAL ** (1 - known))


def learn(manner: Manner, opening: float) -> Manner:
    """See one more frame of speech."""
    share = 1 / min(manner.frames + 1, MEMORY)
    mean, square = (
        known + share * (new - known) for known, new in ((manner.mean, opening), (manner.square, opening**2))
    )
    return Manner(mean, square, manner.frames + 1)


def speak(lips: Lips, spoken: Float[np.ndarray, " k"], silent: Bool[np.ndarray, " m"]) -> Lips:
    """Go on to a frame of a reply, from rest within three; in its pauses the mouth rests.

    Args:
      silent: where nobody speaks, in this frame and in those that are known after it.
    """
    lips = lips._replace(quiet=lips.quiet + 1 if silent[0] else 0)
    until = next((i for i, quiet in enumerate(silent) if not quiet), speech_motion.PARTING_FROM)
    spoken = spoken * speech_motion.voiced_share(np.array([float(lips.quiet)]), np.array([float(until)]))
    share = ENTER[lips.entered] if lips.entered < len(ENTER) else 1.0
    left = lips.left * np.float32(_left(lips))
    shown = np.float32(share) * spoken + np.float32(1 - share) * left
    return lips._replace(shown=shown, ago=lips.ago + 1, entered=min(lips.entered + 1, len(ENTER)))


def rest(lips: Lips) -> Lips:
    """Go on to a frame in which nobody speaks."""
    if lips.entered:  # speech has just ended
        lips = Lips(lips.shown, lips.shown, cut=lips.cut)
    return lips._replace(shown=lips.left * np.float32(_left(lips)), ago=lips.ago + 1, quiet=NEVER)


def cut(lips: Lips) -> Lips:
    """Break off."""
    return Lips(lips.shown, lips.shown, cut=True)


def _left(lips):
    ramp = CUT if lips.cut else CLOSE
    return ramp[lips.ago] if lips.ago < len(ramp) else 0.0
