"""What of a picture is a head's own: its square, softly, without what belongs to other heads beside it."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float

from avct_jax.data.faces import crop
from avct_jax.data.portrait import portrait_layers

SOFT = 0.07  # of the square's side, along its border inside the picture, over which its own fades
FINE = 160  # px, side at which territories are told apart
# Two heads share a place between them by its distances from both, each in the size of that face; the border
# is this wide, in the same measure.
SHARED = 0.5
NEAR = 0.05  # of the square's side: so far from a person what moves may be seen
HEAD = 0.18  # of the face's height, by which a head's middle lies above that of its landmarks


def own(
    square: crop.Square,
    face: Float[np.ndarray, "478 d"],
    others: Sequence[Float[np.ndarray, "478 d"]],
    shape: tuple[int, ...],
) -> Float[np.ndarray, "f f"]:
    """Return how far each place of a square is one head's own, 0 to 1, at FINE px.

    0 at the square's border where the picture goes on behind it, and on other heads. Where the picture ends
    there is nothing to be seen of a border.

    Args:
      square: of the picture.
      face: its landmarks, px of the picture.
      others: those of the other faces.
      shape: of the picture, rows and columns first.
    """
    places = (np.arange(FINE) + 0.5) / FINE
    weight = _inside(square, shape, places)
    x, y = np.meshgrid(square.left + places * square.size, square.top + places * square.size)
    mine = _distance(x, y, face)
    for other in others:
        weight = np.minimum(weight, _smooth((_distance(x, y, other) - mine) / SHARED + 0.5))
    return weight.astype(np.float32)


def enlarge(weight: Float[np.ndarray, "f f"], size: int) -> Float[np.ndarray, "s s"]:
    """Bring what `own` returns to a square's pixels."""
    return cv2.resize(weight, (size, size), interpolation=cv2.INTER_LINEAR)


def hold(
    layers: portrait_layers.PortraitLayers, weight: Float[np.ndarray, "f f"]
) -> portrait_layers.PortraitLayers:
    """Let what moves around a face stay where the square is not its own.

    Where no person is near, nothing that moves is seen: there the mesh goes on moving with the head, or hair
    between both would be sheared.

    Args:
      layers: of the square's image.
      weight: as `own` returns it.
    """
    places = layers.vertices[-len(layers.sway) :, :2]
    cover = layers.cover[::2, ::2]
    reach = 2 * round(NEAR * len(cover)) + 1
    near = cv2.dilate(cover, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    share = 1 - np.clip(2 * _read(near, places), 0, 1) * (1 - _read(weight, places))
    return layers._replace(
        shares=(layers.shares * share[:, None]).astype(np.float32),
        sway=(layers.sway * share).astype(np.float32),
    )


def _inside(square: crop.Square, shape: tuple[int, ...], places: Float[np.ndarray, " f"]) -> np.ndarray:
    """Fall to 0 towards those sides of the square behind which the picture goes on."""
    height, width = shape[:2]
    lines = []
    for start, length in ((square.top, height), (square.left, width)):
        before, after = start > 0, start + square.size < length
        ramp = np.ones(len(places))
        ramp = np.minimum(ramp, _smooth((places - SOFT / 4) / SOFT)) if before else ramp
        lines.append(np.minimum(ramp, _smooth((1 - places - SOFT / 4) / SOFT)) if after else ramp)
    return lines[0][:, None] * lines[1][None]


def _distance(x: np.ndarray, y: np.ndarray, face: Float[np.ndarray, "478 d"]) -> np.ndarray:
    """Distance from a head's middle, in the size of its face."""
    low, high = face[:, :2].min(0), face[:, :2].max(0)
    size = max(high - low)
    middle = (low + high) / 2
    return np.hypot(x - middle[0], y - middle[1] + HEAD * size) / size


def _smooth(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


def _read(image: Float[np.ndarray, "h w"], places: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
    """Read at places in [-1, 1]; beyond the edge what is at it."""
    x, y = (np.clip((places + 1) / 2, 0, 1) * (len(image) - 1)).astype(np.float32).T
    return cv2.remap(image, x[:, None], y[:, None], cv2.INTER_LINEAR)[:, 0]
