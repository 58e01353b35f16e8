"""An imperceptible watermark in frames."""

import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int8, UInt8

from avct_jax.marks import installation, mark_pattern, mark_payload

STRENGTH = 1.0  # root of the mean square of what is added, of 255 levels; 47.6 dB with its dithering
KNOWN = 0.4  # of its power is the pattern's by which it is found
# In smooth places little is added, elsewhere in proportion to detail: levels that count as 1, least and most.
DETAIL, LEAST, MOST = 8.0, 0.3, 3.0
HALF, TURNS = (
    5,
    1.5,
)  # frames after which the opposite is added, and periods: mark_pattern.FREQUENCY at 25 frames/s
NEIGHBOURHOOD = 1 / 40  # of the longer side: over which detail is measured


class Watermark:
    """Marks the frames of a video of 25 frames/s, in order; the first decides where more is added."""

    def __init__(self, payload: mark_payload.MarkPayload):
        """Begin."""
        self.payload = payload
        self._changes: Array | None = None
        self._shown = 0

    def __call__(
        self, frames: UInt8[np.ndarray, "n h w 3"], *, first: int | None = None
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """Mark frames.

        Args:
          first: number of the first of them in the video; by default they come next.
        """
        if self._changes is None or self._changes.shape[1:] != frames.shape[1:]:
            self._changes = jax.device_put(changes(self.payload, frames[0]))
        first = self._shown if first is None else first
        self._shown = first + len(frames)
        places = np.arange(first, self._shown) % (2 * HALF)
        return np.asarray(_jitted()(frames, self._changes, places))


def usual() -> Watermark:
    """Return what marks a video that this installation makes now."""
    return Watermark(mark_payload.now(installation.number()))


def changes(
    payload: mark_payload.MarkPayload, frame: UInt8[np.ndarray, "h w 3"]
) -> Int8[np.ndarray, "5 h w 3"]:
    """Return what is added to frames like this one in the first half of ten, in levels of 255.

    Parts of a level are dithered: so many pixels of a neighbourhood take a whole one.
    """
    share = visibility(frame)
    signs = mark_pattern.known(), mark_pattern.carrying(payload)
    powers = KNOWN, 1 - KNOWN
    cosine, sine = (
        np.sqrt(power) * mark_pattern.drawn(x, frame.shape[:2]) * share
        for power, x in zip(powers, signs, strict=True)
    )
    scale = STRENGTH / np.sqrt((np.square(cosine) + np.square(sine)).mean() / 2)
    height, width = frame.shape[:2]
    # Gradient noise (Jimenez 2014): even in every neighbourhood.
    threshold = (
        52.9829189 * ((0.06711056 * np.arange(width) + 0.00583715 * np.arange(height)[:, None]) % 1) % 1
    )
    phases = 2 * np.pi * TURNS * np.arange(HALF) / HALF
    wave = (scale * (np.cos(phase) * cosine + np.sin(phase) * sine) for phase in phases)
    # All three channels are kept, though the same: read so, it is added four times as fast.
    return np.stack([np.repeat(np.floor(x + threshold).astype(np.int8)[..., None], 3, -1) for x in wave])


def visibility(frame: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Return the share in which a change can be hidden at each pixel: more where there is more detail."""
    grey = frame.astype(np.float32).mean(-1)
    width = max(3, round(NEIGHBOURHOOD * max(grey.shape)))
    mean = cv2.blur(grey, (width, width))
    detail = np.sqrt(np.maximum(cv2.blur(np.square(grey), (width, width)) - np.square(mean), 0))
    return cv2.blur(np.clip(detail / DETAIL, LEAST, MOST), (width, width))


def add(
    frames: UInt8[Array, "n h w 3"], changes: Int8[Array, "5 h w 3"], places: Int[Array, " n"]
) -> UInt8[Array, "n h w 3"]:
    """Add the mark to frames; pure.

    Args:
      places: of the frames in the wave, 0 to 9; in the second half the opposite is added.
    """
    change = changes[places % HALF]
    change = jnp.where(places[:, None, None, None] < HALF, change, -change)
    # Bytes stay bytes: a tenth to a third faster than wider numbers.
    more, less = (jnp.maximum(x, 0).astype(jnp.uint8) for x in (change, -change))
    return jnp.maximum(jnp.minimum(frames, 255 - more) + more, less) - less


@functools.cache
def _jitted():
    return jax.jit(add)
