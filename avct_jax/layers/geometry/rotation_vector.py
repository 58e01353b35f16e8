"""Rotation vectors: the axis of a turn times its angle, rad."""

import jax.numpy as jnp
from jaxtyping import Array, Float

TINY = 1e-12  # keeps gradients finite where nothing turns


def compose(first: Float[Array, "*b 3"], then: Float[Array, "*#b 3"]) -> Float[Array, "*b 3"]:
    """Turn by `first`, then by `then`, both about fixed axes: their unit quaternions' product.

    Returns:
      The rotation vector of both, of an angle of 0 to pi.
    """
    (w, v), (c, u) = _quaternion(first), _quaternion(then)
    real = c * w - (u * v).sum(-1, keepdims=True)
    u, v = jnp.broadcast_arrays(u, v)
    imaginary = c * v + w * u + jnp.cross(u, v)
    sign = jnp.where(real < 0, -1.0, 1.0)  # q and -q are one rotation
    real, imaginary = sign * real, sign * imaginary
    size = jnp.sqrt(jnp.square(imaginary).sum(-1, keepdims=True) + TINY)
    return imaginary * (2 * jnp.arctan2(size, real) / size)


def _quaternion(vector):
    angle = jnp.sqrt(jnp.square(vector).sum(-1, keepdims=True) + TINY)
    return jnp.cos(angle / 2), jnp.sin(angle / 2) * vector / angle
