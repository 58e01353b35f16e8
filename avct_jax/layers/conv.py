"""2-D convolution, NHWC."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from avct_jax.layers import cpu_conv

DIMENSIONS = cpu_conv.DIMENSIONS


class Conv(nn.Module):
    """Cross-correlation with zero padding, as torch.nn.Conv2d computes it.

    Parameters are `kernel` (h, w, in, out) and `bias` (out,).

    Attributes:
      features: number of output channels.
      kernel_size: height and width of the kernel, pixels.
      padding: zeros added on each side, per axis: `p` or `(p_h, p_w)`.
    """

    features: int
    kernel_size: Sequence[int] = (3, 3)
    strides: Sequence[int] = (1, 1)
    padding: int | Sequence[int] = 0
    use_bias: bool = True
    kernel_init: Callable[..., Any] = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
    bias_init: Callable[..., Any] = nn.initializers.zeros_init()
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b hh ww d"]:
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", self.bias_init, (self.features,)) if self.use_bias else None
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        pad = (self.padding, self.padding) if isinstance(self.padding, int) else tuple(self.padding)
        y = convolve(x, kernel, tuple(self.strides), pad)
        return y if bias is None else y + bias.reshape(1, 1, 1, -1)


def convolve(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "kh kw c d"],
    strides: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
) -> Float[Array, "b hh ww d"]:
    """Cross-correlate, zeros outside.

    With stride 1 the kernel's gradient is computed in another way on CPUs (layers/cpu_conv.py).
    """
    size = (kernel.shape[0], kernel.shape[1])
    if cpu_conv.covers(size, strides, padding):
        return cpu_conv.convolve(x, kernel, padding)
    pads = [(p, p) for p in padding]
    return jax.lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=DIMENSIONS)
