"""Convolution blocks of the First Order Motion Model."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax.layers import conv, norm


class SameBlock(nn.Module):
    """Convolution, normalisation, ReLU, at one resolution."""

    features: int
    kernel_size: int = 3
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b h w d"]:
        k = self.kernel_size
        x = conv.Conv(self.features, (k, k), padding=k // 2, dtype=self.dtype, name="conv")(x)
        return nn.relu(norm.BatchNorm(dtype=self.dtype, name="norm")(x, train=train))


class DownBlock(nn.Module):
    """SameBlock, then 2x2 means."""

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b hh ww d"]:
        x = conv.Conv(self.features, padding=1, dtype=self.dtype, name="conv")(x)
        x = nn.relu(norm.BatchNorm(dtype=self.dtype, name="norm")(x, train=train))
        return nn.avg_pool(x, (2, 2), (2, 2))


class UpBlock(nn.Module):
    """Each pixel doubled, then SameBlock."""

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b hh ww d"]:
        x = conv.Conv(self.features, padding=1, dtype=self.dtype, name="conv")(upsample_nearest(x))
        return nn.relu(norm.BatchNorm(dtype=self.dtype, name="norm")(x, train=train))


class ResBlock(nn.Module):
    """Pre-activation residual block of two 3x3 convolutions."""

    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b h w c"]:
        y = x
        for i in (1, 2):
            y = nn.relu(norm.BatchNorm(dtype=self.dtype, name=f"norm{i}")(y, train=train))
            y = conv.Conv(x.shape[-1], padding=1, dtype=self.dtype, name=f"conv{i}")(y)
        return x + y


def upsample_nearest(x: Float[Array, "b h w c"]) -> Float[Array, "b hh ww c"]:
    """Write every pixel twice along both axes."""
    b, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c))
    return x.reshape(b, 2 * h, 2 * w, c)
