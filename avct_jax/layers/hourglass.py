"""The hourglass of the First Order Motion Model: a U-net of Down and Up blocks."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax.layers import blocks


class HourglassEncoder(nn.Module):
    """Halve `num_blocks` times; returns the input and every level."""

    block_expansion: int
    num_blocks: int
    max_features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool = False) -> list[Array]:
        levels = [x]
        for i in range(self.num_blocks):
            features = min(self.max_features, self.block_expansion * 2 ** (i + 1))
            block = blocks.DownBlock(features, dtype=self.dtype, name=f"down_blocks_{i}")
            levels.append(block(levels[-1], train=train))
        return levels


class HourglassDecoder(nn.Module):
    """Double back up, laying each level of the encoder beside the result."""

    block_expansion: int
    num_blocks: int
    max_features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, levels: list[Array], *, train: bool = False) -> Float[Array, "b h w d"]:
        x = levels[-1]
        for i in range(self.num_blocks):
            features = min(self.max_features, self.block_expansion * 2 ** (self.num_blocks - 1 - i))
            x = blocks.UpBlock(features, dtype=self.dtype, name=f"up_blocks_{i}")(x, train=train)
            x = jnp.concatenate([x, levels[-2 - i]], axis=-1)
        return x


class Hourglass(nn.Module):
    """Encoder and decoder; the result has block_expansion + input channels."""

    block_expansion: int
    num_blocks: int
    max_features: int
    dtype: Any = None

    def setup(self):
        sizes = (self.block_expansion, self.num_blocks, self.max_features, self.dtype)
        self.encoder = HourglassEncoder(*sizes)
        self.decoder = HourglassDecoder(*sizes)

    def __call__(self, x: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b h w d"]:
        return self.decoder(self.encoder(x, train=train), train=train)
