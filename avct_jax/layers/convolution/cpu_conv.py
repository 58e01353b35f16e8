"""A convolution of stride 1 that knows what is slow on CPUs, where XLA's own code is.

Its kernel's gradient is a matrix product (XLA's takes two to fifteen times as long), and so are all three
directions where there are fewer pixels than channels (XLA's: up to sixty times as long; docs/benchmarks.md).
On other platforms it is XLA's own convolution throughout.

It is a primitive, not a custom_vjp: a convolution is bilinear, so JAX derives forward mode, reverse mode and
any order of both from the two transposes below.
"""

import functools

import jax
import jax.numpy as jnp
from jax.extend import core
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
PIXELS = (((0,), (0,)), ((), ()))  # a product's sum goes over the first axis of both factors
# float32 values of shifted pixels (4 MB) that one matrix product takes: they stay in the cache.
STRIP = 1 << 20


def convolve(
    x: Float[Array, "b h w c"], kernel: Float[Array, "kh kw c d"], padding: tuple[int, int]
) -> Float[Array, "b hh ww d"]:
    """Cross-correlate, zeros outside."""
    return convolution_p.bind(x, kernel, padding=padding)


def covers(kernel_size: tuple[int, int], strides: tuple[int, int], padding: tuple[int, int]) -> bool:
    """Is this a convolution that `convolve` computes, and a gradient worth it?"""
    small = all(0 <= p < k for k, p in zip(kernel_size, padding, strict=True))
    return small and tuple(strides) == (1, 1) and tuple(kernel_size) != (1, 1)


def kernel_gradient(
    x: Float[Array, "b h w c"],
    gradient: Float[Array, "b hh ww d"],
    kernel_size: tuple[int, int],
    padding: tuple[int, int],
) -> Float[Array, "kh kw c d"]:
    """Transpose of `convolve` in its kernel: x, moved by each tap, times the result's gradient, summed.

    Of the two, that one goes sideways by which fewer values are copied; x where it is the same, for what goes
    up and down is padded, and x is often the wider one, or joined of several.
    """
    (kh, kw), c, d = kernel_size, x.shape[-1], gradient.shape[-1]
    if kw * c + kh * d <= kw * d + kh * c:
        return _correlate(x, gradient, kernel_size, padding)
    other = (kh - 1 - padding[0], kw - 1 - padding[1])
    return _correlate(gradient, x, kernel_size, other)[::-1, ::-1].transpose(0, 1, 3, 2)


def _correlate(moved, fixed, kernel_size, padding):
    """Products of `moved`, shifted by each tap, with `fixed`: (kh, kw, channels, channels).

    A tap's shift is shared: `moved` goes sideways, `fixed` up and down, and one product of all places of both
    has every tap in it. That copies kw c + kh d values a pixel; moving one of them alone would copy kh kw c.
    """
    (kh, kw), (b, h, w, d), c = kernel_size, fixed.shape, moved.shape[-1]
    # Where `moved` is padded by rows of zeros its products are zeros: only its own rows count.
    height, width = moved.shape[1:3]
    above = kh - 1 - padding[0]
    fixed = jnp.pad(fixed, ((0, 0), (above, height + padding[0] - h), (0, 0), (0, 0)))
    rows = _strip_rows(height, b * w * (kw * c + kh * d))
    sideways = [(j, max(0, padding[1] - j), min(w, width + padding[1] - j)) for j in range(kw)]

    # A loop, so that the copies of one strip are there at a time, in the cache. Over rows: the batch may be
    # sharded. Copies are written into their places, for where they are joined XLA chooses every value anew.
    def add(carried, first):
        total, left, right = carried
        for j, begin, end in sideways:  # what is outside of `moved` stays zero
            if begin < end:
                start = (0, first, begin + j - padding[1], 0)
                part = jax.lax.dynamic_slice(moved, start, (b, rows, end - begin, c))
                left = jax.lax.dynamic_update_slice(left, part, (0, 0, begin, j * c))
        for i in range(kh):
            part = jax.lax.dynamic_slice(fixed, (0, first + i, 0, 0), (b, rows, w, d))
            right = jax.lax.dynamic_update_slice(right, part, (0, 0, 0, i * d))
        factors = (left.reshape(-1, kw * c), right.reshape(-1, kh * d))
        found = jax.lax.dot_general(*factors, PIXELS, preferred_element_type=total.dtype)
        return (total + found, left, right), None

    total = jnp.zeros((kw * c, kh * d), jnp.promote_types(fixed.dtype, jnp.float32))
    strips = (jnp.zeros((b, rows, w, n), fixed.dtype) for n in (kw * c, kh * d))
    (total, *_), _ = jax.lax.scan(add, (total, *strips), jnp.arange(0, height, rows))
    # Row q of `moved` meets row q - i + padding of `fixed`: the last shift is the first tap.
    total = total.reshape(kw, c, kh, d)[:, :, ::-1]
    return total.transpose(2, 0, 1, 3).astype(fixed.dtype)


