"""Convolution whose kernel is divided by its largest singular value."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen import dtypes
from jaxtyping import Array, Float

from avct_jax.layers.convolution import conv

# Power iterations before the first use, as torch.nn.utils.parametrizations.spectral_norm. Random vectors find
# next to no singular value: the first judgement would be by kernels a thousand times too large.
FIRST_ITERATIONS = 15


class SpectralConv(nn.Module):
    """torch.nn.utils.spectral_norm of a Conv2d without padding (Miyato et al., 2018).

    Torch's own layout is kept, because the singular vectors belong to it: params `weight_orig`
    (out, in, h, w) and `bias`; batch_stats `weight_u` (out,), `weight_v` (in * h * w,). Called with
    `train`, the vectors take one step of power iteration; without, the stored ones serve. They begin near
    the largest singular value's.
    """

    features: int
    kernel_size: Sequence[int] = (4, 4)
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool = False) -> Float[Array, "b hh ww d"]:
        shape = (self.features, x.shape[-1], *self.kernel_size)
        init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform", in_axis=1, out_axis=0)
        weight = self.param("weight_orig", init, shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        matrix = weight.reshape(self.features, -1)
        u = self.variable("batch_stats", "weight_u", lambda: self._first_vector(matrix))
        v = self.variable("batch_stats", "weight_v", lambda: unit(u.value @ matrix))
        if train and not self.is_initializing():
            fixed = jax.lax.stop_gradient(matrix)
            v.value = unit(u.value @ fixed)
            u.value = unit(fixed @ v.value)
        sigma = u.value @ (matrix @ v.value)
        kernel = (weight / sigma).transpose(2, 3, 1, 0)
        x, kernel, bias = dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return conv.convolve(x, kernel) + bias.reshape(1, 1, 1, -1)

    def _first_vector(self, matrix: Float[Array, "m n"]) -> Float[Array, "m"]:
        u = unit(jax.random.normal(self.make_rng("params"), matrix.shape[:1]))
        return jax.lax.fori_loop(0, FIRST_ITERATIONS, lambda _, u: unit(matrix @ unit(u @ matrix)), u)


def unit(vector: Float[Array, "n"]) -> Float[Array, "n"]:
    """Divide by the length, as torch.nn.functional.normalize (eps 1e-12)."""
    return vector / jnp.maximum(jnp.linalg.norm(vector), 1e-12)
