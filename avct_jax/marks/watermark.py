"""An imperceptible watermark in frames."""

import cv2
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int8, UInt8

from avct_jax.marks import installation, mark_pattern, mark_payload

# By the longer side, px; a small picture has fewer pixels to tell the mark by.
SIDES = (256, 512)
# Root of the mean square of what is added, of 255 levels: 46.0 and 46.8 dB with its dithering.
STRENGTH = (1.21, 1.1)
# Levels where detail counts as 1, at most: dark and flat pictures, which hide less, get a weaker mark.
BOLDEST = (2.5, 1.6)
KNOWN = 0.5  # of its power is the pattern's by which it is found: so all frames change alike
# In smooth places little is added, elsewhere in proportion to detail: levels that count as 1, least and most.
DETAIL, LEAST, MOST = 8.0, 0.3, 3.0
NEIGHBOURHOOD = 1 / 40  # of the longer side: over which detail is measured
ROWS = 2**17  # pixels that are marked at once


class Watermark:
    """Marks the frames of a video of 25 frames/s, in order; the first decides where more is added."""

    def __init__(self, payload: mark_payload.MarkPayload):
        """Begin."""
        self.payload = payload
        self._more = self._less = np.zeros((0, 0, 0), np.uint8)
        self._shown = 0

    def __call__(
        self, frames: UInt8[np.ndarray, "n h w 3"], *, first: int | None = None
    ) -> UInt8[np.ndarray, "n h w 3"]:
        """Mark frames.

        Args:
          first: number of the first of them in the video; by default they come next.
        """
        frames = np.asarray(frames)
        if self._more.shape[1:] != frames.shape[1:3]:
            change = changes(self.payload, frames[0])
            self._more, self._less = (np.maximum(x, 0).astype(np.uint8) for x in (change, -change))
        first = self._shown if first is None else first
        self._shown = first + len(frames)
        marked = np.empty_like(frames)
        for index, (frame, made) in enumerate(zip(frames, marked, strict=True), first):
            place = index % mark_pattern.FRAMES
            _add(frame, self._more[place], self._less[place], made)
        return marked


def _add(frame: np.ndarray, more: np.ndarray, less: np.ndarray, made: np.ndarray) -> None:
    """What `add` does, of one frame; in rows that stay in the processor's cache, a third of XLA's time."""
    height, width, channels = frame.shape
    rows = max(1, ROWS // width)
    for top in range(0, height, rows):
        here = slice(top, top + rows)
        flat = made[here].reshape(-1, width * channels)
        wide = [cv2.cvtColor(x[here], cv2.COLOR_GRAY2RGB).reshape(flat.shape) for x in (more, less)]
        cv2.add(frame[here].reshape(flat.shape), wide[0], dst=flat)
        cv2.subtract(flat, wide[1], dst=flat)


def usual() -> Watermark:
    """Return what marks a video that this installation makes now."""
    return Watermark(mark_payload.now(installation.number()))


def changes(
    payload: mark_payload.MarkPayload, frame: UInt8[np.ndarray, "h w 3"]
) -> Int8[np.ndarray, "13 h w"]:
    """Return what is added to each channel of frames like this one, in turn, in levels of 255.

    Parts of a level are dithered: so many pixels of a neighbourhood take a whole one.
    """
    share = visibility(frame)
    signs = mark_pattern.known(), mark_pattern.carrying(payload)
    powers = KNOWN, 1 - KNOWN
    cosine, sine = (
        np.sqrt(power) * mark_pattern.drawn(x, frame.shape[:2]) * share
        for power, x in zip(powers, signs, strict=True)
    )
    strength, boldest = (np.interp(max(frame.shape), SIDES, x) for x in (STRENGTH, BOLDEST))
    scale = min(boldest, strength / np.sqrt((np.square(cosine) + np.square(sine)).mean() / 2))
    height, width = frame.shape[:2]
    # Gradient noise (Jimenez 2014): even in every neighbourhood.
    threshold = (
        52.9829189 * ((0.06711056 * np.arange(width) + 0.00583715 * np.arange(height)[:, None]) % 1) % 1
    )
    phases = 2 * np.pi * mark_pattern.TURNS * np.arange(mark_pattern.FRAMES) / mark_pattern.FRAMES
    wave = (scale * (np.cos(phase) * cosine + np.sin(phase) * sine) for phase in phases)
    return np.stack([np.floor(x + threshold).astype(np.int8) for x in wave])


def visibility(frame: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Return the share in which a change can be hidden at each pixel: more where there is more detail."""
    grey = frame.astype(np.float32).mean(-1)
    width = max(3, round(NEIGHBOURHOOD * max(grey.shape)))
    mean = cv2.blur(grey, (width, width))
    detail = np.sqrt(np.maximum(cv2.blur(np.square(grey), (width, width)) - np.square(mean), 0))
    return cv2.blur(np.clip(detail / DETAIL, LEAST, MOST), (width, width))


def add(
    frames: UInt8[Array, "n h w 3"], changes: Int8[Array, "13 h w"], first: Int[Array, ""] | int
) -> UInt8[Array, "n h w 3"]:
    """Add the mark to frames; pure, to be a part of what draws them.

    Args:
      first: number of the first of them in the video.
    """
    places = (first + jnp.arange(len(frames))) % mark_pattern.FRAMES
    change = changes[places][..., None].astype(jnp.int16)
    return (frames.astype(jnp.int16) + change).clip(0, 255).astype(jnp.uint8)
