"""Dense motion: for every pixel, where in the source image it comes from."""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avct_jax import motion
from avct_jax.layers import hourglass, precision
from avct_jax.layers.convolution import antialias, conv
from avct_jax.layers.geometry import grid, heatmap


@dataclasses.dataclass(frozen=True)
class DenseMotionConfig:
    """Defaults: the released network (37.7 M parameters).

    Attributes:
      downsampling: factor of the low-pass before the network (256 -> 64 pixels).
      variance: of the Gaussians drawn at the keypoints, in [-1, 1] units squared.
      align_corners: sample with the convention in which the grids are made; the released weights
        were trained without.
      prior: add to the mask's logits what the distance to each keypoint alone says, with a learned
        reach and weight per keypoint. Then an untrained network already moves a face sensibly,
        and training only corrects it: what makes the small sizes trainable in an hour.
      prior_reach: first value of each keypoint's reach (standard deviation, [-1, 1] units).
    """

    num_keypoints: int = 10
    block_expansion: int = 64
    num_blocks: int = 5
    max_features: int = 1024
    downsampling: int = 4
    kernel_size: int = 7
    variance: float = 0.01
    align_corners: bool = False
    prior: bool = False
    prior_reach: tuple[float, ...] = ()


class DenseMotion(NamedTuple):
    """The answer at the network's resolution.

    Attributes:
      deformation: x, y in [-1, 1] in the source image.
      occlusion_map: share of each pixel that the source shows; the rest must be invented.
      mask: weights of the background (first) and of each keypoint's motion.
    """

    deformation: Float[Array, "b h w 2"]
    occlusion_map: Float[Array, "b h w 1"]
    mask: Float[Array, "b h w kk"]


class DenseMotionNetwork(nn.Module):
    """Mix the keypoints' affine motions per pixel. Siarohin et al., NeurIPS 2019, section 3.2."""

    config: DenseMotionConfig
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        source_image: Float[Array, "b h w 3"],
        driving: motion.Motion,
        source: motion.Motion,
        *,
        train: bool = False,
    ) -> DenseMotion:
        """Find the motion that turns `source_image`, whose motion is `source`, into `driving`."""
        c = self.config
        image = antialias.downsample(source_image, c.downsampling)
        height, width = image.shape[1:3]
        motions = sparse_motions(driving, source, height, width)
        inputs = self._inputs(image, motions, driving, source)
        sizes = (c.block_expansion, c.num_blocks, c.max_features, self.dtype)
        features = hourglass.Hourglass(*sizes, name="hourglass")(inputs, train=train)
        kernel, pad = (c.kernel_size, c.kernel_size), c.kernel_size // 2
        # With the prior the network begins as a small correction of it.
        init: dict[str, Any] = {}
        if c.prior:
            init["kernel_init"] = nn.initializers.normal(0.01 / c.kernel_size)
        logits = conv.Conv(c.num_keypoints + 1, kernel, padding=pad, name="mask", **init)(features)
        logits = precision.widen(logits)
        if c.prior:
            logits = logits + self._prior(driving.keypoints, height, width)
        mask = jax.nn.softmax(logits, axis=-1)
        occlusion = conv.Conv(1, kernel, padding=pad, name="occlusion", **init)(features)
        deformation = jnp.einsum("bhwk,bhwkd->bhwd", mask, motions)
        return DenseMotion(deformation, jax.nn.sigmoid(precision.widen(occlusion)), mask)

    def _inputs(self, image, motions, driving, source):
        """Per motion: the heatmap's change and the image moved so; channels (motion, 4)."""
        b, height, width, kk, _ = motions.shape
        draw = lambda m: heatmap.gaussians(m.keypoints, height, width, variance=self.config.variance)
        change = jnp.pad(draw(driving) - draw(source), ((0, 0), (0, 0), (0, 0), (1, 0)))
        # All motions in one sampling: the grids stacked along the height.
        stacked = motions.transpose(0, 3, 1, 2, 4).reshape(b, kk * height, width, 2)
        moved = grid.grid_sample(image, stacked, align_corners=self.config.align_corners)
        moved = moved.reshape(b, kk, height, width, 3).transpose(0, 2, 3, 1, 4)
        inputs = jnp.concatenate([change[..., None], moved], axis=-1)
        return inputs.reshape(b, height, width, kk * 4)

    def _prior(self, keypoints, height, width):
        c = self.config
        reach = np.log(c.prior_reach or (0.2,) * c.num_keypoints).astype(np.float32)
        log_reach = self.param("prior_log_reach", lambda key: jnp.asarray(reach))
        weight = self.param("prior_weight", nn.initializers.constant(4.0), (c.num_keypoints,))
        places = jnp.asarray(grid.coordinate_grid(height, width))[None, :, :, None]
        distance = jnp.square(places - keypoints[:, None, None]).sum(-1)
        near = weight.reshape(1, 1, 1, -1) - 0.5 * distance * jnp.exp(-2 * log_reach).reshape(1, 1, 1, -1)
        return jnp.pad(near, ((0, 0), (0, 0), (0, 0), (1, 0)))


def sparse_motions(
    driving: motion.Motion, source: motion.Motion, height: int, width: int
) -> Float[Array, "b h w kk 2"]:
    """Where each pixel comes from if it moves with each keypoint; the first motion is rest.

    Equation 4 of Siarohin et al.: T(z) = source + J_source J_driving^-1 (z - driving).
    """
    b = len(driving.keypoints)
    places = jnp.asarray(grid.coordinate_grid(height, width))[None, :, :, None]
    turn = source.jacobians @ motion.invert_2x2(driving.jacobians)
    offset = places - driving.keypoints[:, None, None]
    moved = jnp.einsum("bkij,bhwkj->bhwki", turn, offset) + source.keypoints[:, None, None]
    rest = jnp.broadcast_to(places, (b, height, width, 1, 2))
    return jnp.concatenate([rest, moved], axis=3)
