"""Sizes of the mesh system: LITE, which comes with the package."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp

from avct_jax import face_topology as topology
from avct_jax.models.mesh import mouth_painter, mouth_patch, phoneme_net, speech_motion

# The fields below bear the modules' names, which would hide them.
SpeechMotionConfig = speech_motion.SpeechMotionConfig
MouthPainterConfig = mouth_painter.MouthPainterConfig
PhonemeNetConfig = phoneme_net.PhonemeNetConfig

FACE_BASIS = "face_basis"
PARTS = ("speech_motion", "mouth_painter", FACE_BASIS)
HEARING = "phoneme_net"  # a part too where `phoneme_source` says so


@dataclasses.dataclass(frozen=True)
class MeshSystemConfig:
    """The networks that animate a portrait by its mesh.

    Attributes:
      mouth_amplitude: standard deviation of the lips' opening that speech is brought to, eye distances; 0
        leaves it as predicted. A regression predicts the mean of what could be meant, which moves less than
        any speaker, and the less so the stranger the voice.
      motion_scale: further factor on the predicted motion.
      mean_motion: people's mean coefficients while they speak (speech_dataset.py mean_speech), from which
        both move the lips; () is rest.
      style: how lively the mouth is, natural logarithm of the spread against people's usual.
      phoneme_source: what makes phoneme posteriors: "hama" hears the whole audio, "network" is phoneme_net,
        causal.
    """

    mouth_amplitude: float = 0.051
    motion_scale: float = 1.0
    mean_motion: tuple[float, ...] = ()
    style: float = 0.0
    phoneme_source: Literal["hama", "network"] = "hama"
    phoneme_net: PhonemeNetConfig = PhonemeNetConfig()
    speech_motion: SpeechMotionConfig = SpeechMotionConfig()
    mouth_painter: MouthPainterConfig = MouthPainterConfig()

    def __post_init__(self):
        if (found := len(self.mean_motion)) not in (0, self.speech_motion.components):
            raise ValueError(
                f"mean_motion has {found} entries, must have {self.speech_motion.components} or none"
            )


LITE = MeshSystemConfig()


def parts(config: MeshSystemConfig) -> tuple[str, ...]:
    """Return the parts that animating needs."""
    return (*PARTS, HEARING) if config.phoneme_source == "network" else PARTS


def expected(config: MeshSystemConfig, part: str) -> Mapping[str, Any]:
    """The tree of shapes that `part` has; nothing is computed.

    Raises:
      ValueError: no such part.
    """
    if part == FACE_BASIS:
        k = config.speech_motion.components
        shapes = {"canonical": (topology.POINTS, 3), "components": (k, topology.POINTS, 3), "scales": (k,)}
        params = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
        return {"params": params, "batch_stats": {}}
    module, *inputs = example(config, part)
    variables = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    return {name: variables.get(name, {}) for name in ("params", "batch_stats")}


def example(config: MeshSystemConfig, part: str) -> tuple[Any, ...]:
    """The module of `part`, and shapes of inputs that it can be called with."""
    zeros: Any = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)  # in the place of an array
    if part == "speech_motion":
        c = config.speech_motion
        frames = (1, c.window)
        inputs = (
            zeros(*frames, c.steps, c.symbols),
            zeros(*frames, 6),
            zeros(*frames, c.rows, c.columns),
            zeros(1),
        )
        return speech_motion.SpeechMotion(c), *inputs
    if part == HEARING:
        c = config.phoneme_net
        return phoneme_net.PhonemeNet(c), zeros(1, c.frames_seen, c.rows, c.columns)
    if part == "mouth_painter":
        plane = (1, *mouth_patch.PATCH)
        patch = mouth_patch.Patch(zeros(*plane, 3), *3 * [zeros(*plane)])
        return (
            mouth_painter.MouthPainter(config.mouth_painter),
            patch,
            mouth_painter.Own(zeros(*plane, 3), zeros(*plane)),
        )
    raise ValueError(f"part {part!r} is not one of {(*PARTS, HEARING)}")
