"""Every network of the keypoint family, made in one place: which class a config stands for, and its inputs.

A new renderer is a file of its own, a line in RENDERERS, and its config in the type of
`SystemConfig.renderer`: nothing else names a renderer's class. tests/models/test_networks.py adds a toy so.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from avct_jax import motion, speech_format
from avct_jax.layers.geometry import pose_image
from avct_jax.models import (
    avct,
    head_motion,
    keypoint_detector,
    mesh_system,
    patch_discriminator,
    renderer,
    sync_discriminator,
    system_config,
)
from avct_jax.models.frozen import syncnet, vgg

Variables = dict[str, Any]

# What draws, by its config: a module with the methods and results of renderer.Renderer. The config has
# `variance` and `align_corners`, as renderer.RendererConfig.
RENDERERS: dict[type, Callable[..., Any]] = {renderer.RendererConfig: renderer.Renderer}

PARTS = ("keypoint_detector", "renderer", "avct", "head_motion")
# Losses and metrics: a file may carry them, in their released size; no config describes them.
EXTRA: dict[str, Callable[[], nn.Module]] = {
    "patch_discriminator": patch_discriminator.PatchDiscriminator,
    "vgg": vgg.VGG,
    "sync_discriminator": sync_discriminator.SyncDiscriminator,
    "syncnet": syncnet.SyncNet,
}


class Networks(NamedTuple):
    """The four networks that animate a portrait, by the names that their weights have."""

    keypoint_detector: keypoint_detector.KeypointDetector
    renderer: Any
    avct: avct.AVCT
    head_motion: head_motion.HeadMotion


def build(config: system_config.SystemConfig, dtype: Any = None) -> Networks:
    """Make the networks of a config; modules only, without variables.

    Args:
      config: their sizes.
      dtype: of activations; None: that of the inputs.
    """
    return Networks(
        keypoint_detector.KeypointDetector(config.keypoint_detector, dtype=dtype),
        RENDERERS[type(config.renderer)](config.renderer, dtype=dtype),
        avct.AVCT(config.avct, dtype=dtype),
        head_motion.HeadMotion(config.head_motion, dtype=dtype),
    )


def init(config: system_config.SystemConfig, part: str, key: Key[Array, ""] | None = None) -> Variables:
    """Draw random variables of a network.

    Args:
      config: sizes of all networks.
      part: one of PARTS.
      key: by default that of seed 0.
    """
    key = jax.random.key(0) if key is None else key
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), inputs(config, part))
    return jax.jit(_module(config, part).init)(key, *zeros)


def expected(config: system_config.SystemConfig | mesh_system.MeshSystemConfig, part: str) -> Variables:
    """Return the tree of shapes that a network's variables have; nothing is computed.

    Args:
      config: sizes of all networks, of either family.
      part: one of PARTS, of mesh_system's, or of EXTRA.

    Raises:
      ValueError: there is no such part.
    """
    found: Variables = jax.tree.map(lambda shape: shape, _expected(config, part))  # the caller's own
    return found


@functools.cache  # tracing a network takes up to a second
def _expected(config: system_config.SystemConfig | mesh_system.MeshSystemConfig, part: str) -> Variables:
    if isinstance(config, mesh_system.MeshSystemConfig):
        return dict(mesh_system.expected(config, part))
    given = inputs(config, part)
    variables: Mapping[str, Any] = jax.eval_shape(_module(config, part).init, jax.random.key(0), *given)
    return {name: variables.get(name, {}) for name in ("params", "batch_stats")}


def inputs(config: system_config.SystemConfig, part: str) -> tuple[Any, ...]:
    """Return the shapes of what a network can be called with: the smallest that it takes.

    Args:
      config: sizes of all networks.
      part: one of PARTS or of EXTRA.

    Raises:
      ValueError: there is no such part.
    """
    shaped: Any = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)  # in the place of an array
    image = shaped(1, config.image_size, config.image_size, 3)
    k, c = config.keypoint_detector.num_keypoints, config.avct
    frames = (1, 2)
    audio = shaped(*frames, speech_format.ROWS, speech_format.COLUMNS)
    features = shaped(1, c.feature_size, c.feature_size, c.reference_channels)
    phonemes = jax.ShapeDtypeStruct(frames, jnp.int32)
    known = {
        "keypoint_detector": (image,),
        "renderer": (image, *2 * [motion.Motion(shaped(1, k, 2), shaped(1, k, 2, 2))]),
        "avct": (phonemes, shaped(*frames, c.pose_size, c.pose_size), audio, features),
        "head_motion": (shaped(1, pose_image.SIZE, pose_image.SIZE), audio),
        "patch_discriminator": (image,),
        "vgg": (shaped(1, 32, 32, 3),),
        "sync_discriminator": (shaped(1, 80, 16, 1), shaped(1, 48, 96, 15)),
        "syncnet": (shaped(1, 13, 20, 1), shaped(1, 5, 224, 224, 3)),
    }
    if part not in known:
        raise ValueError(f"part {part!r} is not one of {(*PARTS, *EXTRA)}")
    return known[part]


def _module(config: system_config.SystemConfig, part: str) -> nn.Module:
    return EXTRA[part]() if part in EXTRA else getattr(build(config), part)
