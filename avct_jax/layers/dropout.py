"""Dropout whose random bits are cheap: sixteen for a value, not a float drawn from thirty-two."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

LEVELS = 2**16  # of a random draw


class Dropout(nn.Module):
    """Leave out values at random while training, and enlarge the others so that their mean stays.

    Srivastava et al., 2014. Bits cost more than what surrounds them on a CPU: one 32-bit draw of threefry
    serves two values. Random numbers come from the stream "dropout".

    Attributes:
      rate: share of values that are left out, 0 to 1; drawn to the nearest 1 / 65536.
    """

    rate: float

    @nn.compact
    def __call__(self, x: Float[Array, "*shape"], *, train: bool = False) -> Float[Array, "*shape"]:
        """Drop some of x.

        Args:
          x: at least one axis; the last is the one that pairs of values share a draw along.
          train: False returns x.
        """
        kept = round((1 - self.rate) * LEVELS)
        if not train or kept == LEVELS:
            return x
        if kept == 0:
            return jnp.zeros_like(x)
        draws = _bits(self.make_rng("dropout"), x.shape)
        return jnp.where(draws < kept, x * (LEVELS / kept), jnp.zeros_like(x))


def _bits(key, shape):
    """Uniform integers below LEVELS."""
    words = jax.random.bits(key, (*shape[:-1], -(-shape[-1] // 2)), jnp.uint32)
    halves = lax.bitcast_convert_type(words, jnp.uint16)
    return halves.reshape(*shape[:-1], -1)[..., : shape[-1]]
