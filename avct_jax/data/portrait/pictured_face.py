"""The faces of a picture: listed from left to right, drawn with their numbers, and picked."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from avct_jax import errors

QUARTERS = (0, 90, 180, 270)  # degrees, clockwise
THICK = 0.004  # of the image's longer side: lines around a drawn face
LIGHT, DARK = (255, 225, 0), (0, 0, 0)  # RGB, of what is drawn
NONE = "no face was found in {}; use a portrait of a whole face, seen from the front"
Box = tuple[float, float, float, float]
Wanted = int | tuple[float, float]  # a number from 1, or a place in a face, px


class PicturedFace(NamedTuple):
    """One face of a picture.

    Attributes:
      number: from 1, from left to right.
      box: left, top, right, bottom, px of the picture.
      score: the detector's, 0 to 1.
      largest: whether it speaks where nobody picks.
    """

    number: int
    box: Box
    score: float
    largest: bool = False

    @property
    def centre(self) -> tuple[float, float]:
        """Its middle, px: x right, y down."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    @property
    def size(self) -> float:
        """The longer side of the box, px."""
        left, top, right, bottom = self.box
        return max(right - left, bottom - top)

    def __str__(self) -> str:
        left, top, right, bottom = (round(x) for x in self.box)
        most = ", the largest" if self.largest else ""
        return (
            f"face {self.number}: x {left} to {right}, y {top} to {bottom} px, score {self.score:.2f}{most}"
        )


def find_all(pixels: UInt8[np.ndarray, "h w 3"], landmarker: Any) -> list[PicturedFace]:
    """Find the faces of a picture; where there are none, of the picture turned by quarters.

    Args:
      landmarker: such as face_detector.FaceLandmarker.
    """
    for degrees in QUARTERS:
        turned = turn(pixels, degrees)
        if found := landmarker.detect(turned):
            boxes = [turn_box(_plain(face.box), turned.shape, -degrees) for face in found]
            order = sorted(range(len(found)), key=lambda i: boxes[i][0] + boxes[i][2])
            return [
                PicturedFace(number, boxes[i], float(found[i].score), i == 0)
                for number, i in enumerate(order, 1)
            ]
    return []


def _plain(box: Float[np.ndarray, "4"]) -> Box:
    left, top, right, bottom = map(float, box)
    return left, top, right, bottom


def turn(pixels: UInt8[np.ndarray, "h w 3"], degrees: int) -> UInt8[np.ndarray, "g v 3"]:
    """Turn a picture clockwise by quarters."""
    return np.ascontiguousarray(np.rot90(pixels, -degrees // 90)) if degrees % 360 else pixels


def turn_point(point: tuple[float, float], shape: tuple[int, ...], degrees: int) -> tuple[float, float]:
    """Return where a place of a picture of so many rows and columns is once that is turned clockwise."""
    (x, y), (height, width) = point, shape[:2]
    for _ in range(degrees // 90 % 4):
        (x, y), (height, width) = (height - y, x), (width, height)
    return x, y


def turn_box(box: Box, shape: tuple[int, ...], degrees: int) -> Box:
    """Return where a box of a picture is once that is turned clockwise."""
    corners = [turn_point(corner, shape, degrees) for corner in (box[:2], box[2:])]
    (left, right), (top, bottom) = (sorted(line) for line in zip(*corners, strict=True))
    return left, top, right, bottom


def pick(found: Sequence[PicturedFace], wanted: Wanted, name: str) -> PicturedFace:
    """Return the face of a number, or the one at a place.

    Args:
      name: of the picture, for the refusal.

    Raises:
      UserError: there is none.
    """
    if not found:
        raise errors.UserError(NONE.format(name))
    if isinstance(wanted, int):
        if wanted <= len(found):
            return found[wanted - 1]
        many = f"{len(found)} faces" if len(found) > 1 else "one face"
        raise errors.UserError(f"face {wanted} is not in {name}, which has {many}; `--list-faces` shows them")
    inside = [face for face in found if _holds(face.box, wanted)]
    if not inside:
        place = ",".join(f"{x:g}" for x in wanted)
        raise errors.UserError(f"no face is at {place} in {name}; `--list-faces` shows where they are")
    return min(inside, key=lambda face: np.hypot(*np.subtract(face.centre, wanted)))


def _holds(box: Box, point: tuple[float, float]) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def draw(pixels: UInt8[np.ndarray, "h w 3"], faces: Sequence[PicturedFace]) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture with boxes around the faces, and their numbers in them."""
    drawn, thick = pixels.copy(), max(1, round(THICK * max(pixels.shape)))
    for colour, width in ((DARK, 3 * thick), (LIGHT, thick)):
        for face in faces:
            left, top, right, bottom = (round(x) for x in face.box)
            cv2.rectangle(drawn, (left, top), (right, bottom), colour, width)
            font, scale, number = cv2.FONT_HERSHEY_SIMPLEX, max(0.4, face.size / 120), str(face.number)
            (_, height), _ = cv2.getTextSize(number, font, scale, thick)
            at = (left + 3 * thick, top + height + 4 * thick)
            cv2.putText(drawn, number, at, font, scale, colour, width, cv2.LINE_AA)
    return drawn
