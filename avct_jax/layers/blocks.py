"""Convolution blocks of the First Order Motion Model.

A bias before a normalisation is told to the normalisation instead of being added (`BatchNorm`'s `shift`).
"""

from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from avct_jax.layers import activation, norm
from avct_jax.layers.convolution import conv, pooling


class SameBlock(nn.Module):
    """Convolution, normalisation, ReLU, at one resolution."""

    features: int
    kernel_size: int = 3
    doubled: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b hh ww d"]:
        k = self.kernel_size
        options = {"padding": k // 2, "doubled": self.doubled, "defer_bias": True, "dtype": self.dtype}
        x, bias = conv.Conv(self.features, (k, k), name="conv", **options)(x)
        return activation.relu(norm.BatchNorm(dtype=self.dtype, name="norm")(x, train=train, shift=bias))


class DownBlock(SameBlock):
    """SameBlock, then 2x2 means."""

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b hh ww d"]:
        return pooling.halve(super().__call__(x, train=train))


class UpBlock(SameBlock):
    """Each pixel doubled, then SameBlock."""

    doubled: bool = True


class ResBlock(nn.Module):
    """Pre-activation residual block of two 3x3 convolutions."""

    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b h w c"]:
        y = activation.relu(norm.BatchNorm(dtype=self.dtype, name="norm1")(x, train=train))
        y, bias = conv.Conv(x.shape[-1], padding=1, defer_bias=True, dtype=self.dtype, name="conv1")(y)
        y = activation.relu(norm.BatchNorm(dtype=self.dtype, name="norm2")(y, train=train, shift=bias))
        return x + conv.Conv(x.shape[-1], padding=1, dtype=self.dtype, name="conv2")(y)
