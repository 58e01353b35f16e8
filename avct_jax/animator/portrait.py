"""The face of a portrait: found in an image, with what is worth telling of it."""

import hashlib
import os
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
from jaxtyping import Float, UInt8

from avct_jax import arguments, errors
from avct_jax.animator import options
from avct_jax.data.faces import crop, face_detector
from avct_jax.data.media import image_io
from avct_jax.data.portrait import pictured_face, upright
from avct_jax.files import atomic_write

TURNED = 30.0  # degrees by which a face may be turned in the image's plane, unremarked
SIZES = (256, 1024)  # px, least and most side of a video of the mesh family
DEFAULT_SIZE = 512  # px, where the portrait is that large
SIZE_STEP = 64  # px; one compiled program for each size
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
    face: pictured_face.Wanted | None = None,
) -> CroppedPortrait:
    """Read an image and find a face in it.

    Args:
      image: a file, a Pillow image, or pixels.
      landmarker: finds faces, see `landmarker`.
      notes: gets a line for what is worth telling.
      least: side of a square, px, below which it is noted that the video will look soft.
      cropped: the image is taken whole.
      find: else no face is looked for.
      face: which of several, by its number or a place in it; the largest where not told.

    Raises:
      UserError: it cannot be read, is cropped and not square, or has no such face.
    """
    pixels, name = _read(image)
    height, width = pixels.shape[:2]
    if cropped and height != width:
        raise errors.UserError(f"{name} is {width}x{height} px; a cropped image must be square")
    whole = crop.Square(0, 0, width)
    if not find:
        return CroppedPortrait(pixels, whole, None)
    picked = None
    if face is not None:
        picked = pictured_face.pick(pictured_face.find_all(pixels, landmarker), face, name)
    found = upright.find(pixels, landmarker, turn=not cropped, picked=picked)
    if found is None:
        raise errors.UserError(pictured_face.NONE.format(name))
    if found.faces > 1:
        which = f"number {picked.number}" if picked else "the largest; face picks another"
        notes.append(f"{found.faces} faces in {name}: animating {which}")
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


class HeadSquare(NamedTuple):
    """A head's square, as the mesh family draws it.

    Attributes:
      pixels: RGB.
      points: landmarks of its face in [-1, 1], z in the same scale.
    """

    pixels: UInt8[np.ndarray, "s s 3"]
    points: Float[np.ndarray, "478 3"]


def read_square(
    image: options.Image,
    landmarker: Any,
    notes: list[str],
    *,
    size: int | None = None,
    cropped: bool = False,
    face: pictured_face.Wanted | None = None,
) -> HeadSquare:
    """Read an image and cut out the head's square; arguments and errors as of `read_portrait`.

    Args:
      size: its side, px; by default that which it has in the image, see `size_for`.
    """
    found = read_portrait(image, landmarker, notes, least=SIZES[0] // 2, cropped=cropped, face=face)
    side = size or size_for(found.square.size)
    cut = crop.crop(found.pixels, found.square, side)
    return HeadSquare(cut, crop.to_unit(found.points, found.square, side))


def size_for(side: int) -> int:
    """Return the side of a video (px) for a head whose square has so many px in the image."""
    return int(np.clip(side // SIZE_STEP * SIZE_STEP, SIZES[0], DEFAULT_SIZE))


def faces(image: options.Image) -> list[pictured_face.PicturedFace]:
    """Find the faces of a picture, from left to right; `face=` of `Animator.animate` and `Stream` picks one.

    Args:
      image: a file, a Pillow image, or pixels (uint8; RGB, RGBA or grey).

    Returns:
      Their numbers, boxes (left, top, right, bottom, px) and the detector's scores (0 to 1); none where it
      shows no face.

    Raises:
      UserError: it cannot be read.
    """
    return pictured_face.find_all(_read(image)[0], landmarker("mediapipe"))


def number_faces(image: options.Path, output: options.Path) -> list[pictured_face.PicturedFace]:
    """Find the faces of a picture, and write it with boxes around them and their numbers.

    Args:
      image: a file.
      output: .png, .jpg or another that Pillow writes.

    Raises:
      UserError: it cannot be read, shows no face, or the other cannot be written.
    """
    pixels, name = _read(image)
    found = pictured_face.find_all(pixels, landmarker("mediapipe"))
    if not found:
        raise errors.UserError(pictured_face.NONE.format(name))
    atomic_write.refuse_overwriting(output, image)
    with atomic_write.writing(output) as path:
        PIL.Image.fromarray(pictured_face.draw(pixels, found)).save(path)
    return found


def check_face(image: options.Image, face: pictured_face.Wanted) -> None:
    """Refuse a picture that lacks a face.

    Raises:
      UserError: so it is, or it cannot be read.
    """
    pixels, name = _read(image)
    pictured_face.pick(pictured_face.find_all(pixels, landmarker("mediapipe")), face, name)


def _read(image: options.Image) -> tuple[UInt8[np.ndarray, "h w 3"], str]:
    """Pixels, and what they are called."""
    if arguments.is_path(image):
        return image_io.read_image(image), repr(os.fspath(image))
    return image_io.from_pixels(image), "the image"


def seed_of(pixels: UInt8[np.ndarray, "s s 3"]) -> int:
    """Return the seed of a portrait that is given none."""
    return int.from_bytes(hashlib.sha256(pixels.tobytes()).digest()[:4], "little")


def landmarker(name: str) -> Any:
    """Return who finds faces: "mediapipe" (built in) or "face-alignment" (an extra)."""
    if name == "mediapipe":
        return face_detector.FaceLandmarker()
    if name != "face-alignment":
        raise errors.UserError(f"landmarks {name!r} are not known; choose mediapipe or face-alignment")
    from avct_jax.data.faces import face_alignment_backend

    return face_alignment_backend.FaceAlignmentLandmarker()
