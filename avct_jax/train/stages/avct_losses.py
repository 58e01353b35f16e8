"""Frames rendered from predicted motion, beside the real ones: what equation 2 compares, D_seq apart.

In this file `config` is an avct_stage.AVCTStageConfig.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from avct_jax import motion
from avct_jax.data.dataset import batch_types
from avct_jax.models import keypoint_detector, networks, renderer, sync_discriminator, system_config
from avct_jax.train import losses
from avct_jax.train.augmentation import image_augmentation, mouth_crops, random_warps
from avct_jax.train.core import grad_accumulation
from avct_jax.train.stages import avct_inputs

Terms = dict[str, Float[Array, ""]]


class LossNetworks(NamedTuple):
    """The frozen networks' modules; their variables are in avct_stage.AVCTFrozen.

    Attributes:
      remat: render frame after frame, and again in the backward pass, in the memory of one.
    """

    detector: keypoint_detector.KeypointDetector
    renderer: renderer.Renderer
    sync: sync_discriminator.SyncDiscriminator
    remat: bool


class Expected(NamedTuple):
    """What E_kd finds in frames warped at random: keypoints, warped back; Jacobians, and the warp's."""

    keypoints: Float[Array, "m k 2"]
    jacobians: Float[Array, "m k 2 2"]
    warp_jacobians: Float[Array, "m k 2 2"]


class Real(NamedTuple):
    """Real frames first .. first + n - 1 of the t of each sequence, m = b n; None what nothing asks for.

    Attributes:
      detected: what E_kd finds in all t frames, (b, t).
    """

    first: Int[Array, " b"] | None
    frames: Float[Array, "m o o 3"] | None
    boxes: Float[Array, "m 4"] | None
    mel: Float[Array, "b n 80 16"] | None
    expected: Expected | None
    detected: motion.Motion | None


def make_networks(
    system: system_config.SystemConfig, config: Any, compute: grad_accumulation.ComputeConfig
) -> LossNetworks:
    """The modules, with the activations that `compute` wants."""
    dtype = compute.activations
    made = networks.build(system, dtype)
    return LossNetworks(
        made.keypoint_detector,
        made.renderer,
        sync_discriminator.SyncDiscriminator(config.sync_discriminator, dtype=dtype),
        compute.remat,
    )


def real_frames(
    networks: LossNetworks, config: Any, frozen: Any, batch: batch_types.Sequences, keys: Array, *, size: int
) -> Real:
    """Look at the real frames as far as the losses want them; nothing here hangs on what is learned.

    Args:
      keys: one for each example, of where its frames begin and how they are warped.
      size: side of the images that E_kd sees, px.

    Raises:
      ValueError: the batch has no frames, or fewer than are to be rendered.
    """
    detected = None
    if not (config.renders or config.equivariant or config.targets == "detector"):
        return Real(None, None, None, None, None, None)
    if batch.frames is None:
        raise ValueError("these losses compare with real frames; draw sequences with_frames")
    b, t = batch.frames.shape[:2]
    if config.targets == "detector":
        seen = avct_inputs.see_frames(batch, 0, t, size)[0]
        found = _detect(networks, frozen, seen)
        detected = jax.tree.map(lambda x: x.reshape(b, t, *x.shape[1:]), found)
    if not (config.renders or config.equivariant):
        return Real(None, None, None, None, None, detected)
    if config.rendered > t:
        raise ValueError(f"rendered {config.rendered} frames are more than the {t} of a sequence")
    place, warp = jnp.unstack(jax.vmap(jax.random.split)(keys), axis=1)
    first = jax.vmap(lambda key: jax.random.randint(key, (), 0, t - config.rendered + 1))(place)
    full, boxes, mel = avct_inputs.see_frames(batch, first, config.rendered, size)
    expected = _expect(networks, frozen, full, warp) if config.equivariant else None
    boxes = boxes * (config.output_size / size)
    return Real(first, image_augmentation.resize(full, config.output_size), boxes, mel, expected, detected)


