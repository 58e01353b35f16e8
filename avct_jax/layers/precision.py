"""What is computed in more bits than a network's own."""

import jax.numpy as jnp
from jaxtyping import Array, Shaped


def widen(x: Shaped[Array, "*n"]) -> Shaped[Array, "*n"]:
    """Bring bfloat16 to float32; float32 stays, and float64, which gradients are checked in."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
