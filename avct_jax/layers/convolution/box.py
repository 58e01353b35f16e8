"""A part of an image that is cut out, changed and put back: fixed in size, free in place."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

EDGE = 0.15  # share of the box over which its window falls


class Box(NamedTuple):
    """A part of the image: top and left row and column, height and width in px."""

    top: Int[Array, ""]
    left: Int[Array, ""]
    height: int
    width: int

    def axes(self, size: int) -> tuple[Float[Array, " h"], Float[Array, " w"]]:
        """Return y of its rows and x of its columns in [-1, 1]."""
        y = (self.top + jnp.arange(self.height)) / (size - 1) * 2 - 1
        x = (self.left + jnp.arange(self.width)) / (size - 1) * 2 - 1
        return y, x

    def places(self, size: int) -> Float[Array, "h w 2"]:
        """Return the places of its pixels in [-1, 1]."""
        y, x = self.axes(size)
        return jnp.stack(jnp.meshgrid(x, y), -1)

    def window(self) -> Float[Array, "h w 1"]:
        """1 in the middle, falling to 0 at the edge."""
        ramp = lambda n: jnp.clip(jnp.minimum(jnp.arange(n), jnp.arange(n)[::-1]) / (EDGE * n), 0, 1)
        return (ramp(self.height)[:, None] * ramp(self.width)[None])[..., None]

    def cut(self, frame: Float[Array, "b h w c"]) -> Float[Array, "b hh ww c"]:
        """Take this part of frames."""
        b, _, _, c = frame.shape
        return jax.lax.dynamic_slice(frame, self._corner(), (b, self.height, self.width, c))

    def paste(
        self, frame: Shaped[Array, "b h w c"], part: Shaped[Array, "b hh ww c"]
    ) -> Shaped[Array, "b h w c"]:
        """Put this part into frames."""
        return jax.lax.dynamic_update_slice(frame, part, self._corner())

    def _corner(self):
        # All of one type, also where somebody has switched 64 bits on.
        return [jnp.asarray(place, jnp.int32) for place in (0, self.top, self.left, 0)]


def box_around(centre: Float[Array, " 2"], height: int, width: int, size: int) -> Box:
    """Return the box of that many pixels whose middle is nearest to a place."""
    pixel = (centre + 1) / 2 * (size - 1)
    start = lambda middle, length: jnp.clip(
        jnp.round(middle - length / 2).astype(jnp.int32), 0, size - length
    )
    return Box(start(pixel[1], height), start(pixel[0], width), height, width)
