"""The face of a portrait: found in an image, with what is worth telling of it."""

import os
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from avct_jax import arguments, errors
from avct_jax.animator import options
from avct_jax.data.faces import crop, face_detector
from avct_jax.data.media import image_io
from avct_jax.data.portrait import upright

TURNED = 30.0  # degrees by which a face may be turned in the image's plane, unremarked
CUT = 0.02  # of the face's size beyond the image's edge; whole faces keep away from it by 0.06 and more


class CroppedPortrait(NamedTuple):
    """An image, upright, and where the head is in it.

    Attributes:
      pixels: RGB.
      square: around the head.
      points: of its face, px; None: not looked for.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    square: crop.Square
    points: Any


def read_portrait(
    image: options.Image,
    landmarker: Any,
    notes: list[str],
    *,
    least: int,
    cropped: bool = False,
    find: bool = True,
) -> CroppedPortrait:
    """Read an image and find its largest face.

    Args:
      image: a file, a Pillow image, or pixels.
      landmarker: finds faces, see `landmarker`.
      notes: gets a line for what is worth telling.
      least: side of a square, px, below which it is noted that the video will look soft.
      cropped: the image is taken whole.
      find: else no face is looked for.

    Raises:
      UserError: it cannot be read, is cropped and not square, or has no face.
    """
    is_file = arguments.is_path(image)
    pixels = image_io.read_image(image) if is_file else image_io.from_pixels(image)
    name = repr(os.fspath(image)) if is_file else "the image"
    height, width = pixels.shape[:2]
    if cropped and height != width:
        raise errors.UserError(f"{name} is {width}x{height} px; a cropped image must be square")
    whole = crop.Square(0, 0, width)
    if not find:
        return CroppedPortrait(pixels, whole, None)
    found = upright.find(pixels, landmarker, turn=not cropped)
    if found is None:
        raise errors.UserError(f"no face was found in {name}; use a portrait seen from the front")
    if found.faces > 1:
        notes.append(f"{found.faces} faces in {name}: animating the largest")
    if found.turned:
        notes.append(f"the face lay in {name}: the image is turned by {found.turned} degrees clockwise")
    if abs(turned := upright.roll(found.points)) > TURNED:
        notes.append(f"the face is turned by {turned:.0f} degrees; an image that is upright gives more")
    if upright.beyond_edge(found.points, found.pixels.shape) > CUT:
        notes.append("the face is cut off by the image's edge, and drawn from what is there; show it whole")
    square = whole if cropped else crop.face_square(found.points, found.pixels.shape)
    if square.size < least:
        notes.append(f"the face is small ({square.size} px with its surroundings): the video will look soft")
    return CroppedPortrait(found.pixels, square, found.points)


def landmarker(name: str) -> Any:
    """Return who finds faces: "mediapipe" (built in) or "face-alignment" (an extra)."""
    if name == "mediapipe":
        return face_detector.FaceLandmarker()
    if name != "face-alignment":
        raise errors.UserError(f"landmarks {name!r} are not known; choose mediapipe or face-alignment")
    from avct_jax.data.faces import face_alignment_backend

    return face_alignment_backend.FaceAlignmentLandmarker()
