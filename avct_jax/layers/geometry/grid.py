"""Coordinate grids and bilinear sampling."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def coordinate_grid(height: int, width: int) -> np.ndarray:
    """Return (h, w, 2) float32 x, y in [-1, 1], the centres of the corner pixels at +-1."""
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-1, 1, height, dtype=np.float32)
    return np.stack(np.meshgrid(x, y), axis=-1)


def grid_sample(
    image: Float[Array, "b h w c"],
    grid: Float[Array, "b hh ww 2"],
    *,
    align_corners: bool = False,
    padding_mode: str = "zeros",
) -> Float[Array, "b hh ww c"]:
    """Read `image` at the places of `grid`, bilinearly, as torch.nn.functional.grid_sample does.

    Args:
      grid: x, y. With `align_corners` +-1 are the centres of the corner pixels, without it the
        outer edges of the image: the convention of released FOMM weights, although their
        grids are made by `coordinate_grid` (the mismatch is part of those weights).
      padding_mode: what lies outside: "zeros", "reflection" (at the border that `align_corners`
        defines) or "border" (the nearest pixel).

    Raises:
      ValueError: unknown padding_mode.
    """
    height, width = image.shape[1:3]
    x = _to_pixels(grid[..., 0], width, align_corners)
    y = _to_pixels(grid[..., 1], height, align_corners)
    if padding_mode == "reflection":
        x, y = _reflect(x, width, align_corners), _reflect(y, height, align_corners)
    elif padding_mode == "border":
        x, y = jnp.clip(x, 0, width - 1), jnp.clip(y, 0, height - 1)
    elif padding_mode != "zeros":
        raise ValueError(f"padding_mode {padding_mode!r} is not one of 'zeros', 'reflection', 'border'")
    left, top = jnp.floor(x), jnp.floor(y)
    right_share, bottom_share = x - left, y - top
    corners = (
        (left, top, (1 - right_share) * (1 - bottom_share)),
        (left + 1, top, right_share * (1 - bottom_share)),
        (left, top + 1, (1 - right_share) * bottom_share),
        (left + 1, top + 1, right_share * bottom_share),
    )
    mixed: Any = sum(_gather(image, cx, cy) * weight[..., None] for cx, cy, weight in corners)  # not just 0
    return mixed


def _to_pixels(coordinate, size, align_corners):
    if align_corners:
        return (coordinate + 1) * ((size - 1) / 2)
    return ((coordinate + 1) * size - 1) / 2


def _reflect(x, size, align_corners):
    low, span = (0.0, size - 1) if align_corners else (-0.5, size)
    if span == 0:
        return jnp.zeros_like(x)
    folded = jnp.abs(jnp.mod(jnp.abs(x - low) + span, 2 * span) - span)
    return jnp.clip(low + folded, 0, size - 1)


def _gather(image, x, y):
    """Pixels at integer places, zero outside."""
    batch, height, width, channels = image.shape
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    # Clip as floats: a grid may hold values that overflow an integer.
    column = jnp.clip(x, 0, width - 1).astype(jnp.int32)
    row = jnp.clip(y, 0, height - 1).astype(jnp.int32)
    index = (row * width + column).reshape(batch, -1, 1)
    # Along each image: indices over the whole batch would bring a sharded one to every device.
    # "clip": the default also looks for indices outside, which takes most of the time on CPUs.
    pixels = jnp.take_along_axis(image.reshape(batch, -1, channels), index, axis=1, mode="clip")
    return pixels.reshape(*x.shape, channels) * inside[..., None].astype(image.dtype)
