"""Finding the watermark of a video, wherever in the picture it is and however large.

The mark comes and goes with a wave of 7.5 Hz: the frames, multiplied with that wave and added up, leave of
the picture only what happens at this frequency. Hardly more than its phase is kept of each pixel, and it is
compared with the known pattern at every place and at many sizes. Where it fits best the payload is read.
"""

import contextlib
import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Complex, Float
from scipy import fft

from avct_jax.data.media import video_io
from avct_jax.marks import mark_pattern, mark_payload

SIDE = 320  # px: the longer side of frames that are looked at
SECONDS = 16.0  # that are looked at, at most, in pieces of which each may be found alone
PIECE = 8.0  # s
SMALLEST, LARGEST = 0.2, 1.7  # of the longer side: sizes of the square that are tried
STEP = 1.025  # from one size to the next: at most a fifth of a cell at the square's edge
HALVED = 0.6  # of the longer side: from this size on pictures of half the size are compared first
LEAST_SEEN = 0.4  # of the square, or of the picture
NEIGHBOURHOOD, FLOOR = 2.5, 0.3  # cells, and share of what is there on average that counts as little
TRUSTED = 1.5  # cells: over which it is measured how well the mark came through
# Peak over the mean power of everything that is compared: see docs/reference/watermark.md for the rates.
SURE, LIKELY = 38.0, 22.0


class MarkReading(NamedTuple):
    """What was found of a mark.

    Attributes:
      found: whether the video bears it.
      payload: what it says; None where it cannot be read.
      score: how much it stands out: power of the best fit over the mean of all.
      box: of the square that bears it: left, top, right, bottom, in shares of the picture's size.
      seconds: of the video that were looked at.
    """

    found: bool
    payload: mark_payload.MarkPayload | None
    score: float
    box: tuple[float, float, float, float] | None
    seconds: float


class Fit(NamedTuple):
    """Where the known pattern fits best.

    Attributes:
      score: power over the mean.
      side: of the square, px.
      top: its upper edge, px.
      left: its left edge, px.
      turn: by which complex values are turned so that the known pattern is real.
    """

    score: float
    side: float
    top: float
    left: float
    turn: complex


class MarkLook(NamedTuple):
    """What is seen in a piece of a video; see `judged`."""

    fit: Fit
    signs: Float[np.ndarray, "128"]
    size: tuple[int, int]
    seconds: float


def read(path: video_io.Path, *, key: str = mark_pattern.KEY) -> MarkReading:
    """Look for the mark of a video.

    Args:
      key: of the patterns; others than the usual one find nothing, which is how false alarms are counted.

    Raises:
      UserError: it cannot be read.
    """
    best = MarkReading(False, None, 0.0, None, 0.0)
    for seen in looks(path, key=key):
        best = _better(best, judged(*seen))
        if best.found and best.payload:
            break
    return best


def looks(path: video_io.Path, *, key: str = mark_pattern.KEY) -> Iterator[MarkLook]:
    """Look at one piece of a video after the other: what `judged` takes.

    Raises:
      UserError: it cannot be read.
    """
    found = video_io.probe(path)
    rate = found.frame_rate or float(video_io.FRAME_RATE)
    height, width = found.size
    scale = SIDE / max(height, width)
    size = max(16, round(height * scale)), max(16, round(width * scale))
    wave = Demodulator(size, rate)
    with contextlib.closing(video_io.read_frames(path, frame_rate=None, size=size)) as frames:
        for frame in frames:
            wave.add(frame)
            if wave.seconds >= PIECE and wave.pieces + 1 < SECONDS / PIECE:
                yield MarkLook(*look(wave.take(), key), size, wave.total)
            if wave.total >= SECONDS:
                break
    if wave.seconds >= 1 or not wave.pieces:
        yield MarkLook(*look(wave.take(), key), size, wave.total)


class Demodulator:
    """Adds up frames, multiplied with the wave."""

    def __init__(self, size: tuple[int, int], frame_rate: float):
        """Begin."""
        self._rate, self._frames = frame_rate, []
        self.total, self.pieces = 0.0, 0

    @property
    def seconds(self) -> float:
        """Length of the piece."""
        return len(self._frames) / self._rate

    def add(self, frame: np.ndarray) -> None:
        """Take the next frame."""
        self._frames.append(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))
        self.total += 1 / self._rate

    def take(self) -> Complex[np.ndarray, "h w"]:
        """Return the piece's sum, and begin the next."""
        frames = np.stack(self._frames).astype(np.float32)
        self._frames, self.pieces = [], self.pieces + 1
        return demodulated(frames, self._rate)


def demodulated(frames: Float[np.ndarray, "n h w"], frame_rate: float) -> Complex[np.ndarray, "h w"]:
    """Return what of each pixel happens at the wave's frequency."""
    count = len(frames)
    window, basis = np.hanning(count + 2)[1:-1], np.stack([np.ones(count), np.linspace(-1, 1, count)])
    wave = window * np.exp(-2j * np.pi * mark_pattern.FREQUENCY / frame_rate * np.arange(count))
    # What does not change, and what changes evenly, has no share in it.
    wave -= window * (np.linalg.pinv(basis * window @ basis.T) @ (basis @ wave) @ basis)
    flat = frames.reshape(count, -1)
    parts = [np.float32(part) @ flat for part in (wave.real, wave.imag)]
    return (parts[0] + 1j * parts[1]).astype(np.complex64).reshape(frames.shape[1:])


