"""Face Landmarker v2 on whole batches of frames: crop, network and the way back as one jitted function.

What face_detector.py does with one frame at a time on a CPU, for accelerators. Frames of a clip follow each
other, but clips do not: take frame t of many clips at once, each at `regions_of_points` of its points at
t - 1.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from avct_jax.layers.geometry import grid
from avct_jax.models.frozen import face_landmarker

OUTER_EYE_CORNERS = (33, 263)
REGION_SCALE = 1.5  # side of the region over the longer side of the points' box, MediaPipe


class Tracked(NamedTuple):
    """
    Attributes:
      points: x right, y down, px of the frames; z away from the viewer, same scale.
      presence: 0 to 1.
    """

    points: Float[Array, "b 478 3"]
    presence: Float[Array, "b"]


@functools.partial(jax.jit, static_argnames="supersampling")
def track_regions(
    variables: Any,
    images: Num[Array, "b h w 3"],
    regions: Float[Array, "b 4"],
    *,
    supersampling: int = 1,
) -> Tracked:
    """Find the points of one face in each image, within a turned square of it.

    Args:
      variables: `face_landmarker.read_variables("landmarks")`.
      images: RGB in [0, 255].
      regions: centre x, y and side, px; angle, rad, clockwise as seen: `face.Region` as an array.
      supersampling: see `crop`; the least whole number above the largest side / 512 px is enough.
    """
    patches = crop(images, regions, face_landmarker.LANDMARK_SIZE, supersampling=supersampling) / 255
    mesh = face_landmarker.NETWORKS["landmarks"].apply(variables, patches)
    return Tracked(to_image(mesh.points, regions), jax.nn.sigmoid(mesh.presence))


def crop(
    images: Num[Array, "b h w 3"], regions: Float[Array, "b 4"], size: int, *, supersampling: int = 1
) -> Float[Array, "b s s 3"]:
    """Read turned squares of images as `size` x `size` px, bilinearly; outside lies the nearest pixel.

    Args:
      supersampling: each pixel is the mean of the square of so many samples: against aliasing where a square
        is more than twice `size`.
    """
    n = size * supersampling
    steps = (jnp.arange(n, dtype=jnp.float32) + 0.5) / n - 0.5  # of the square's side, pixel centres
    u, v = jnp.meshgrid(steps, steps)
    x, y = _turn(u[None], v[None], regions[:, None, None])
    height, width = images.shape[1:3]
    places = jnp.stack([2 * x / width - 1, 2 * y / height - 1], -1)
    sampled = grid.grid_sample(images.astype(jnp.float32), places, padding_mode="border")
    if supersampling == 1:
        return sampled
    return sampled.reshape(len(images), size, supersampling, size, supersampling, 3).mean((2, 4))


def to_image(points: Float[Array, "b n 3"], regions: Float[Array, "b 4"]) -> Float[Array, "b n 3"]:
    """Move points from px of the landmark network's image to px of the whole one."""
    points = points / face_landmarker.LANDMARK_SIZE
    x, y = _turn(points[..., 0] - 0.5, points[..., 1] - 0.5, regions[:, None])
    return jnp.stack([x, y, points[..., 2] * regions[:, None, 2]], -1)


def regions_of_points(points: Float[Array, "b n 3"]) -> Float[Array, "b 4"]:
    """Return the regions in which to look for the faces again, from their points, as face_detector.py."""
    left, right = OUTER_EYE_CORNERS
    across = points[:, right] - points[:, left]
    angle = jnp.arctan2(across[:, 1], across[:, 0])
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    x, y = points[..., 0], points[..., 1]
    upright = jnp.stack([cos[:, None] * x + sin[:, None] * y, cos[:, None] * y - sin[:, None] * x], -1)
    low, high = upright.min(1), upright.max(1)
    middle = (low + high) / 2
    side = jnp.maximum(REGION_SCALE * (high - low).max(-1), 1.0)
    x, y = cos * middle[:, 0] - sin * middle[:, 1], sin * middle[:, 0] + cos * middle[:, 1]
    return jnp.stack([x, y, side, angle], -1)


def _turn(u, v, regions):
    """Places in shares of the regions' sides, from their centres, to px of the image."""
    x, y, side, angle = jnp.moveaxis(regions, -1, 0)
    cos, sin = jnp.cos(angle) * side, jnp.sin(angle) * side
    return cos * u - sin * v + x, sin * u + cos * v + y
