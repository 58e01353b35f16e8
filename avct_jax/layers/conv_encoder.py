"""Pre-activation residual towers that turn a small image into one vector."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from avct_jax.layers import norm
from avct_jax.layers.convolution import conv, pooling

LEAK = 0.2  # slope of the leaky ReLU below zero, as in the released network


class DownResBlock(nn.Module):
    """Two pre-activated 3x3 convolutions beside a normalised 1x1 convolution, then 2x2 means."""

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b hh ww d"]:
        middle = min(x.shape[-1], self.features)
        y = NormConv(middle, dtype=self.dtype, name="conv_block_0")(x, train=train)
        y = NormConv(self.features, dtype=self.dtype, name="conv_block_1")(y, train=train)
        shortcut = NormConv(self.features, 1, activate=False, dtype=self.dtype, name="conv_block_s")
        return pooling.halve(y + shortcut(x, train=train))


class NormConv(nn.Module):
    """Normalisation, leaky ReLU, convolution; the child's name `layers` is the released checkpoints'."""

    features: int
    kernel_size: int = 3
    activate: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b h w d"]:
        fields = (self.features, self.kernel_size, self.activate, self.dtype)
        return _NormConvLayers(*fields, name="layers")(x, train=train)


class _NormConvLayers(nn.Module):
    features: int
    kernel_size: int
    activate: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w d"]:
        k = self.kernel_size
        x = norm.BatchNorm(dtype=self.dtype, name="norm")(x, train=train)
        x = nn.leaky_relu(x, LEAK) if self.activate else x
        return conv.Conv(self.features, (k, k), padding=k // 2, dtype=self.dtype, name="conv")(x)


def make_tower(channels: Sequence[int], dtype: Any = None) -> list[DownResBlock]:
    """One block per entry of `channels`; assign the list to a field of a module in `setup`."""
    return [DownResBlock(c, dtype=dtype) for c in channels]


def run_tower(
    blocks: Sequence[DownResBlock], x: Float[Array, "b h w c"], *, train: bool = False
) -> Float[Array, "b d"]:
    """Halve the image once per block and average what is left."""
    for block in blocks:
        x = block(x, train=train)
    return x.mean((1, 2))
