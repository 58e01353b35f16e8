"""Mouths cut from images; gradients pass through.

D_sync sees them by boxes, five frames in a window; a perceptual loss by a square about the lips.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avct_jax.layers.geometry import grid
from avct_jax.models import sync_discriminator

HEIGHT, WIDTH = 48, 96  # px, the lower half of Wav2Lip's 96 x 96 faces


def crop(frames: Float[Array, "b s s 3"], boxes: Float[Any, "b 4"]) -> Float[Array, "b 48 96 3"]:
    """Cut out and resize the lower halves of faces, bilinearly.

    Args:
      boxes: left, top, right, bottom, px of `frames`, the edges of what is seen; beyond the image its
        border is repeated.
    """
    left, top, right, bottom = jnp.split(jnp.asarray(boxes), 4, axis=-1)
    across = (np.arange(WIDTH, dtype=np.float32)[None] + 0.5) / WIDTH
    down = (np.arange(HEIGHT, dtype=np.float32)[None] + 0.5) / HEIGHT
    x, y = left + across * (right - left), top + down * (bottom - top)
    shape = (len(frames), HEIGHT, WIDTH)
    places = jnp.stack([jnp.broadcast_to(x[:, None], shape), jnp.broadcast_to(y[..., None], shape)], -1)
    return grid.grid_sample(frames, places * (2 / frames.shape[1]) - 1, padding_mode="border")


def square(
    images: Float[Array, "b s s c"], places: Float[Array, "b 2"], side: float
) -> Float[Array, "b n n c"]:
    """Cut a square about each place, as fine as the image: n = s side / 2 px, rounded.

    Args:
      places: x, y in [-1, 1].
      side: in the same units; beyond the image its border is repeated.
    """
    n = round(images.shape[1] * side / 2)
    grids = places[:, None, None] + jnp.asarray(grid.coordinate_grid(n, n))[None] * (side / 2)
    return grid.grid_sample(images, grids, align_corners=True, padding_mode="border")


def stack(mouths: Float[Array, "b 5 48 96 3"]) -> Float[Array, "b 48 96 15"]:
    """Lay the five frames of a window in channels: BGR, first frame first (Wav2Lip)."""
    b, t, h, w, c = mouths.shape
    return mouths[..., ::-1].transpose(0, 2, 3, 1, 4).reshape(b, h, w, t * c)


def windows(mouths: Float[Array, "b t 48 96 3"]) -> Float[Array, "m 48 96 15"]:
    """Every window of five successive frames, laid end to end: m = b (t - 4), the windows of example 0 first.

    Raises:
      ValueError: fewer than five frames.
    """
    b, t = mouths.shape[:2]
    n = t - sync_discriminator.FRAMES + 1
    if n < 1:
        raise ValueError(f"{t} frames hold no window of {sync_discriminator.FRAMES}; give more")
    five = jnp.stack([mouths[:, i : i + n] for i in range(sync_discriminator.FRAMES)], 2)
    return stack(five.reshape(b * n, *five.shape[2:]))
