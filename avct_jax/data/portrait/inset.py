"""A drawn square put back into its picture: no seam, and as sharp as the picture is."""

import functools
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from avct_jax.data.faces import crop
from avct_jax.data.portrait import territory

# Levels by which a drawn pixel may differ from the warped one before the picture's finer detail is left out
# there: lids over eyes and what is between lips are drawn, not warped.
ALIKE = (6.0, 20.0)
EVEN = 128  # level of detail that says nothing
CALM = 1.5  # px of the drawn square, by which that decision is softened


class Detail(NamedTuple):
    """What a picture has beyond the resolution that is drawn.

    Attributes:
      rest: the square as it is drawn from.
      finer: of the square's own pixels, what is lost between the two; levels, EVEN is none.
      cover: share of the person in each pixel of `rest`.
    """

    rest: UInt8[np.ndarray, "d d 3"]
    finer: UInt8[np.ndarray, "s s 3"]
    cover: Float[np.ndarray, "d d"]


class Inset:
    """Puts drawn frames of one head's square into copies of its picture."""

    def __init__(
        self,
        picture: UInt8[np.ndarray, "h w 3"],
        square: crop.Square,
        weight: Float[np.ndarray, "f f"],
        *,
        rest: UInt8[np.ndarray, "d d 3"],
        cover: Float[np.ndarray, "d d"],
    ):
        """Take a picture.

        Args:
          square: around the head; may reach over the picture's edges.
          weight: what of it is the head's own, see `territory.own`.
          rest: the square as it is drawn from, at the resolution of what is drawn.
          cover: share of the person in each pixel of it.
        """
        height, width = picture.shape[:2]
        left, top, side = square
        self.rows = slice(max(top, 0), min(top + side, height))
        self.columns = slice(max(left, 0), min(left + side, width))
        self._inner = (
            slice(self.rows.start - top, self.rows.stop - top),
            slice(self.columns.start - left, self.columns.stop - left),
        )
        self.weight = np.ascontiguousarray(territory.enlarge(weight, side)[self._inner])
        self._complement = 1 - self.weight
        self.side = side
        self.detail = None
        if len(rest) != side:
            whole = crop.crop(picture, square, side)
            lost = cv2.subtract(whole, _resized(rest, side), dtype=cv2.CV_16S)
            self.detail = Detail(rest, np.clip(lost + EVEN, 0, 255).astype(np.uint8), cover)

    def lay(
        self,
        canvas: UInt8[np.ndarray, "h w 3"],
        drawn: UInt8[np.ndarray, "d d 3"],
        field: Float[np.ndarray, "g g 2"] | None = None,
    ) -> None:
        """Put a drawn square into a canvas of the picture's size.

        Args:
          canvas: is changed.
          drawn: the square.
          field: where the nodes of a grid over it lie at rest, [-1, 1]; needed where it is drawn at another
            resolution than the picture's.
        """
        made = drawn
        if self.detail is not None:
            assert field is not None
            made = sharpened(drawn, field, self.detail, self.side)
        made = np.ascontiguousarray(made[self._inner])
        under = np.ascontiguousarray(canvas[self.rows, self.columns])
        canvas[self.rows, self.columns] = cv2.blendLinear(made, under, self.weight, self._complement)


def sharpened(
    drawn: UInt8[np.ndarray, "d d 3"], field: Float[np.ndarray, "g g 2"], detail: Detail, side: int
) -> UInt8[np.ndarray, "s s 3"]:
    """Bring a drawn square to its picture's resolution, with the picture's own detail where that is known.

    Detail of the person moves along with the field, detail behind the person stays.
    """
    size = len(drawn)
    place = to_pixels(field, size, size)
    cover = _warp(detail.cover, place)
    moved = cover * _alike(drawn, _warp(detail.rest, place))
    still = (1 - cover) * _alike(drawn, detail.rest)
    moved, still = (_resized(cv2.GaussianBlur(share, (0, 0), CALM), side) for share in (moved, still))
    finer = _warp(detail.finer, to_pixels(field, size, side))
    known = moved + still
    finer = cv2.blendLinear(finer, detail.finer, moved, still)
    finer = cv2.blendLinear(finer, np.full_like(finer, EVEN), known, 1 - known)
    return cv2.addWeighted(_resized(drawn, side), 1, finer, 1, -EVEN)


def to_pixels(field: Float[np.ndarray, "g g 2"], size: int, side: int) -> Float[np.ndarray, "s s 2"]:
    """Bring a field to pixels of a square of `side` px whose nodes lie on pixels of one of `size` px.

    Args:
      field: [-1, 1], from the centre of the first of `size` px to that of the last.

    Returns:
      x and y, px of the square of `side` px.
    """
    scale, nodes = side / size, len(field)
    along = np.linspace(-1, 1, nodes, dtype=np.float32)
    ways = (field - np.stack(np.meshgrid(along, along), -1)) * ((size - 1) / 2 * scale)
    step = (nodes - 1) / ((size - 1) * scale)  # nodes a pixel
    first = (0.5 / scale - 0.5) * (nodes - 1) / (size - 1)
    affine = np.array([[step, 0, first], [0, step, first]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    ways = cv2.warpAffine(ways, affine, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return cv2.add(ways, _pixels(side))


@functools.lru_cache(maxsize=4)
def _pixels(side: int) -> Float[np.ndarray, "s s 2"]:
    along = np.arange(side, dtype=np.float32)
    return np.stack(np.meshgrid(along, along), -1)


def _warp(image: np.ndarray, place: Float[np.ndarray, "s s 2"]) -> np.ndarray:
    second: Any = None  # of the maps: the first holds both coordinates
    return cv2.remap(image, place, second, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _alike(one: UInt8[np.ndarray, "d d 3"], other: UInt8[np.ndarray, "d d 3"]) -> np.ndarray:
    """1 where two images are the same, 0 where they differ by more than ALIKE."""
    low, high = ALIKE
    red, green, blue = cv2.split(cv2.absdiff(one, other))
    apart = cv2.max(cv2.max(red, green), blue).astype(np.float32)
    return np.clip((high - apart) / (high - low), 0, 1)


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    method = cv2.INTER_AREA if len(image) > side else cv2.INTER_CUBIC
    return cv2.resize(image, (side, side), interpolation=method if image.ndim == 3 else cv2.INTER_LINEAR)