def compare(
    networks: LossNetworks,
    config: Any,
    frozen: Any,
    image: Float[Array, "b h w 3"],
    source_motion: motion.Motion,
    spoken: motion.Motion,
    real: Real,
) -> tuple[Float[Array, "m o o 3"] | None, Terms]:
    """Render what was predicted; the frames, and the terms of equation 2 but for D_seq's, before weights.

    Args:
      image: the portraits.
      source_motion: what E_kd finds in them.
      spoken: predicted, (b, t).
    """
    terms: Terms = {}
    b, n = len(image), config.rendered
    if real.first is not None:
        spoken = jax.tree.map(lambda x, first=real.first: avct_inputs.cut(x, first, n), spoken)
    if config.equivariant:
        terms |= _equivariance_terms(config, spoken, real.expected)
    if not config.renders or real.frames is None:
        return None, terms
    frames = real.frames.reshape(b, n, *real.frames.shape[1:])
    made, difference = render(networks, config, frozen, image, source_motion, spoken, real=frames)
    made = made.reshape(b * n, *made.shape[2:])
    if config.perceptual:
        terms["perceptual"] = difference
    if config.sync:
        terms["sync"] = _sync_term(networks, frozen, made, real)
    return made, terms


def render(
    networks: LossNetworks,
    config: Any,
    frozen: Any,
    image: Float[Array, "b h w 3"],
    source_motion: motion.Motion,
    driving: motion.Motion,
    *,
    real: Float[Array, "b n o o 3"] | None = None,
) -> tuple[Float[Array, "b n o o 3"], Float[Array, ""]]:
    """Render n frames of each portrait at config.output_size; and how they differ from `real` for VGG."""
    size, compare = config.output_size, bool(config.perceptual) and real is not None
    source: Any = networks.renderer.apply(frozen.renderer, image, method="encode")
    if networks.renderer.config.blend:
        source = source._replace(full=image_augmentation.resize(source.full, size))

    def some(driving, wanted, source, source_motion):
        drawn: Any = networks.renderer.apply(frozen.renderer, source, driving, source_motion, method="decode")
        made = image_augmentation.resize(drawn.frame, size)
        if not compare:
            return made, jnp.zeros(())
        difference = losses.perceptual(
            frozen.perceptual, made, wanted, layers=config.perceptual_layers, scales=config.perceptual_scales,
            weight=1.0, dtype=networks.renderer.dtype,
        )  # fmt: skip
        return made, difference

    b, n = driving.keypoints.shape[:2]
    if networks.remat:
        by_frame = jax.tree.map(lambda x: x.swapaxes(0, 1), (driving, real))
        one = jax.checkpoint(lambda pair: some(pair[0], pair[1], source, source_motion))
        made, difference = jax.lax.map(one, by_frame)
        return made.swapaxes(0, 1), difference.mean()
    flat = lambda tree: jax.tree.map(lambda x: x.reshape(b * n, *x.shape[2:]), tree)
    moving, wanted = flat((driving, real))
    made, difference = some(moving, wanted, *image_augmentation.repeat((source, source_motion), n))
    return made.reshape(b, n, *made.shape[1:]), difference


def _detect(networks, frozen, images) -> motion.Motion:
    found: Any = networks.detector.apply(frozen.keypoint_detector, images)
    return found.motion


def _expect(networks, frozen, frames, keys):
    warp = random_warps.random_warps(keys, len(frames) // len(keys))
    warped = random_warps.warp_frames(warp, frames)
    found = _detect(networks, frozen, warped)
    back = random_warps.warp_points(warp, found.keypoints)
    return Expected(back, found.jacobians, random_warps.warp_jacobian(warp, found.keypoints))


def _equivariance_terms(config, spoken, expected):
    """The predicted motion in the place of E_kd's on the real frame."""
    found = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), spoken)
    terms = {}
    if config.equivariance_keypoints:
        error = losses.keypoint_equivariance(found.keypoints, expected.keypoints)
        terms["equivariance_keypoints"] = error
    if config.equivariance_jacobians:
        error = losses.jacobian_equivariance(found.jacobians, expected.warp_jacobians, expected.jacobians)
        terms["equivariance_jacobians"] = error
    return terms


def _sync_term(networks, frozen, made, real):
    """Every five successive mouths against the audio of theirs."""
    b, n = real.mel.shape[:2]
    crops = mouth_crops.crop(made, real.boxes)
    faces = mouth_crops.windows(crops.reshape(b, n, *crops.shape[1:]))
    mel = real.mel[:, : n - sync_discriminator.FRAMES + 1].reshape(-1, 80, 16, 1)
    return losses.sync(sync_discriminator.cosine(*networks.sync.apply(frozen.sync_discriminator, mel, faces)))
