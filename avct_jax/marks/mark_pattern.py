"""The two patterns of a watermark: a known one, by which it is found, and one that carries its payload.

Each is CELLS x CELLS signs, spread over the square around the picture. They come and go as the cosine and
the sine of one wave, so that what is shown changes all the time by the same small amount: a picture that
keeps still does not hide it, for at the wave's frequency nothing else happens there.
"""

import functools
import hashlib

import cv2
import numpy as np
from jaxtyping import Float, Int

from avct_jax.marks import mark_payload

CELLS = 32  # a side
# Four periods are thirteen frames. Encoders keep every second to every eighth frame better than others: where
# so many frames are whole half periods, as with 3 periods in 10 frames, one of the two patterns is lost.
TURNS, FRAMES = 4, 13
FREQUENCY = 25 * TURNS / FRAMES  # Hz
KEY = "avct_jax watermark 2"  # known to everybody: anyone may look for the mark


@functools.cache
def known(key: str = KEY) -> Int[np.ndarray, "c c"]:
    """Return the signs by which a mark is found."""
    return _signs(f"{key} known").reshape(CELLS, CELLS)


def carrying(payload: mark_payload.MarkPayload) -> Int[np.ndarray, "c c"]:
    """Return the signs that carry a payload."""
    order, spread = _carriers(KEY)
    signs = np.empty(CELLS**2, int)
    signs[order] = mark_payload.encode(payload)
    return (signs * spread).reshape(CELLS, CELLS)


def gathered(cells: Float[np.ndarray, "c c"], key: str = KEY) -> Float[np.ndarray, "1024"]:
    """Return the soft signs that cells carry, the inverse of `carrying`."""
    order, spread = _carriers(key)
    return (cells.ravel() * spread)[order]


def drawn(signs: Int[np.ndarray, "c c"], size: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """Spread signs over the middle of the square around a picture.

    Args:
      size: the picture's height and width, px.
    """
    height, width = size
    side = max(size)
    whole = cv2.resize(signs.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    top, left = (side - height) // 2, (side - width) // 2
    return whole[top : top + height, left : left + width]


@functools.cache
def _carriers(key: str) -> tuple[np.ndarray, np.ndarray]:
    """Where the signs of the code lie, and what each is multiplied with."""
    drawn = np.frombuffer(hashlib.shake_256(f"{key} order".encode()).digest(8 * CELLS**2), "<u8")
    return np.argsort(drawn, kind="stable"), _signs(f"{key} spread")


def _signs(text: str) -> np.ndarray:
    drawn = np.frombuffer(hashlib.shake_256(text.encode()).digest(CELLS**2 // 8), np.uint8)
    return 2 * np.unpackbits(drawn).astype(int) - 1
