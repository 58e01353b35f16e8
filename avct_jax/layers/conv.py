"""2-D convolution, NHWC, with a weight gradient that is fast on CPUs."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


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
    """Convolve, choosing on CPU the gradient that sums shifted matrix products.

    XLA's CPU gradient with respect to the kernel is 7-10 times slower than its forward pass; as
    one matrix product per kernel offset it runs at the forward pass's speed
    (scripts/benchmarks/conv_gradient.py). Forward values are XLA's own either way.
    """
    if jax.default_backend() == "cpu" and strides == (1, 1) and kernel.shape[0] * kernel.shape[1] <= 49:
        return _convolve_cpu(x, kernel, padding)
    return _convolve_xla(x, kernel, strides, padding)


def _convolve_xla(x, kernel, strides, padding):
    pads = [(p, p) for p in padding]
    return jax.lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=DIMENSIONS)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve_cpu(x, kernel, padding):
    return _convolve_xla(x, kernel, (1, 1), padding)


def _convolve_cpu_forward(x, kernel, padding):
    return _convolve_xla(x, kernel, (1, 1), padding), (x, kernel)


def _convolve_cpu_backward(padding, residuals, g):
    x, kernel = residuals
    return _input_gradient(kernel, g, padding), _kernel_gradient(x, kernel, g, padding)


_convolve_cpu.defvjp(_convolve_cpu_forward, _convolve_cpu_backward)


def _input_gradient(kernel, g, padding):
    """Full correlation of the output's gradient with the flipped kernel, cropped to the input."""
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    pads = [(k - 1 - p, k - 1 - p) for k, p in zip(kernel.shape[:2], padding, strict=True)]
    return jax.lax.conv_general_dilated(g, flipped, (1, 1), pads, dimension_numbers=DIMENSIONS)


def _kernel_gradient(x, kernel, g, padding):
    """dK[i, j] = sum over b, y, x of input[y + i, x + j] outer gradient[y, x]."""
    height, width = g.shape[1:3]
    x = jnp.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)))
    flat = g.reshape(-1, g.shape[-1])
    rows = [
        [x[:, i : i + height, j : j + width].reshape(-1, x.shape[-1]).T @ flat for j in range(kernel.shape[1])]
        for i in range(kernel.shape[0])
    ]
    return jnp.stack([jnp.stack(row) for row in rows])
