"""Discriminator of image patches, FOMM's: D of single images, and D_seq of frames stacked in channels."""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from avct_jax.layers import norm, precision
from avct_jax.layers.convolution import conv, pooling, spectral_norm


@dataclass(frozen=True)
class PatchDiscriminatorConfig:
    """Released shapes (FOMM vox-adv).

    Attributes:
      block_expansion: half the first block's channels; every block doubles them up to max_features.
      spectral: divide each kernel by its largest singular value.
    """

    block_expansion: int = 32
    num_blocks: int = 4
    max_features: int = 512
    spectral: bool = True


class PatchDiscriminator(nn.Module):
    """Say of each patch of an image whether it is real, at full size (`discs_1`)."""

    config: PatchDiscriminatorConfig = PatchDiscriminatorConfig()
    dtype: Any = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool = False
    ) -> tuple[Float[Array, "b hh ww 1"], tuple[Float[Array, "b _ _ _"], ...]]:
        """Return the prediction per patch (1 real, 0 made) and every block's features.

        Args:
          x: RGB in [0, 1]; heatmaps of keypoints, or more frames (`stack_frames`), as further channels.
          train: let the singular vectors follow the kernels (updates batch_stats).
        """
        return ScaleDiscriminator(self.config, self.dtype, name="discs_1")(x, train=train)


class ScaleDiscriminator(nn.Module):
    """The network at one scale; a patch sees 94 pixels with four blocks."""

    config: PatchDiscriminatorConfig
    dtype: Any = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool = False
    ) -> tuple[Float[Array, "b hh ww 1"], tuple[Float[Array, "b _ _ _"], ...]]:
        c, features = self.config, []
        for i in range(c.num_blocks):
            block = PatchBlock(
                min(c.max_features, c.block_expansion * 2 ** (i + 1)),
                normalise=i > 0,
                pool=i < c.num_blocks - 1,
                spectral=c.spectral,
                dtype=self.dtype,
                name=f"down_blocks_{i}",
            )
            x = block(x, train=train)
            features.append(x)
        prediction = _convolution(1, (1, 1), c.spectral, self.dtype, x, train)
        return precision.widen(prediction), tuple(features)


class PatchBlock(nn.Module):
    """4x4 convolution without padding, instance norm, leaky ReLU, 2x2 means."""

    features: int
    normalise: bool
    pool: bool
    spectral: bool
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b hh ww d"]:
        x = _convolution(self.features, (4, 4), self.spectral, self.dtype, x, train)
        if self.normalise:
            x = norm.InstanceNorm(dtype=self.dtype, name="norm")(x)
        x = nn.leaky_relu(x, 0.2)
        return pooling.halve(x) if self.pool else x


def stack_frames(frames: Float[Array, "b t h w c"]) -> Float[Array, "b h w tc"]:
    """Lay successive frames side by side in channels, as D_seq sees them: frame 0's colours first."""
    b, t, h, w, c = frames.shape
    return frames.transpose(0, 2, 3, 1, 4).reshape(b, h, w, t * c)


def _convolution(features, size, spectral, dtype, x, train):
    if spectral:
        return spectral_norm.SpectralConv(features, size, dtype=dtype, name="conv")(x, train=train)
    return conv.Conv(features, size, dtype=dtype, name="conv")(x)
