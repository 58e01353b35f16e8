"""Sums of each channel over all pixels, and their transpose, by products where XLA's own sums are slow.

XLA for CPUs takes such a sum one channel after the other, and computes what led to its addends anew for each:
in the mouth painter's step up to forty times as long as a product with ones, which reads them once
(docs/benchmarks.md). Gradients of biases are such sums, and so are the moments of an image's channels.
"""

import jax
import jax.numpy as jnp
from jax.extend import core
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float


def total(x: Float[Array, "*b c"], kept: int = 0) -> Float[Array, "*k c"]:
    """Sum over all axes but the last and the first `kept`; of bfloat16 and float32 in float32."""
    first, dtype = x.shape[:kept], jnp.promote_types(x.dtype, jnp.float32)
    each = tuple(range(kept))

    def product(x):
        rows = x.reshape(*first, -1, x.shape[-1])
        ones = jnp.ones((*first, 1, rows.shape[-2]), x.dtype)
        over = (((kept + 1,), (kept,)), (each, each))
        return jax.lax.dot_general(ones, rows, over, preferred_element_type=dtype).reshape(*first, -1)

    plain = lambda x: x.sum(tuple(range(kept, x.ndim - 1)), dtype=dtype)
    return jax.lax.platform_dependent(x, cpu=product, default=plain)


def spread(values: Float[Array, "*k c"], shape: tuple[int, ...]) -> Float[Array, "*b c"]:
    """Give all pixels of `shape` the same values, or each image (k is b) its own; transpose of `total`."""
    return spread_p.bind(values, shape=tuple(shape))


def _broadcast(values, *, shape):
    return jax.lax.broadcast_in_dim(values, shape, (*range(values.ndim - 1), len(shape) - 1))


def _transpose(cotangent, values, *, shape):
    return [total(cotangent, values.aval.ndim - 1).astype(values.aval.dtype)]


def _batch(operands, axes, *, shape):
    values = jnp.moveaxis(operands[0], axes[0], 0)
    shape = (len(values), *shape)
    return jax.lax.broadcast_in_dim(values, shape, (*range(values.ndim - 1), len(shape) - 1)), 0


# A primitive, not a custom_vjp: that would forbid forward mode.
spread_p = core.Primitive("spread_over_pixels")
spread_p.def_impl(jax.jit(lambda values, shape: spread(values, shape), static_argnames="shape"))
spread_p.def_abstract_eval(lambda values, *, shape: values.update(shape=shape))
mlir.register_lowering(spread_p, mlir.lower_fun(_broadcast, multiple_results=False))
ad.deflinear2(spread_p, _transpose)
batching.primitive_batchers[spread_p] = _batch
