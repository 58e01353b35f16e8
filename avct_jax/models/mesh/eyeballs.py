"""Eyes that look aside: the iris goes as one piece, the white beside it gives, the corners stay."""

import jax.numpy as jnp
from jaxtyping import Array, Float

RIM = 1.1  # of an iris' radius: so far from its centre all goes as one piece
LEAST = 0.04  # of the eye's width that is left of the white between an iris and a corner


def look_back(
    places: Float[Array, "b h w 2"],
    eye: tuple[Float[Array, "2 2"], Float[Array, " 3"]] | None,
    gaze: Float[Array, "b 2"],
) -> Float[Array, "b h w 2"]:
    """Return where places of an eye lie in the portrait once its iris has gone `gaze` far.

    Args:
      places: as if the eye had kept still.
      eye: its corners, left and right, and its iris (x, y and radius), in the portrait; None: it keeps still.
      gaze: right and down, in the portrait's unit; less is gone where the iris would pass a corner.
    """
    if eye is None:
        return places
    corners, iris = eye
    axis = corners[1] - corners[0]
    square = jnp.maximum((axis**2).sum(), 1e-9)
    along = lambda x: (x @ axis) / square
    centre, reach = along(iris[:2] - corners[0]), RIM * iris[2] / jnp.sqrt(square)
    low, high = LEAST - (centre - reach), 1 - LEAST - (centre + reach)
    asked = along(gaze)
    gone = jnp.clip(asked, jnp.minimum(low, 0), jnp.maximum(high, 0))
    way = gaze + (gone - asked)[:, None] * axis[None]
    u = along(places - corners[0][None, None, None])
    left = jnp.maximum(centre - reach + gone, LEAST)[:, None, None]
    right = jnp.maximum(1 - (centre + reach + gone), LEAST)[:, None, None]
    share = jnp.clip(jnp.minimum(u / left, (1 - u) / right), 0, 1)
    return places - share[..., None] * way[:, None, None]
