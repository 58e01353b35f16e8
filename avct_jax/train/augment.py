"""Random turns, shifts, sizes, mirrorings and colours, drawn on the device."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

from avct_jax import motion
from avct_jax.layers import grid


class View(NamedTuple):
    """Which part of a stored picture is seen: z_stored = matrix z_seen + shift, both in [-1, 1]."""

    matrix: Float[Array, "b 2 2"]
    shift: Float[Array, "b 2"]
    mirrored: Float[Array, " b"]


def random_view(
    key: Array, batch: int, *, scale: float = 0.15, shift: float = 0.1, turn: float = 0.1, mirror: float = 0.5
) -> View:
    """Draw views.

    Args:
      scale: largest change of log size. shift: largest shift, [-1, 1] units.
      turn: largest turn, rad. mirror: share of mirrored pictures.
    """
    keys = jax.random.split(key, 4)
    size = jnp.exp(jax.random.uniform(keys[0], (batch,), minval=-scale, maxval=scale))
    angle = jax.random.uniform(keys[1], (batch,), minval=-turn, maxval=turn)
    mirrored = jax.random.bernoulli(keys[2], mirror, (batch,)).astype(jnp.float32)
    cos, sin = size * jnp.cos(angle), size * jnp.sin(angle)
    matrix = jnp.stack([jnp.stack([cos, -sin], -1), jnp.stack([sin, cos], -1)], -2)
    flip = jnp.stack([1 - 2 * mirrored, jnp.ones_like(mirrored)], -1)
    moved = jax.random.uniform(keys[3], (batch, 2), minval=-shift, maxval=shift)
    return View(matrix * flip[:, None, :], moved, mirrored)


def look(frames: UInt8[Array, "b s s 3"], view: View, size: int, *, margin: float) -> Float[Array, "b n n 3"]:
    """Sample `frames` through `view`, RGB in [0, 1].

    Args:
      margin: side of the stored picture over the side of the square that [-1, 1] spans.
    """
    stored = frames.shape[1]
    inner = round(stored / margin)
    places = jnp.asarray(grid.coordinate_grid(size, size))[None]
    places = jnp.einsum("bij,bhwj->bhwi", view.matrix, jnp.broadcast_to(places, (len(frames), size, size, 2)))
    places = (places + view.shift[:, None, None]) * ((inner - 1) / (stored - 1))
    pictures = frames.astype(jnp.float32) / 255
    return grid.grid_sample(pictures, places, align_corners=True, padding_mode="border")


def see_motion(stored: motion.Motion, view: View, mirrored_index: Int[Array, " k"]) -> motion.Motion:
    """The same motion in the picture that `look` makes.

    Args:
      mirrored_index: the keypoint that each becomes in a mirrored picture.
    """
    inverse = motion.invert_2x2(view.matrix)
    keypoints = jnp.einsum("bij,bkj->bki", inverse, stored.keypoints - view.shift[:, None])
    jacobians = inverse[:, None] @ stored.jacobians
    # A mirrored face is the mirrored mean face moved: J F, with left and right keypoints exchanged.
    flipped = jacobians[:, mirrored_index] * jnp.array([-1.0, 1.0]).reshape(1, 1, 1, 2)
    is_mirrored = view.mirrored[:, None, None]
    keypoints = jnp.where(is_mirrored > 0, keypoints[:, mirrored_index], keypoints)
    return motion.Motion(keypoints, jnp.where(is_mirrored[..., None] > 0, flipped, jacobians))


class Colours(NamedTuple):
    """Gains and shifts of colour, one set a clip."""

    brightness: Float[Array, " b"]
    contrast: Float[Array, " b"]
    saturation: Float[Array, " b"]
    tint: Float[Array, "b 3"]


def random_colours(key: Array, batch: int, *, strength: float = 0.1) -> Colours:
    """Draw colour changes of up to `strength` (FOMM: .1)."""
    keys = jax.random.split(key, 4)
    draw = lambda k, shape: jax.random.uniform(k, shape, minval=-strength, maxval=strength)
    return Colours(*(draw(k, (batch,)) for k in keys[:3]), draw(keys[3], (batch, 3)) / 2)


def recolour(pictures: Float[Array, "b h w 3"], colours: Colours) -> Float[Array, "b h w 3"]:
    """Apply colour changes to pictures in [0, 1]."""
    wide = lambda x: x[:, None, None, None]
    grey = pictures.mean(-1, keepdims=True)
    pictures = grey + (pictures - grey) * (1 + wide(colours.saturation))
    mean = pictures.mean((1, 2), keepdims=True)
    pictures = mean + (pictures - mean) * (1 + wide(colours.contrast))
    pictures = pictures * (1 + wide(colours.brightness)) * (1 + colours.tint[:, None, None])
    return jnp.clip(pictures, 0.0, 1.0)
