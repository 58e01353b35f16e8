"""Batch normalisation with PyTorch's running statistics, and instance normalisation."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax.layers import pixel_sums, precision


class BatchNorm(nn.Module):
    """Normalise each channel over all other axes.

    Under jit over a sharded batch the mean is over the global batch. The running variance is the
    unbiased one, as torch.nn.BatchNorm2d keeps it (flax.linen.BatchNorm keeps the biased one).

    Attributes:
      momentum: share of the running value kept each step; torch's `momentum` is 1 minus this.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5
    dtype: Any = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "*b c"], *, train: bool = False, shift: Float[Array, "c"] | None = None
    ) -> Float[Array, "*b c"]:
        """Normalise x + shift. In training the batch's mean takes the shift away again: it is never added."""
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones_init(), (channels,))
        bias = self.param("bias", nn.initializers.zeros_init(), (channels,))
        mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
        var = self.variable("batch_stats", "var", jnp.ones, (channels,))
        if train:
            m, v = _moments(precision.widen(x))
            whole = m if shift is None else m + precision.widen(jax.lax.stop_gradient(shift))
            if not self.is_initializing():
                count = x.size // channels
                mean.value = self.momentum * mean.value + (1 - self.momentum) * whole
                var.value = self.momentum * var.value + (1 - self.momentum) * v * count / max(count - 1, 1)
        else:
            m, v = mean.value, var.value
            m = m if shift is None else m - shift
        gain = scale * jax.lax.rsqrt(v + self.epsilon)
        dtype = self.dtype or x.dtype
        rank = (1,) * (x.ndim - 1)
        # In float32 whatever `dtype` is: a mean far from zero would cancel inexactly.
        y = precision.widen(x) * gain.reshape(*rank, -1) + (bias - m * gain).reshape(*rank, -1)
        return y.astype(dtype)


class InstanceNorm(nn.Module):
    """Normalise each channel of each image over its pixels, as torch.nn.InstanceNorm2d with affine=True."""

    epsilon: float = 1e-5
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """Normalise."""
        scale = self.param("scale", nn.initializers.ones_init(), (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros_init(), (x.shape[-1],))
        wide, pixels = precision.widen(x), x.shape[1] * x.shape[2]
        m = pixel_sums.total(wide, 1) / pixels
        off = wide - pixel_sums.spread(m, x.shape)  # first: far from zero products would cancel inexactly
        # Two passes: the mean of squares less the square of the mean would cancel.
        v = pixel_sums.total(jnp.square(off), 1) / pixels
        gain = scale.reshape(1, -1) * jax.lax.rsqrt(v + self.epsilon)
        y = off * pixel_sums.spread(gain, x.shape) + pixel_sums.spread(bias, x.shape)
        return y.astype(self.dtype or x.dtype)


def _moments(x):
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axes)
    return mean, jnp.square(x - mean.reshape((1,) * len(axes) + (-1,))).mean(axes)
