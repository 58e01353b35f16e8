"""The face of an image, and the image with that face upright."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from avct_jax.data.faces import face_box, face_detector
from avct_jax.data.portrait import pictured_face

SIDEWAYS = 45.0  # degrees of roll from which a quarter turn brings a face nearer to upright
# Of 11 portraits upright, and turned by a quarter either way, the landmark network is sure by 1.00; faces on
# their heads that it took for upright ones got 0.77, and 0.90 give or take what its runtime's version makes.
CERTAIN, SURE = 0.97, 0.9
# Share of its size by which a face on its head may reach over the edge. Upright ones, cut below the eyes,
# were taken for faces on their heads, mouths in their foreheads; of them 0.17 and 0.23 lay outside.
OVER = 0.1
SAME = 0.5  # of a picked face's size, within which it is found again in the turned image


class UprightFace(NamedTuple):
    """One face of an image.

    Attributes:
      pixels: the image, turned clockwise by `turned` degrees.
      faces: how many there are in it.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    points: Float[np.ndarray, "478 3"]
    score: float
    faces: int
    turned: int = 0


def find(
    pixels: UInt8[np.ndarray, "h w 3"],
    landmarker: Any,
    *,
    turn: bool = True,
    picked: pictured_face.PicturedFace | None = None,
) -> UprightFace | None:
    """Find a face of an image, and turn that by quarters where the face is not upright.

    Args:
      landmarker: such as face.FaceLandmarker.
      turn: else the image stays as it is.
      picked: which face; the largest where not told.

    Returns:
      None where no face is found, whichever way up.
    """
    found = look(pixels, landmarker, 0, picked)
    if not turn or (found and _is_upright(found) and found.score >= CERTAIN):
        return found
    others = [one for degrees in (90, 180, 270) if (one := look(pixels, landmarker, degrees, picked))]
    cut = lambda one: one.turned == 180 and beyond_edge(one.points, one.pixels.shape) > OVER
    likely = (one for one in others if _is_upright(one) and not cut(one))
    best = min(likely, key=lambda one: abs(roll(one.points)), default=found)
    doubtful = found and best and _is_upright(found) and best.score < CERTAIN
    return found if doubtful else best


def roll(points: Float[np.ndarray, "478 d"]) -> float:
    """By how many degrees a face is turned in the image's plane, clockwise; x right, y down."""
    right, left = points[list(face_detector.OUTER_EYE_CORNERS), :2]  # of the face: left in an upright image
    across, down = left - right
    return float(np.degrees(np.arctan2(down, across)))


def beyond_edge(points: Float[np.ndarray, "478 d"], shape: tuple[int, ...]) -> float:
    """How far a face reaches over the image's edge, as a share of its size; negative where it does not."""
    low, high = np.nanmin(points[:, :2], axis=0), np.nanmax(points[:, :2], axis=0)
    over = max(*(-low), *(high - np.array([shape[1], shape[0]])))
    return float(over / (high - low).max())


def _is_upright(found: UprightFace) -> bool:
    return found.score >= SURE and abs(roll(found.points)) <= SIDEWAYS


def look(
    pixels: UInt8[np.ndarray, "h w 3"],
    landmarker: Any,
    degrees: int,
    picked: pictured_face.PicturedFace | None,
) -> UprightFace | None:
    turned = pictured_face.turn(pixels, degrees)
    faces = landmarker.detect(turned)
    if picked is not None:
        at = pictured_face.turn_point(picked.centre, pixels.shape, degrees)
        chosen = _nearest(faces, at, SAME * picked.size)
    else:
        chosen = faces[0] if faces else None
    found = landmarker.landmarks(turned, chosen) if chosen else None
    return UprightFace(turned, found.points, float(found.score), len(faces), degrees) if found else None


def _nearest(faces: list[face_box.FaceBox], at: tuple[float, float], reach: float) -> face_box.FaceBox | None:
    """The face whose middle is nearest to a place, within `reach` px of it."""
    away = lambda face: float(np.hypot(*((face.box[:2] + face.box[2:]) / 2 - np.asarray(at))))
    return min((face for face in faces if away(face) <= reach), key=away, default=None)
