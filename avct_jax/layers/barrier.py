"""Keeps two computations apart that XLA's CPU code would fuse at great cost."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

CHANNELS, PRODUCT = 3, 32  # of an image; columns of the product that keeps its computation apart


def once(values: Float[Array, "*b w"]) -> Float[Array, "*b w"]:
    """The same, computed once: XLA's CPU code would work it out anew for each channel or pixel it is laid on.

    That code fuses nothing across a product, and drops optimization barriers before it fuses.
    """

    def apart(x):
        count = x.shape[-1] if x.shape[-1] > CHANNELS else math.gcd(x.shape[-2] * x.shape[-1], PRODUCT)
        return jnp.matmul(x.reshape(-1, count), jnp.eye(count), precision="highest").reshape(x.shape)

    return jax.lax.platform_dependent(values, cpu=apart, default=lambda x: x)
