"""What the networks are trained to make small: pure functions of arrays."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax import motion
from avct_jax.layers.convolution import antialias
from avct_jax.models.frozen import vgg

SCALES = (1, 2, 4, 8)  # FOMM: full size, 1/2, 1/4, 1/8
PERCEPTUAL_WEIGHT = 10.0  # on each of the five features, FOMM vox-256
# Without an accelerator: relu1_1 .. relu3_1 on half-size images, a sixteenth of the FLOPs.
LIGHT_LAYERS = (1, 2, 3)
LIGHT_SCALES = (2,)
SYNC_EPSILON = 1e-5  # distance that the sync probability keeps from 0 and 1

Features = Sequence[Float[Array, "b _ _ _"]]
Scalar = Float[Array, ""]


def total(weights: Mapping[str, float], terms: Mapping[str, Scalar]) -> Scalar:
    """The weighted sum of terms; those without a weight do not count."""
    return sum((weight * terms[name] for name, weight in weights.items() if name in terms), jnp.zeros(()))


def pyramid(
    image: Float[Array, "b h w c"], scales: Sequence[int] = SCALES
) -> dict[int, Float[Array, "b _ _ c"]]:
    """Low-pass and decimate by each factor, FOMM's ImagePyramide: {factor: image}."""
    return {scale: antialias.downsample(image, scale) for scale in scales}


def mean_absolute(difference: Float[Array, "*b"]) -> Scalar:
    """Mean of `|x|` whose gradient at x = 0 is 0, as torch's; that of jnp.abs is 1."""
    return (difference * jax.lax.stop_gradient(jnp.sign(difference))).mean()


def l1_pyramid(
    predicted: Float[Array, "b h w c"], target: Float[Array, "b h w c"], *, scales: Sequence[int] = SCALES
) -> Scalar:
    """Mean absolute difference, summed over the scales of an image pyramid."""
    # Low-pass is linear: one pyramid, of the difference, instead of two.
    return sum(
        (mean_absolute(level) for level in pyramid(predicted - target, scales).values()), jnp.zeros(())
    )


def perceptual(
    network: vgg.PerceptualNetwork,
    predicted: Float[Array, "b h w 3"],
    target: Float[Array, "b h w 3"],
    *,
    layers: Sequence[int] = vgg.LAYERS,
    scales: Sequence[int] = SCALES,
    weight: float = PERCEPTUAL_WEIGHT,
    dtype: Any = None,
    remat: bool = False,
) -> Scalar:
    """Mean absolute difference of VGG features, summed over layers and pyramid scales, times `weight`.

    The perceptual loss of FOMM (Johnson et al., 2016); the target gets no gradient.

    Args:
      network: VGG, see `vgg.features`.
      predicted: RGB in [0, 1].
      target: the same.
      layers: 3 stands for relu3_1, and so on; computing stops at the deepest.
      scales: factors by which the images are made smaller.
      weight: on the sum.
      dtype: of the convolutions; None: float32.
      remat: compute the features of each scale again in the backward pass instead of keeping them.
    """

    def at_scale(network, made, wanted):
        pair = (vgg.features(network, x, layers, dtype=dtype) for x in (made, jax.lax.stop_gradient(wanted)))
        return sum((mean_absolute(a - b) for a, b in zip(*pair, strict=True)), jnp.zeros(()))

    at_scale = jax.checkpoint(at_scale) if remat else at_scale
    pairs = zip(pyramid(predicted, scales).values(), pyramid(target, scales).values(), strict=True)
    return weight * sum((at_scale(network, made, wanted) for made, wanted in pairs), jnp.zeros(()))


def gan_generator(prediction_fake: Float[Array, "*b"]) -> Scalar:
    """Least squares (LSGAN, as FOMM): the discriminator should say 1 of what was made."""
    return jnp.square(1 - prediction_fake).mean()


def gan_discriminator(prediction_real: Float[Array, "*b"], prediction_fake: Float[Array, "*b"]) -> Scalar:
    """Least squares: 1 for real, 0 for made images. The caller stops the fake's gradient."""
    return (jnp.square(1 - prediction_real) + jnp.square(prediction_fake)).mean()


def feature_matching(real: Features, fake: Features, *, weight: float = 10.0) -> Scalar:
    """Mean absolute difference of the discriminator's features, summed over its blocks."""
    pairs = zip(real, fake, strict=True)
    return weight * sum((mean_absolute(jax.lax.stop_gradient(r) - f) for r, f in pairs), jnp.zeros(()))


def keypoint_equivariance(keypoints: Float[Array, "b k 2"], warped_back: Float[Array, "b k 2"]) -> Scalar:
    """Keypoints of an image should be those of the warped image, moved by the warp.

    Args:
      keypoints: found in the image.
      warped_back: `random_warps.warp_points(warp, keypoints found in the warped image)`.
    """
    return mean_absolute(keypoints - warped_back)


def jacobian_equivariance(
    jacobians: Float[Array, "b k 2 2"],
    warp_jacobians: Float[Array, "b k 2 2"],
    warped_jacobians: Float[Array, "b k 2 2"],
) -> Scalar:
    """`|1 - J^-1 dT J_warped|`, FOMM's equation 11: zero when the affine frames follow the warp.

    Args:
      jacobians: found in the image.
      warp_jacobians: `random_warps.warp_jacobian` at the keypoints of the warped image.
      warped_jacobians: found in the warped image.
    """
    product = motion.invert_2x2(jacobians) @ (warp_jacobians @ warped_jacobians)
    return mean_absolute(jnp.eye(2).reshape(1, 1, 2, 2) - product)


def sync(cosine: Float[Array, "*b"], in_sync: Float[Array, "*b"] | None = None) -> Scalar:
    """Binary cross-entropy of the cosine of face and voice embeddings (Wav2Lip).

    Args:
      cosine: in [0, 1], as both embeddings end in a relu.
      in_sync: 1 where they belong together, 0 where not; None: all belong together.
    """
    # Squeezed, not clipped: log(0) is infinite, and past a clip a wholly wrong pair would get no gradient.
    p = SYNC_EPSILON + (1 - 2 * SYNC_EPSILON) * jnp.clip(cosine, 0, 1)
    label = jnp.ones_like(p) if in_sync is None else in_sync
    return -(label * jnp.log(p) + (1 - label) * jnp.log1p(-p)).mean()


class MotionError(NamedTuple):
    """Mean absolute differences of two motions.

    Attributes:
      keypoints: in [-1, 1] of the image.
      jacobians: of their entries.
    """

    keypoints: Scalar
    jacobians: Scalar


def motion_l1(predicted: motion.Motion, target: motion.Motion) -> MotionError:
    """Compare a predicted motion with a detected one; no image need be rendered."""
    pairs = zip(predicted, target, strict=True)
    return MotionError(*(mean_absolute(a - b) for a, b in pairs))


def pose_l1(
    predicted: Float[Array, "b t 6"], target: Float[Array, "b t 6"], *, first_weight: float = 1.0
) -> Scalar:
    """Mean absolute difference of head poses, plus the first pose's own.

    The first term is Audio2Head's training on pose sequences; the second ties the pose read from the
    first image to the reference pose (Wang et al. 2022, "Head motion").
    """
    error = predicted - target
    return mean_absolute(error) + first_weight * mean_absolute(error[:, 0])
