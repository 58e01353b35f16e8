"""A whole picture in which heads are to speak: brought to a video's size, upright, its faces found."""

import math
import os
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from avct_jax import arguments, errors
from avct_jax.animator import inputs, options
from avct_jax.data.faces import crop
from avct_jax.data.media import image_io
from avct_jax.data.portrait import pictured_face, upright

MOST_PIXELS, MOST_SIDE = 3840 * 2160, 4096  # of a video: what players of H.264 show (level 5.1)
STEP = 64  # px: squares of so many, or a multiple, are drawn pixel by pixel; a compiled program for each
DRAWN = 512  # px, usual most; what is finer comes from the picture
SHARE = crop.FACE_SHARE / 1.2  # of a square that its face takes: room in which hair and shoulders may give


class SeenHead(NamedTuple):
    """One of a picture's faces.

    Attributes:
      number: from 1, from left to right.
      points: px of the picture.
      square: around the head.
    """

    number: int
    points: Float[np.ndarray, "478 3"]
    square: crop.Square


class SeenPicture(NamedTuple):
    """A picture of a video's size, the face upright.

    Attributes:
      heads: those that are to speak.
      others: landmarks of the other faces.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    heads: tuple[SeenHead, ...]
    others: tuple[Float[np.ndarray, "478 3"], ...]


def read(
    image: options.Image,
    landmarker: Any,
    notes: list[str],
    *,
    face: options.Face | None = None,
    size: int | None = None,
) -> SeenPicture:
    """Read a picture and find its faces.

    Args:
      image: a file, a Pillow image, or pixels.
      landmarker: finds faces.
      notes: gets a line for what is worth telling.
      face: who is to speak: one's number, a place in one, px of the image, or "all"; else the largest.
      size: px, at which squares are drawn; where not told they are taken of sides that can be drawn.

    Raises:
      UserError: it cannot be read, or has no such face.
    """
    given = image_io.read_image(image) if arguments.is_path(image) else image_io.from_pixels(image)
    name = repr(os.fspath(image)) if arguments.is_path(image) else "the image"
    pixels = fitted(given)
    scale = pixels.shape[1] / given.shape[1]
    if pixels.shape[0] < given.shape[0] - 1:
        notes.append(f"{name} is {_extent(given)} px: the video is {_extent(pixels)} px")
    listed = pictured_face.find_all(pixels, landmarker)
    picked = None
    if face is not None and face != options.ALL:
        place = face if isinstance(face, int) else (face[0] * scale, face[1] * scale)
        picked = pictured_face.pick(listed, place, name)
    found = upright.find(pixels, landmarker, picked=picked)
    if found is None:
        raise errors.UserError(pictured_face.NONE.format(name))
    if found.turned:
        notes.append(f"the face lay in {name}: the picture is turned by {found.turned} degrees clockwise")
    faces = {one.number: upright.look(pixels, landmarker, found.turned, one) for one in listed}
    points = {number: one.points for number, one in faces.items() if one is not None}
    for number in sorted(faces.keys() - points.keys()):
        notes.append(f"face {number} of {name} is not seen well enough: it keeps still")
    chosen = list(points) if face == options.ALL else [_same(points, found.points)]
    if len(listed) > 1 and face != options.ALL:
        who = "number" if picked else "the largest, number"
        notes.append(f"{len(listed)} faces in {name}: animating {who} {chosen[0]}; face='all' animates all")
    heads = tuple(SeenHead(i, points[i], square_of(points[i], found.pixels.shape, size)) for i in chosen)
    others = tuple(one for number, one in points.items() if number not in chosen)
    return SeenPicture(found.pixels, heads, others)


def fitted(pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "g v 3"]:
    """Bring a picture to what H.264 holds: even sides, and no more pixels than players show."""
    height, width = pixels.shape[:2]
    scale = min(1.0, math.sqrt(MOST_PIXELS / (height * width)), MOST_SIDE / max(height, width))
    if scale == 1:
        return np.ascontiguousarray(pixels[: max(height // 2 * 2, 2), : max(width // 2 * 2, 2)])
    height, width = (max(2, int(x * scale) // 2 * 2) for x in (height, width))
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def square_of(
    points: Float[np.ndarray, "478 3"], shape: tuple[int, ...], size: int | None = None
) -> crop.Square:
    """Return the square around a head, of a side that can be drawn pixel by pixel where there is one."""
    found = crop.face_square(points, shape, share=SHARE)
    if size is not None or not inputs.SIZES[0] - STEP / 2 <= found.size <= DRAWN + STEP / 2:
        return found
    side = round(found.size / STEP) * STEP
    if np.ptp(points[:, :2], axis=0).max() > crop.FACE_SHARE_MOST * side:
        side += STEP
    moved = lambda start, length: crop.inside(start + (found.size - side) // 2, side, length)
    return crop.Square(moved(found.left, shape[1]), moved(found.top, shape[0]), side)


def drawn_size(square: crop.Square, size: int | None = None) -> int:
    """Return the side, px, at which a square is drawn."""
    return size or int(np.clip(round(square.size / STEP) * STEP, inputs.SIZES[0], DRAWN))


def _same(points: dict[int, np.ndarray], found: Float[np.ndarray, "478 3"]) -> int:
    """The number of the face that is nearest to one that was found."""
    middle = found[:, :2].mean(0)
    return min(points, key=lambda i: float(np.hypot(*(points[i][:, :2].mean(0) - middle))))


def _extent(pixels):
    return f"{pixels.shape[1]}x{pixels.shape[0]}"
