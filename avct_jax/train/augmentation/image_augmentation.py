"""Turns, shifts, sizes, mirrorings and colours that a batch asks for, applied on the device.

What varies is drawn by the data source, as numbers (batch_types.py Variation): results do not hang on how
many devices apply it.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from avct_jax import motion
from avct_jax.data.dataset import batch_types
from avct_jax.data.faces import landmark_motion
from avct_jax.layers.geometry import grid

MIRRORED = landmark_motion.MIRRORED
GREY = (0.299, 0.587, 0.114)  # ITU-R 601, as torchvision's and PIL's grey images


def look(
    frames: UInt8[Any, "b s s 3"], variation: batch_types.Variation, size: int
) -> Float[Array, "b n n 3"]:
    """Show images through their view, mirrored and recoloured as asked: RGB in [0, 1].

    What lies outside an image repeats its border. Where nothing varies the image itself is shown, resized.

    Args:
      size: side of the result, px.
    """
    wide = jnp.promote_types(variation.view.dtype, jnp.float32)  # 64 bits where the batch has them
    images = resize(jnp.asarray(frames).astype(wide) / 255, size)
    seen = jax.lax.cond(
        (jnp.asarray(variation.view) != 0).any(), _from_view, lambda x, _: x, images, variation
    )
    seen = jax.lax.cond(jnp.asarray(variation.mirrored).any(), _mirror, lambda x, _: x, seen, variation)
    colours = jnp.asarray(variation.colours)
    return jax.lax.cond((colours != 0).any(), recolour, lambda x, _: x, seen, colours)


def see_motion(
    stored: motion.Motion | batch_types.FaceMotion,
    variation: batch_types.Variation,
    mirrored_index: Any = MIRRORED,
) -> motion.Motion:
    """The same motion in the image that `look` makes.

    Args:
      stored: (b, ..., k): any number of frames an example.
      mirrored_index: the keypoint that each becomes in a mirrored image.
    """
    matrix, shift = _view(variation)
    wide = lambda x, rank: jnp.asarray(x).reshape(len(x), *(1,) * (rank - jnp.ndim(x)), *jnp.shape(x)[1:])
    index = jnp.asarray(mirrored_index)
    keypoints, jacobians = jnp.asarray(stored.keypoints), jnp.asarray(stored.jacobians)
    inverse = motion.invert_2x2(matrix)
    moved = keypoints - wide(shift, keypoints.ndim)
    keypoints = (wide(inverse, keypoints.ndim + 1) @ moved[..., None])[..., 0]
    jacobians = wide(inverse, jacobians.ndim) @ jacobians
    # A mirrored face is the mirrored mean face moved, F J F, with left and right keypoints exchanged.
    flip = jnp.array([-1.0, 1.0])
    over = lambda x, rank: x.reshape((1,) * (rank - x.ndim) + x.shape)
    turned = keypoints[..., index, :] * over(flip, keypoints.ndim)
    flipped = jacobians[..., index, :, :] * over(flip[:, None] * flip[None], jacobians.ndim)
    is_mirrored = jnp.asarray(variation.mirrored)
    return motion.Motion(
        jnp.where(wide(is_mirrored, keypoints.ndim), turned, keypoints),
        jnp.where(wide(is_mirrored, jacobians.ndim), flipped, jacobians),
    )


def see_boxes(
    boxes: Float[Any, "b 4"], variation: batch_types.Variation, from_size: int, to_size: int
) -> Float[Array, "b 4"]:
    """Boxes (left, top, right, bottom, px) of a stored image in the image that `look` makes of it.

    The middle moves with the image and the sides grow with it; a turn leaves them level.

    Args:
      from_size: side of the stored image, px.
      to_size: of the one that `look` makes.
    """
    matrix, shift = _view(variation)
    places = jnp.asarray(boxes).reshape(-1, 2, 2) * (2 / from_size) - 1
    middle = jnp.einsum("bij,bj->bi", motion.invert_2x2(matrix), places.mean(1) - shift)
    flip = jnp.stack([jnp.where(jnp.asarray(variation.mirrored), -1.0, 1.0), jnp.ones(len(middle))], -1)
    half = (places[:, 1] - places[:, 0]) / 2 * jnp.exp(-jnp.asarray(variation.view)[:, :1])
    corners = jnp.concatenate([middle * flip - half, middle * flip + half], -1)
    return (corners + 1) * (to_size / 2)


def recolour(images: Float[Array, "b h w 3"], colours: Float[Any, "b 4"]) -> Float[Array, "b h w 3"]:
    """Change brightness, contrast, saturation and hue of images in [0, 1], as FOMM's ColorJitter.

    Its order is random; here it is always that of the fields.

    Args:
      colours: changes of the three factors from 1, and of the hue in turns of the colour circle.
    """
    colours = jnp.asarray(colours)[:, None, None]
    brightness, contrast, saturation, hue = jnp.split(colours, 4, axis=-1)
    changed = jnp.clip(images * (1 + brightness), 0.0, 1.0)
    mean = _grey(changed).mean((1, 2), keepdims=True)
    changed = jnp.clip(mean + (changed - mean) * (1 + contrast), 0.0, 1.0)
    grey = _grey(changed)
    changed = jnp.clip(grey + (changed - grey) * (1 + saturation), 0.0, 1.0)
    # No change is no change, not even by rounding.
    return jnp.where((colours == 0).all(-1, keepdims=True), images, _turn_hue(changed, hue))


def resize(images: Float[Array, "b s s 3"], size: int) -> Float[Array, "b n n 3"]:
    """Resize square images: by means of whole pixels where their number divides, else bilinearly."""
    b, stored = images.shape[:2]
    if stored % size == 0:
        n = stored // size
        return images.reshape(b, size, n, size, n, 3).mean((2, 4)) if n > 1 else images
    return jax.image.resize(images, (b, size, size, 3), "bilinear")


def repeat(tree: Any, n: int) -> Any:
    """Say everything of each example n times: for its n frames, laid end to end along the batch."""
    return jax.tree.map(lambda x: jnp.repeat(jnp.asarray(x), n, axis=0), tree)


def _from_view(images, variation):
    matrix, shift = _view(variation)
    places = jnp.asarray(grid.coordinate_grid(*images.shape[1:3]))
    places = jnp.einsum("bij,hwj->bhwi", matrix, places) + shift[:, None, None]
    viewed = grid.grid_sample(images, places, align_corners=True, padding_mode="border")
    # Sampling at rest is exact but for rounding: what is not turned is to be untouched.
    rests = (jnp.asarray(variation.view) == 0).all(-1)
    return jnp.where(rests[:, None, None, None], images, viewed)


def _mirror(images, variation):
    return jnp.where(jnp.asarray(variation.mirrored)[:, None, None, None], images[:, :, ::-1], images)


def _view(variation):
    """Which part of a stored image is seen: z_stored = matrix z_seen + shift, both in [-1, 1]."""
    view = jnp.asarray(variation.view)
    size, angle = jnp.exp(view[:, 0]), view[:, 1]
    cos, sin = size * jnp.cos(angle), size * jnp.sin(angle)
    matrix = jnp.stack([jnp.stack([cos, -sin], -1), jnp.stack([sin, cos], -1)], -2)
    return matrix, view[:, 2:]


def _grey(images):
    return (images * jnp.array(GREY).reshape(1, 1, 1, 3)).sum(-1, keepdims=True)


def _turn_hue(images, turn):
    """Through hue, saturation and value, and back."""
    value, low = images.max(-1, keepdims=True), images.min(-1, keepdims=True)
    chroma = value - low
    r, g, b = jnp.split(images, 3, axis=-1)
    by = lambda x: x / jnp.where(chroma == 0, 1.0, chroma)
    hue = jnp.where(value == r, by(g - b), jnp.where(value == g, 2 + by(b - r), 4 + by(r - g)))
    hue = hue + 6 * turn
    k = jnp.array([5.0, 3.0, 1.0]).reshape(1, 1, 1, 3) + hue
    k = k - 6 * jnp.floor(k / 6)  # the remainder; XLA's own is one call a value on CPUs
    return value - chroma * jnp.clip(jnp.minimum(k, 4 - k), 0.0, 1.0)
