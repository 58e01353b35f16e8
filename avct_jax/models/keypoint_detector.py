"""E_kd: where the keypoints of a face are, and the affine frame around each."""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax import motion
from avct_jax.layers import hourglass, precision
from avct_jax.layers.convolution import antialias, conv
from avct_jax.layers.geometry import heatmap


@dataclasses.dataclass(frozen=True)
class KeypointDetectorConfig:
    """Defaults: the released network (14.2 M parameters).

    Attributes:
      downsampling: factor of the low-pass before the hourglass (256 -> 64 pixels).
      kernel_size: of the two heads.
      padding: of the two heads. The released heads have none: their 58x58 maps are stretched over [-1, 1].
      temperature: of the softmax over each heatmap.
    """

    num_keypoints: int = 10
    block_expansion: int = 32
    num_blocks: int = 5
    max_features: int = 1024
    downsampling: int = 4
    kernel_size: int = 7
    padding: int = 0
    temperature: float = 0.1

    @property
    def feature_channels(self) -> int:
        """Channels of `Detection.features`: the hourglass's own and the 3 of the image."""
        return self.block_expansion + 3


class Detection(NamedTuple):
    """A detected motion, and the features that E_avct reads from the portrait."""

    motion: motion.Motion
    features: Float[Array, "b hh ww d"]


class KeypointDetector(nn.Module):
    """Detect keypoints by soft-argmax, with Jacobians averaged under the same heatmap.

    Siarohin et al., NeurIPS 2019, section 3.1.
    """

    config: KeypointDetectorConfig
    dtype: Any = None

    @nn.compact
    def __call__(self, image: Float[Array, "b h w 3"], *, train: bool = False) -> Detection:
        """Detect.

        Args:
          image: RGB in [0, 1].
        """
        c = self.config
        image = antialias.downsample(image, c.downsampling)
        sizes = (c.block_expansion, c.num_blocks, c.max_features, self.dtype)
        features = precision.widen(hourglass.Hourglass(*sizes, name="predictor")(image, train=train))
        kernel = (c.kernel_size, c.kernel_size)
        logits = conv.Conv(c.num_keypoints, kernel, padding=c.padding, name="kp")(features)
        maps = heatmap.spatial_softmax(logits, temperature=c.temperature)
        init = {"kernel_init": nn.initializers.zeros_init(), "bias_init": _identity_bias}
        jacobian_head = conv.Conv(4 * c.num_keypoints, kernel, padding=c.padding, name="jacobian", **init)
        jacobians = _mean_under(maps, jacobian_head(features))
        return Detection(motion.Motion(heatmap.expected_position(maps), jacobians), features)


def _mean_under(maps, jacobian_maps):
    b, h, w, k = maps.shape
    values = jacobian_maps.reshape(b, h, w, k, 4)
    return jnp.einsum("bhwk,bhwkj->bkj", maps, values).reshape(b, k, 2, 2)


def _identity_bias(key, shape, dtype=jnp.float32):
    del key
    return jnp.tile(jnp.array([1.0, 0.0, 0.0, 1.0], dtype), shape[0] // 4)
