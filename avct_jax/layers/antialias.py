"""Gaussian low-pass and decimation, FOMM's AntiAliasInterpolation2d."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avct_jax.layers import conv


def downsample(image: Float[Array, "b h w c"], factor: int) -> Float[Array, "b hh ww c"]:
    """Blur with a Gaussian of sigma (factor - 1) / 2 and keep every `factor`-th pixel.

    Zero padding, 2 round(4 sigma) + 1 taps, first pixel kept: with factor 4 the 13 taps, sigma 1.5
    of the released checkpoints (their `down.weight`).
    """
    if factor == 1:
        return image
    taps = gaussian_taps((factor - 1) / 2).astype(image.dtype)
    n, channels = len(taps), image.shape[-1]
    pad = n // 2
    # Separable: 2 n multiplications per pixel instead of n^2, and only the kept rows are made.
    for axis in (0, 1):
        shape = (n, 1, 1, 1) if axis == 0 else (1, n, 1, 1)
        kernel = jnp.tile(jnp.asarray(taps).reshape(shape), (1, 1, 1, channels))
        strides = (factor, 1) if axis == 0 else (1, factor)
        pads = [(pad, pad), (0, 0)] if axis == 0 else [(0, 0), (pad, pad)]
        image = jax.lax.conv_general_dilated(
            image, kernel, strides, pads, dimension_numbers=conv.DIMENSIONS, feature_group_count=channels
        )
    return image


def gaussian_taps(sigma: float) -> np.ndarray:
    """Normalised 1-D Gaussian of 2 round(4 sigma) + 1 taps."""
    n = 2 * round(4 * sigma) + 1
    x = np.arange(n) - (n - 1) / 2
    taps = np.exp(-(x**2) / (2 * sigma**2))
    return taps / taps.sum()
