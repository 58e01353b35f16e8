"""ResNet of basic blocks (He et al., 2016), with torchvision's names."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from avct_jax.layers import norm
from avct_jax.layers.convolution import conv


class ResNet(nn.Module):
    """7x7 convolution, pooling, four stages, mean, linear.

    The defaults of `blocks` and `widths` are ResNet-34's.
    """

    features: int
    blocks: Sequence[int] = (3, 4, 6, 3)
    widths: Sequence[int] = (64, 128, 256, 512)
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b d"]:
        x = conv.Conv(self.widths[0], (7, 7), (2, 2), 3, use_bias=False, dtype=self.dtype, name="conv1")(x)
        x = nn.relu(norm.BatchNorm(dtype=self.dtype, name="bn1")(x, train=train))
        around: Any = ((1, 1), (1, 1))  # Flax takes pairs, too; its type is guessed from the default, "VALID"
        x = nn.max_pool(x, (3, 3), (2, 2), around)
        for stage, (count, width) in enumerate(zip(self.blocks, self.widths, strict=True)):
            for i in range(count):
                stride = 2 if stage > 0 and i == 0 else 1
                block = BasicBlock(width, stride, dtype=self.dtype, name=f"layer{stage + 1}_{i}")
                x = block(x, train=train)
        return nn.Dense(self.features, dtype=self.dtype, name="fc")(x.mean((1, 2)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around an identity, or around a strided 1x1 convolution."""

    features: int
    stride: int = 1
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b hh ww d"]:
        strides = (self.stride, self.stride)
        y = self._conv_norm(x, 3, strides, "conv1", "bn1", train)
        y = self._conv_norm(nn.relu(y), 3, (1, 1), "conv2", "bn2", train)
        if self.stride != 1 or x.shape[-1] != self.features:
            x = self._conv_norm(x, 1, strides, "downsample_0", "downsample_1", train)
        return nn.relu(x + y)

    def _conv_norm(self, x, kernel, strides, conv_name, norm_name, train):
        x = conv.Conv(
            self.features,
            (kernel, kernel),
            strides,
            kernel // 2,
            use_bias=False,
            dtype=self.dtype,
            name=conv_name,
        )(x)
        return norm.BatchNorm(dtype=self.dtype, name=norm_name)(x, train=train)
