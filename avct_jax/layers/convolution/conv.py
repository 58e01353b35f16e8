"""2-D convolution, NHWC."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen import dtypes
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from avct_jax.layers import pixel_sums, precision
from avct_jax.layers.convolution import cpu_conv

DIMENSIONS = cpu_conv.DIMENSIONS
# Along an axis where every pixel stands twice, two of three taps lie on the same pixel. [which of the two
# pixels that one becomes, which of the two pixels that it sees, tap]
SHARED_TAPS = np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float32)


class Conv(nn.Module):
    """Cross-correlation with zero padding, as torch.nn.Conv2d computes it.

    Parameters are `kernel` (h, w, in, out) and `bias` (out,).

    Attributes:
      features: number of output channels.
      kernel_size: height and width of the kernel, pixels.
      padding: zeros added on each side, per axis: `p` or `(p_h, p_w)`.
      defer_bias: leave the bias out of the result and return it beside it, for a normalisation that follows
        (`BatchNorm`'s `shift`).
      doubled: write every pixel of the input twice along both axes first (`convolve_doubled`); for 3x3
        kernels with a padding of 1.
    """

    features: int
    kernel_size: Sequence[int] = (3, 3)
    strides: Sequence[int] = (1, 1)
    padding: int | Sequence[int] = 0
    doubled: bool = False
    use_bias: bool = True
    defer_bias: bool = False
    kernel_init: Callable[..., Any] = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
    bias_init: Callable[..., Any] = nn.initializers.zeros_init()
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *more: Float[Array, "b h w _"]) -> Any:
        """Return the result; with its bias if `defer_bias`.

        Args:
          x: images.
          more: further channels of them (`convolve_joined`).
        """
        shape = (*self.kernel_size, sum(part.shape[-1] for part in (x, *more)), self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", self.bias_init, (self.features,)) if self.use_bias else None
        kernel, bias, *parts = dtypes.promote_dtype(kernel, bias, x, *more, dtype=self.dtype)
        strides, pad = _pair(self.strides), _pair(self.padding)
        if more and (self.doubled or strides != (1, 1)):
            raise ValueError("images are joined where they are neither doubled nor strided")
        if self.doubled:
            if shape[:2] != (3, 3) or pad != (1, 1) or strides != (1, 1):
                raise ValueError(
                    f"doubled is for 3x3 kernels with a padding of 1, not {shape[:2]} with {pad}"
                )
            y = convolve_doubled(parts[0], kernel)
        else:
            y = convolve_joined(parts, kernel, pad) if more else convolve(parts[0], kernel, strides, pad)
        if self.defer_bias:
            return y, bias
        return y if bias is None else y + pixel_sums.spread(bias, y.shape)


def _pair(given: int | Sequence[int]) -> tuple[int, int]:
    down, across = (given, given) if isinstance(given, int) else given
    return down, across


def convolve(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw c d"],
    strides: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
) -> Float[Array, "b hh ww d"]:
    """Cross-correlate, zeros outside.

    With stride 1 the kernel's gradient is computed in another way on CPUs (layers/convolution/cpu_conv.py).
    """
    size = (kernel.shape[0], kernel.shape[1])
    if cpu_conv.covers(size, strides, padding):
        return cpu_conv.convolve(x, kernel, padding)
    pads = [(p, p) for p in padding]
    return jax.lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=DIMENSIONS)


def convolve_joined(
    parts: Sequence[Float[Array, "b h w _"]], kernel: Float[Array, "kh kw c d"], padding: tuple[int, int]
) -> Float[Array, "b hh ww d"]:
    """Cross-correlate images joined along their channels, with a stride of 1.

    Equal to `convolve` of the joined image. A gradient is computed of those channels alone that it is asked
    for; of a joined image it would be of all of them, and the rest thrown away.
    """
    return _joined(padding, tuple(parts), kernel)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _joined(padding, parts, kernel):
    return convolve(jnp.concatenate(parts, -1), kernel, (1, 1), padding)


def _joined_jvp(padding, primals, tangents):
    (parts, kernel), (part_tangents, kernel_tangent) = primals, tangents
    joined = jnp.concatenate(parts, -1)
    terms = []
    if not isinstance(kernel_tangent, SymbolicZero):
        terms.append(convolve(joined, kernel_tangent, (1, 1), padding))
    ends = np.cumsum([part.shape[-1] for part in parts])
    own = [kernel[:, :, end - part.shape[-1] : end] for part, end in zip(parts, ends, strict=True)]
    moved = [pair for pair in zip(part_tangents, own, strict=True) if not isinstance(pair[0], SymbolicZero)]
    if moved:
        images, kernels = zip(*moved, strict=True)
        terms.append(convolve(jnp.concatenate(images, -1), jnp.concatenate(kernels, 2), (1, 1), padding))
    result = convolve(joined, kernel, (1, 1), padding)
    return result, sum(terms) if terms else jnp.zeros_like(result)


_joined.defjvp(_joined_jvp, symbolic_zeros=True)


def convolve_doubled(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c d"]
) -> Float[Array, "b hh ww d"]:
    """Cross-correlate an image whose every pixel stands twice along both axes, with one pixel of padding.

    The doubled image is not made: each of the four pixels that one becomes sees only 2x2 different ones, so
    taps that lie on the same pixel are added up first. That is 4/9 of the products, and a quarter of the
    pixels to read. Equal to `convolve(upsample_nearest(x), kernel, padding=(1, 1))` but for rounding.
    """
    (b, h, w, c), d = x.shape, kernel.shape[-1]
    if b * h * w < max(c, d):
        # Then reading the kernel is the work, and adding up taps makes it larger.
        return convolve(upsample_nearest(x), kernel, (1, 1), (1, 1))
    sums = ("ast,euv,tvcd->sucaed", SHARED_TAPS, SHARED_TAPS, precision.widen(kernel))
    taps = jnp.einsum(*sums, precision="highest")  # sums, not products: to be exact on accelerators too
    y = convolve(x, taps.reshape(2, 2, c, 4 * d).astype(kernel.dtype), (1, 1), (1, 1))
    y = y.reshape(b, h + 1, w + 1, 2, 2, d)
    rows = [jnp.stack([y[:, a : a + h, e : e + w, a, e] for e in (0, 1)], 3) for a in (0, 1)]
    return jnp.stack(rows, 2).reshape(b, 2 * h, 2 * w, d)


def upsample_nearest(x: Float[Array, "b h w c"]) -> Float[Array, "b hh ww c"]:
    """Write every pixel twice along both axes."""
    b, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c))
    return x.reshape(b, 2 * h, 2 * w, c)
