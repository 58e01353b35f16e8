"""What a contact sheet shows beside plain images: keypoints, maps and the motion field."""

import colorsys

import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax.layers.geometry import grid
from avct_jax.models import renderer

DOT = 0.035  # radius of a keypoint's dot, [-1, 1] units


def keypoints(
    images: Float[Array, "b h w 3"], places: Float[Array, "b k 2"], *, radius: float = DOT
) -> Float[Array, "b h w 3"]:
    """Draw a dot of its own hue on each keypoint; of two in one place the nearer shows."""
    h, w = images.shape[1:3]
    k = places.shape[1]
    hues = jnp.array([colorsys.hsv_to_rgb(i / k, 1.0, 1.0) for i in range(k)])
    pixels = jnp.asarray(grid.coordinate_grid(h, w))[None, :, :, None]
    distance = jnp.sqrt(jnp.square(pixels - places[:, None, None]).sum(-1))
    nearest = jnp.take(hues, distance.argmin(-1), axis=0)
    # One pixel of slope, so that dots are round in small images too.
    share = jnp.clip((radius - distance.min(-1)) * (w / 2) + 0.5, 0.0, 1.0)[..., None]
    return images + share * (nearest - images)


def moved(images: Float[Array, "b h w 3"], deformation: Float[Array, "b hh ww 2"]) -> Float[Array, "b h w 3"]:
    """Show images moved by a deformation of any resolution, their borders repeated."""
    h, w = images.shape[1:3]
    rest = jnp.asarray(grid.coordinate_grid(*deformation.shape[1:3]))[None]
    shift = renderer.resize_bilinear(deformation - rest, h, w)
    places = shift + jnp.asarray(grid.coordinate_grid(h, w))[None]
    return grid.grid_sample(images, places, align_corners=True, padding_mode="border")


def grey(share: Float[Array, "b h w 1"], size: int) -> Float[Array, "b s s 3"]:
    """Show a map of shares in [0, 1] as grey images."""
    large = renderer.resize_bilinear(share, size, size)
    return jnp.broadcast_to(large, (*large.shape[:3], 3))