def look(
    image: Complex[np.ndarray, "h w"], key: str = mark_pattern.KEY
) -> tuple[Fit, Float[np.ndarray, "128"]]:
    """Find where the known pattern fits best, and read the signs there."""
    fit = _finer(image, _coarse(image, key), key)
    return fit, signs_at(image, fit, key)


def _coarse(image, key) -> Fit:
    longer = max(image.shape)
    count = math.ceil(math.log(LARGEST / SMALLEST) / math.log(STEP))
    sides = [longer * SMALLEST * STEP**i for i in range(count)]
    half = cv2.resize(image.view(np.float32).reshape(*image.shape, 2), None, fx=0.5, fy=0.5,
                      interpolation=cv2.INTER_AREA)  # fmt: skip
    half = half[..., 0] + 1j * half[..., 1]
    small = [_fits(image, side, key) for side in sides if side < HALVED * longer]
    large = [_fits(half, side / 2, key)._replace(side=side) for side in sides if side >= HALVED * longer]
    return max(small + large)


def _finer(image, fit: Fit, key) -> Fit:
    return max(_fits(image, fit.side * STEP ** (i / 4), key) for i in range(-3, 4))


def _fits(image: np.ndarray, side: float, key: str) -> Fit:
    """Where the pattern fits best at one size."""
    whole = round(side)
    even = evened(image, side / mark_pattern.CELLS).astype(np.complex64)
    shape = [int(fft.next_fast_len(n + whole) or 0) for n in image.shape]
    transformed: Any = fft.fft2(even, shape)
    transformed *= np.conj(np.asarray(fft.fft2(_template(whole, key), shape)))
    fits = np.asarray(fft.ifft2(transformed, overwrite_x=True))
    seen = np.outer(*(_overlaps(n, whole, full) for n, full in zip(image.shape, shape, strict=True)))
    allowed = seen > LEAST_SEEN * min(whole**2, image.size)
    power = np.square(np.abs(fits))
    level = np.where(allowed, power / np.maximum(seen, 1), 0)
    place = np.unravel_index(level.argmax(), level.shape)
    mean = level[allowed].mean()
    top, left = (p if p < n else p - full for p, n, full in zip(place, image.shape, shape, strict=True))
    score = float(level[place] / mean) if mean > 0 else 0.0
    return Fit(score, float(whole), float(top), float(left), complex(np.exp(-1j * np.angle(fits[place]))))


def evened(image: Complex[np.ndarray, "h w"], cell: float) -> Complex[np.ndarray, "h w"]:
    """Leave no more than cells' detail, and of it hardly more than the phase: no place outweighs others."""
    planes = [np.asarray(x, np.float32) for x in (np.real(image), np.imag(image))]
    coarse, fine = cell * NEIGHBOURHOOD, max(cell / 4, 0.3)
    planes = [cv2.GaussianBlur(x, (0, 0), fine) - cv2.GaussianBlur(x, (0, 0), coarse) for x in planes]
    power = planes[0] ** 2 + planes[1] ** 2
    near = np.sqrt(cv2.GaussianBlur(power, (0, 0), coarse))
    return (planes[0] + 1j * planes[1]) / (np.sqrt(power) + FLOOR * near + 1e-6)


def _overlaps(length: int, side: int, full: int) -> np.ndarray:
    """How many px of `side` that begin at each place, modulo `full`, lie within `length`."""
    begin = np.arange(full)
    begin = np.where(begin < length, begin, begin - full)
    return np.clip(np.minimum(begin + side, length) - np.maximum(begin, 0), 0, None)


@functools.lru_cache(maxsize=256)
def _template(side: int, key: str) -> np.ndarray:
    return mark_pattern.drawn(mark_pattern.known(key), (side, side)).astype(np.float32)


def signs_at(image: Complex[np.ndarray, "h w"], fit: Fit, key: str) -> Float[np.ndarray, "128"]:
    """Read the soft signs of the code at a place; cells that are not seen are nothing."""
    even = evened(image, fit.side / mark_pattern.CELLS) * fit.turn
    shown = _cells(even.real, fit) * mark_pattern.known(key)
    # Where the known pattern came through the other did too: encoders drop one place and keep the next.
    share = np.maximum(cv2.GaussianBlur(shown, (0, 0), TRUSTED), 0)
    return -mark_pattern.gathered(_cells(even.imag, fit) * share, key)


def _cells(plane: np.ndarray, fit: Fit) -> Float[np.ndarray, "c c"]:
    """What is at the middle of each cell."""
    count = mark_pattern.CELLS
    at = (np.arange(count) + 0.5) * fit.side / count - 0.5
    x, y = (grid.astype(np.float32) for grid in np.meshgrid(at + fit.left, at + fit.top))
    blurred = cv2.GaussianBlur(plane.astype(np.float32), (0, 0), fit.side / count / 4)
    return cv2.remap(blurred, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def judged(fit: Fit, signs: Float[np.ndarray, "128"], size: tuple[int, int], seconds: float) -> MarkReading:
    """Say what was found.

    Args:
      size: height and width of what was looked at, px.
      seconds: of the video that were looked at.
    """
    payload = mark_payload.decode(signs) if fit.score >= LIKELY else None
    height, width = size
    box = (fit.left / width, fit.top / height, (fit.left + fit.side) / width, (fit.top + fit.side) / height)
    found = payload is not None or fit.score >= SURE
    return MarkReading(found, payload, fit.score, box if found else None, seconds)


def _better(before: MarkReading, now: MarkReading) -> MarkReading:
    told = lambda reading: (reading.payload is not None, reading.found, reading.score)
    return max(before, now, key=told)._replace(seconds=now.seconds)
