"""The square around a head that the networks see, as the reference takes it."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from avct_jax import errors

SIZE = 256  # px, side of the networks' images
# Measured on ten 256x256 portraits that the released system is shown with, by the 478 points of
# face_detector.py: the longer side of their box over the side of the crop, and the centre of the box.
# Medians; spread 12% and 7%.
FACE_SHARE = 0.595
FACE_CENTRE = (0.5, 0.573)  # x, y as shares of the side
# An image whose face lies within these is already such a crop (the ten have 0.51 - 0.78) and is left alone.
CROP_SHARES = (0.45, 0.8)
CROP_OFFSET = 0.12  # how far the face's centre may be from FACE_CENTRE, share of the side
CROP_ASPECT = 1.05
OUTLIERS = 0.02  # share of frames whose farthest points do not count: a landmark may err
FACE_SHARE_MOST = 0.75  # a tighter image is rather filled up at the edges than taken so


class Square(NamedTuple):
    """A square of an image, px; may reach over the image's edges."""

    left: int
    top: int
    size: int


def face_square(
    landmarks: Float[np.ndarray, "n d"], image_shape: tuple[int, ...], *, share: float = FACE_SHARE
) -> Square:
    """Return the square that shows a head with hair, chin and some shoulder.

    It is moved, and made up to a fifth smaller, to stay inside the image; where that is not enough it
    reaches over the edge. An image that is such a crop already is returned whole.

    Args:
      landmarks: points of one face, x, y in px (NaN where unknown).
      image_shape: height and width first.
      share: of the side that the longer side of the face's box is to take.
    """
    height, width = image_shape[:2]
    centre, extent = _box(landmarks)
    if _is_crop(centre, extent, height, width):
        return Square(0, 0, min(height, width))
    wanted = extent / share
    least = extent / FACE_SHARE_MOST
    size = max(2, round(max(least, min(wanted, height, width))))
    left, top = (round(float(centre[i]) - FACE_CENTRE[i] * size) for i in (0, 1))
    return Square(inside(left, size, width), inside(top, size, height), size)


def clip_square(landmarks: Float[np.ndarray, "t n d"], image_shape: tuple[int, ...]) -> Square:
    """Return one steady square for a whole clip: that of the median face.

    Args:
      landmarks: points in every frame, x, y in px; frames without a face are NaN.

    Raises:
      UserError: no frame has a face.
    """
    found = landmarks[np.isfinite(landmarks[..., :2]).any((1, 2))]
    if not len(found):
        raise errors.UserError("no face was found in the video; use one that shows a face from the front")
    return face_square(np.median(found, axis=0), image_shape)


def trajectory_square(landmarks: Float[np.ndarray, "t n d"], image_shape: tuple[int, ...]) -> Square:
    """Return the one square that shows a head wherever it goes in a clip, as FOMM's preprocessing does.

    That of `face_square` where the head keeps still; larger by as much as the face travels where it moves.

    Args:
      landmarks: points in every frame, x, y in px; frames without a face are NaN.
      image_shape: height and width first.

    Raises:
      UserError: no frame has a face.
    """
    height, width = image_shape[:2]
    found = landmarks[np.isfinite(landmarks[..., :2]).any((1, 2))][..., :2]
    if not len(found):
        raise errors.UserError("no face was found in the video; use one that shows a face from the front")
    lows, highs = np.nanmin(found, axis=1), np.nanmax(found, axis=1)
    extent = float(np.median((highs - lows).max(1)))
    low, high = np.quantile(lows, OUTLIERS, axis=0), np.quantile(highs, 1 - OUTLIERS, axis=0)
    travel = max(0.0, float((high - low).max()) - extent)
    centre = (low + high) / 2
    if _is_crop(centre, extent, height, width) and extent + travel <= CROP_SHARES[1] * min(height, width):
        return Square(0, 0, min(height, width))
    wanted, least = (extent / share + travel for share in (FACE_SHARE, FACE_SHARE_MOST))
    size = max(2, round(max(least, min(wanted, height, width))))
    # Above the face goes hair, below it little: more room is left above, by the size of the face alone.
    above = (FACE_CENTRE[1] - 0.5) * extent / FACE_SHARE
    left, top = round(float(centre[0]) - size / 2), round(float(centre[1]) - above - size / 2)
    return Square(inside(left, size, width), inside(top, size, height), size)


def crop(image: UInt8[np.ndarray, "h w 3"], square: Square, size: int = SIZE) -> UInt8[np.ndarray, "s s 3"]:
    """Cut a square out and scale it; the image's edge pixels are repeated outside of it."""
    height, width = image.shape[:2]
    left, top, side = square
    inner = image[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
    if not inner.size:
        raise ValueError(f"{square} lies outside the image of {width}x{height}")
    edges = [max(-top, 0), max(top + side - height, 0), max(-left, 0), max(left + side - width, 0)]
    patch = cv2.copyMakeBorder(inner, *edges, borderType=cv2.BORDER_REPLICATE) if any(edges) else inner
    if side == size:
        return np.array(patch)
    # Areas, not points, going down: no aliasing.
    method = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(patch, (size, size), interpolation=method))


def to_crop(points: Float[np.ndarray, "*n d"], square: Square, size: int = SIZE) -> Float[np.ndarray, "*n d"]:
    """Express points of the image (x, y or x, y, z in px) in pixels of the crop."""
    offset = np.zeros(points.shape[-1], points.dtype)
    offset[:2] = square.left, square.top
    return (points - offset) * np.asarray(size / square.size, points.dtype)


def to_unit(points: Float[np.ndarray, "n 3"], square: Square, size: int) -> Float[np.ndarray, "n 3"]:
    """Express landmarks (px of the image) in [-1, 1] of a square of it that is drawn with `size` px."""
    scaled = to_crop(points, square, size)
    scaled[:, 2] = points[:, 2] * size / square.size
    return (scaled - np.array([0.5, 0.5, 0])) / (size - 1) * 2 - np.array([1, 1, 0])


def _box(landmarks: Float[np.ndarray, "n d"]) -> tuple[np.ndarray, float]:
    low, high = np.nanmin(landmarks[:, :2], axis=0), np.nanmax(landmarks[:, :2], axis=0)
    return (low + high) / 2, float((high - low).max())


def _is_crop(centre: np.ndarray, extent: float, height: int, width: int) -> bool:
    side = min(height, width)
    offset = np.abs(centre / side - FACE_CENTRE).max()
    square = max(height, width) <= CROP_ASPECT * side
    return bool(square and CROP_SHARES[0] <= extent / side <= CROP_SHARES[1] and offset <= CROP_OFFSET)


def inside(start: int, size: int, length: int) -> int:
    """Move [start, start + size) into [0, length) where it fits, else let it cover all of that."""
    return min(max(start, min(0, length - size)), max(0, length - size))
