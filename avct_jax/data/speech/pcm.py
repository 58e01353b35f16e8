"""Pieces of audio as callers have them, and how they become 16 kHz."""

import numbers
from typing import Any

import numpy as np
import soxr
from jaxtyping import Float, Int16

from avct_jax import arguments, errors
from avct_jax.data.speech import mel

RATE = mel.SAMPLE_RATE
RATES = (4000, 384_000)  # samples/s that are believed
LOUDEST = 8.0  # of full scale: floats may overshoot; far more are whole numbers under another name
FULL = 32768.0


def checked_rate(given: Any) -> int:
    """Take a sample rate.

    Raises:
      UserError: it is no whole number of samples a second, or far from any that audio has.
    """
    if not isinstance(given, numbers.Integral) or not RATES[0] <= int(given) <= RATES[1]:
        raise errors.UserError(
            f"the sample rate is {given!r}; give samples a second, such as 24000: a whole number, "
            f"{RATES[0]} to {RATES[1]}"
        )
    return int(given)


def samples(given: Any) -> Int16[np.ndarray, " n"] | Float[np.ndarray, " n"]:
    """Take a piece of mono audio: int16, floats of -1 to 1, or bytes of int16.

    Raises:
      UserError: it is of several channels or another type, holds no numbers, or is out of range.
    """
    if isinstance(given, bytes | bytearray | memoryview):
        raw = bytes(given)
        if len(raw) % 2:
            raise errors.UserError(f"{len(raw)} bytes of sound are given; 16-bit samples have two bytes each")
        return np.frombuffer(raw, "<i2").astype(np.int16)
    if given is None or isinstance(given, str):
        raise errors.UserError(
            f"audio of {type(given).__name__} is given; give int16 or float samples, or bytes of int16"
        )
    found = arguments.array(given, "a sound")
    if found.ndim == 2 and 1 in found.shape:  # one channel, as some libraries give it
        found = found.reshape(-1)
    if found.ndim != 1:
        raise errors.UserError(
            f"a sound of shape {found.shape} is given; it must be one channel: average the channels first"
        )
    if found.dtype == np.dtype(">i2") or found.dtype == np.int16 or not found.size:
        return found.astype(np.int16)
    if found.dtype not in (np.float32, np.float64):
        raise errors.UserError(f"a sound of {found.dtype} is given; give int16, or floats of -1 to 1")
    if not np.isfinite(found).all():
        raise errors.UserError("the sound has samples that are no numbers (NaN, Inf); leave them out")
    if (top := float(np.abs(found).max())) > LOUDEST:
        raise errors.UserError(f"a sound up to {top:.4g} is given; divide it: floats go from -1 to 1")
    return found.astype(np.float32)


class Resampler:
    """Audio of any rate to int16 at 16 kHz, the same whatever the pieces; int16 at 16 kHz as it is."""

    def __init__(self):
        """Begin a recording."""
        self._rate = RATE
        self._stream: soxr.ResampleStream | None = None

    def push(
        self, piece: Int16[np.ndarray, " n"] | Float[np.ndarray, " n"], rate: int
    ) -> Int16[np.ndarray, " m"]:
        """Hear more of it, and return what that makes final."""
        before = np.zeros(0, np.int16) if rate == self._rate else self.finish()
        if rate != self._rate and rate != RATE:
            self._stream = soxr.ResampleStream(rate, RATE, 1, dtype="float32")
        self._rate = rate
        if self._stream is None:
            return np.append(before, whole(piece))
        floats = piece / np.float32(FULL) if piece.dtype == np.int16 else piece
        return np.append(before, whole(self._stream.resample_chunk(floats.astype(np.float32))))

    def finish(self) -> Int16[np.ndarray, " m"]:
        """Return what is left."""
        stream, self._stream = self._stream, None
        self._rate = RATE
        nothing = np.zeros(0, np.float32)
        return whole(nothing if stream is None else stream.resample_chunk(nothing, last=True))


def whole(piece: Int16[np.ndarray, " n"] | Float[np.ndarray, " n"]) -> Int16[np.ndarray, " n"]:
    """Round floats of full scale 1 to 16 bits."""
    if piece.dtype == np.int16:
        return piece
    return np.clip(np.round(piece * FULL), -FULL, FULL - 1).astype(np.int16)
