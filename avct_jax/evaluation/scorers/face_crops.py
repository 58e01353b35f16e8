"""Where the networks that judge lips look: squares around faces, as the programs they come from cut them."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from scipy import signal

from avct_jax import errors
from avct_jax.data.faces import crop
from avct_jax.metrics import landmarks

# syncnet_python's run_pipeline.py: boxes go through a median filter; the crop reaches 1 + scale half boxes to
# the sides, one up and 1 + 2 scale down; beyond the image it is grey.
SMOOTHED, CROP_SCALE, CROP_SIZE, BORDER = 13, 0.4, 224, 110

Points = Float[np.ndarray, "t 478 3"]


def filled(points: Points) -> Points:
    """Put points where there is no face: on the way between the neighbours' that have one.

    Raises:
      UserError: no frame shows a face.
    """
    seen = landmarks.found(points)
    if not seen.any():
        raise errors.UserError("no frame of the video shows a face; give a video of one from the front")
    known = points[seen]
    place = np.interp(np.arange(len(points)), np.flatnonzero(seen), np.arange(len(known)))
    before = place.astype(int)
    share = (place - before).astype(points.dtype)[:, None, None]
    return (1 - share) * known[before] + share * known[np.minimum(before + 1, len(known) - 1)]


def face_squares(points: Points) -> Float[np.ndarray, "t 3"]:
    """Centre x, y and half side of each frame's face, px, without outliers.

    The box of the landmarks stands in for that of the detector S3FD, from forehead to chin alike. Beyond the
    video the median filter sees zeros, as there: at its ends the smaller ones win.
    """
    low, high = points[..., :2].min(1).astype(np.float64), points[..., :2].max(1).astype(np.float64)
    columns = (*((low + high) / 2).T, (high - low).max(-1) / 2)
    width = min(SMOOTHED, 2 * ((len(points) + 1) // 2) - 1)
    return np.stack([signal.medfilt(column, width) for column in columns], -1)


def face_crop(
    frame: UInt8[np.ndarray, "h w 3"], square: Float[np.ndarray, "3"]
) -> UInt8[np.ndarray, "224 224 3"]:
    """Cut what syncnet_python's SyncNet sees of one frame."""
    x, y, half = square
    left, right = (int(np.floor(x + side * half * (1 + CROP_SCALE))) for side in (-1, 1))
    top, bottom = int(np.floor(y - half)), int(np.floor(y + half * (1 + 2 * CROP_SCALE)))
    canvas = np.full((max(1, bottom - top), max(1, right - left), 3), BORDER, np.uint8)
    inner = frame[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    across, down = max(0, -left), max(0, -top)
    canvas[down : down + inner.shape[0], across : across + inner.shape[1]] = inner
    return np.asarray(cv2.resize(canvas, (CROP_SIZE, CROP_SIZE)))


def head_square(points: Points, shape: tuple[int, ...]) -> crop.Square:
    """The square of a video that `avct preprocess` would cut; all of a video that has its size already."""
    if shape[:2] == (crop.SIZE, crop.SIZE):
        return crop.Square(0, 0, crop.SIZE)
    return crop.trajectory_square(points, shape)