def _strip_rows(h: int, values: int) -> int:
    """The most rows of `values` values each that divide h and stay within STRIP; at least one."""
    most = min(h, max(1, STRIP // values))
    return next(rows for rows in range(most, 0, -1) if h % rows == 0)


def _xla(x, kernel, *, padding):
    pads = [(p, p) for p in padding]
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=DIMENSIONS)


def _on_cpu(x, kernel, *, padding):
    (kh, kw, c, d), (b, h, w) = kernel.shape, _result_shape(x.shape, kernel.shape, padding)
    if b * h * w >= max(c, d):
        # XLA is two to six times as fast where there is any padding, and where channels come in fours.
        pads = [(padding[0], padding[0]), (padding[1], padding[1] + (padding == (0, 0)))]
        if c > 4 and c % 4:
            x = jnp.pad(x, ((0, 0),) * 3 + ((0, -c % 4),))
            kernel = jnp.pad(kernel, ((0, 0),) * 2 + ((0, -c % 4), (0, 0)))
        y = jax.lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=DIMENSIONS)
        return y[:, :, :w]
    # With the kernel as it lies; XLA would first lay it out anew, which takes longer than the work itself.
    padded = jnp.pad(x, ((0, 0), (padding[0], padding[0]), (padding[1], padding[1]), (0, 0)))
    taps = [padded[:, i : i + h, j : j + w] for i in range(kh) for j in range(kw)]
    return (jnp.concatenate(taps, -1).reshape(-1, kh * kw * c) @ kernel.reshape(-1, d)).reshape(b, h, w, d)


def _result_shape(x, kernel, padding):
    return (x[0], x[1] + 2 * padding[0] - kernel[0] + 1, x[2] + 2 * padding[1] - kernel[1] + 1)


def _abstract(x, kernel, *, padding):
    return x.update(shape=(*_result_shape(x.shape, kernel.shape, padding), kernel.shape[3]))


def _transpose_in_x(gradient, x, kernel, *, padding):
    kh, kw, c, d = kernel.shape
    b, h, w = gradient.shape[:3]

    def flipped(gradient, kernel):
        other = (kh - 1 - padding[0], kw - 1 - padding[1])
        return convolve(gradient, kernel[::-1, ::-1].transpose(0, 1, 3, 2), other)

    def products(gradient, kernel):
        taps = (gradient.reshape(-1, d) @ kernel.reshape(-1, d).T).reshape(b, h, w, kh, kw, c)
        pads = lambda i, j: ((0, 0), (i, kh - 1 - i), (j, kw - 1 - j), (0, 0))
        places = [(i, j) for i in range(kh) for j in range(kw)]
        padded = functools.reduce(jnp.add, (jnp.pad(taps[:, :, :, i, j], pads(i, j)) for i, j in places))
        return padded[:, padding[0] :, padding[1] :][:, : x.aval.shape[1], : x.aval.shape[2]]

    if b * h * w >= max(c, d):
        return flipped(gradient, kernel)
    return jax.lax.platform_dependent(gradient, kernel, cpu=products, default=flipped)


def _transpose_in_kernel(gradient, x, kernel, *, padding):
    size = kernel.aval.shape[:2]

    def products(x, gradient):
        return kernel_gradient(x, gradient, size, padding)

    def xla(x, gradient):
        return jax.linear_transpose(lambda k: _xla(x, k, padding=padding), kernel.aval)(gradient)[0]

    return jax.lax.platform_dependent(x, gradient, cpu=products, default=xla)


def _batch(operands, axes, *, padding):
    x, kernel = operands
    if axes[1] is not None:
        return jax.vmap(lambda x, k: _xla(x, k, padding=padding), in_axes=axes)(x, kernel), 0
    x = jnp.moveaxis(x, axes[0], 0)
    y = convolve(x.reshape(-1, *x.shape[2:]), kernel, padding)
    return y.reshape(*x.shape[:2], *y.shape[1:]), 0


convolution_p = core.Primitive("convolution_by_products")
convolution_p.def_impl(
    jax.jit(lambda x, kernel, padding: convolve(x, kernel, padding), static_argnames="padding")
)
convolution_p.def_abstract_eval(_abstract)
mlir.register_lowering(convolution_p, mlir.lower_fun(_xla, multiple_results=False))
mlir.register_lowering(convolution_p, mlir.lower_fun(_on_cpu, multiple_results=False), platform="cpu")
ad.defbilinear(convolution_p, _transpose_in_x, _transpose_in_kernel)
batching.primitive_batchers[convolution_p] = _batch
