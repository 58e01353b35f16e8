"""Finding the watermark of a video, wherever in the picture it is and however large.

The mark comes and goes with a wave of 7.7 Hz: the frames, less their neighbours, multiplied with that wave
and added up, leave of the picture only what happens at this frequency. It is evened, so that no place
outweighs others, and compared with the known pattern at every place and at many sizes. Where it fits best the
payload is read. A film is looked at in pieces; signs of pieces that have the mark at one place are added up.
"""

import contextlib
import functools
import math
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Complex, Float, UInt8
from scipy import fft, ndimage

from avct_jax import errors
from avct_jax.data.media import video_io
from avct_jax.marks import mark_pattern, mark_payload

SIDE = 320  # px: the longer side of frames that are looked at
PIECE, LONGEST = 8.0, 900.0  # s: looked at together, and of a film at most
FASTEST, SLOWED = 60.0, 50.0  # frames/s: of films above the first so many are looked at
NEAR, MOST_CHANGE, EDGE = 0.04, 2.0, 0.8  # s, levels and s: see `demodulated`
SMALLEST, LARGEST = 0.2, 1.7  # of the longer side: sizes of the square that are tried
STEP = 1.025  # from one size to the next: at most a fifth of a cell at the square's edge
HALVED = 0.4  # of the longer side: from this size on pictures of half the size are compared first
LEAST_SEEN = 0.4  # of the square, or of the picture
NEIGHBOURHOOD, FLOOR = 4.0, 1.0  # cells, and share of what is there on average that counts as little
ALIKE = 6  # sizes next to each other for which the same evened image does
# Peak over the mean power of everything that is compared: see docs/reference/watermark.md for the rates.
SURE, LIKELY = 42.0, 22.0
DECAY = 1.55  # by which both grow for each e-fold of looks: the tail of chance falls by e in so much


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
    signs: Float[np.ndarray, "1024"]
    size: tuple[int, int]
    seconds: float


def read(path: video_io.Path, *, key: str = mark_pattern.KEY) -> MarkReading:
    """Look for the mark of a video.

    Args:
      key: of the patterns; others than the usual one find nothing, which is how false alarms are counted.

    Raises:
      UserError: it cannot be read.
    """
    best, before = MarkReading(False, None, 0.0, None, 0.0), None
    for number, seen in enumerate(looks(path, key=key), 1):
        best = _better(best, judged(*seen, look_number=number))
        if before is not None and _agree(before.fit, seen.fit):
            seen = seen._replace(signs=before.signs + seen.signs)
            best = _better(best, judged(*seen, look_number=number))
        before = seen
        if best.payload:
            break
    return best


def _agree(one: "Fit", other: "Fit") -> bool:
    """Whether both are at the same place, to within half a cell."""
    near = 0.5 * one.side / mark_pattern.CELLS
    edges = [(fit.left, fit.top, fit.left + fit.side, fit.top + fit.side) for fit in (one, other)]
    return bool(np.abs(np.subtract(edges[0], edges[1])).max() <= near)


def looks(path: video_io.Path, *, key: str = mark_pattern.KEY) -> Iterator[MarkLook]:
    """Look at one piece of a video after the other: what `judged` takes.

    Raises:
      UserError: it cannot be read.
    """
    for image, seconds in images(path):
        yield MarkLook(*look(image, key), (image.shape[0], image.shape[1]), seconds)


def images(path: video_io.Path) -> Iterator[tuple[Complex[np.ndarray, "h w"], float]]:
    """Yield what happens at the wave's frequency in one piece of a video after the other.

    Yields:
      See `demodulated`; and the seconds of the video up to the piece's end.

    Raises:
      UserError: it cannot be read.
    """
    found = video_io.probe(path)
    if not found.has_video:
        raise errors.UserError(f"{os.fspath(path)!r} has no frames to look for a watermark in; give a film")
    rate, given = found.frame_rate or float(video_io.FRAME_RATE), None
    if rate > FASTEST:
        rate = given = SLOWED
    height, width = found.size
    scale = SIDE / max(height, width)
    size = max(16, round(height * scale)), max(16, round(width * scale))
    piece: list[np.ndarray] = []
    count = 0
    with contextlib.closing(video_io.read_frames(path, frame_rate=given, size=size)) as frames:
        for count, frame in enumerate(frames, 1):
            piece.append(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))
            if len(piece) >= PIECE * rate:
                yield demodulated(np.stack(piece), rate), count / rate
                piece = []
            if count >= LONGEST * rate:
                break
    if len(piece) >= rate or count == len(piece):
        yield demodulated(np.stack(piece), rate), count / rate


def demodulated(frames: UInt8[np.ndarray, "n h w"], frame_rate: float) -> Complex[np.ndarray, "h w"]:
    """Return what of each pixel happens at the wave's frequency.

    What differs from neighbours in time is taken, and at most MOST_CHANGE of it: motion outweighs no mark.
    """
    count, near = len(frames), max(1, round(NEAR * frame_rate))
    ramp = np.minimum(np.arange(count) + 0.5, np.arange(count)[::-1] + 0.5) / (EDGE * frame_rate)
    window = np.square(np.sin(np.pi / 2 * np.minimum(ramp, 1)))
    wave = window * np.exp(-2j * np.pi * mark_pattern.FREQUENCY / frame_rate * np.arange(count))
    wave -= window * wave.sum() / window.sum()
    image = np.empty(frames.shape[1:], np.complex64)
    for top in range(0, len(image), 32):  # rows: all at once would take a gigabyte
        part = frames[:, top : top + 32].astype(np.float32)
        part -= ndimage.uniform_filter1d(part, 2 * near + 1, axis=0, mode="mirror")
        flat = part.clip(-MOST_CHANGE, MOST_CHANGE).reshape(count, -1)
        real, imaginary = (np.float32(side) @ flat for side in (wave.real, wave.imag))
        image[top : top + 32] = (real + 1j * imaginary).reshape(part.shape[1:])
    return image


def look(
    image: Complex[np.ndarray, "h w"], key: str = mark_pattern.KEY
) -> tuple[Fit, Float[np.ndarray, "1024"]]:
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
    best = []
    for begin in range(0, count, ALIKE):
        near = sides[begin : begin + ALIKE]
        halved = near[0] >= HALVED * longer
        shown, factor = (half, 0.5) if halved else (image, 1.0)
        even = evened(shown, near[len(near) // 2] * factor / mark_pattern.CELLS)
        fits = _fits(even, [side * factor for side in near], key)
        best += [fit._replace(side=side) for fit, side in zip(fits, near, strict=True)]
    return max(best)


def _finer(image, fit: Fit, key) -> Fit:
    even = evened(image, fit.side / mark_pattern.CELLS)
    return max(_fits(even, [fit.side * STEP ** (i / 4) for i in range(-3, 4)], key))


def _fits(even: np.ndarray, sides: list[float], key: str) -> list[Fit]:
    """Where the pattern fits best at each of some sizes."""
    shape = tuple(int(fft.next_fast_len(n + round(max(sides))) or 0) for n in even.shape)
    transformed: Any = fft.fft2(even, shape)
    return [_fit(transformed, even.shape, side, key) for side in sides]


def _fit(transformed: Any, size: tuple[int, ...], side: float, key: str) -> Fit:
    whole, shape = round(side), transformed.shape
    fits: Any = fft.ifft2(transformed * _template(whole, key, shape), overwrite_x=True)
    seen = np.outer(*(_overlaps(n, whole, full) for n, full in zip(size, shape, strict=True)))
    level = (np.square(fits.real) + np.square(fits.imag)) / np.maximum(seen, 1)
    allowed = seen > LEAST_SEEN * min(whole**2, math.prod(size))
    level *= allowed
    place = np.unravel_index(level.argmax(), level.shape)
    mean = level.sum(dtype=float) / max(1, np.count_nonzero(allowed))
    top, left = (p if p < n else p - full for p, n, full in zip(place, size, shape, strict=True))
    score = float(level[place] / mean) if mean > 0 else 0.0
    return Fit(score, float(whole), float(top), float(left), complex(np.exp(-1j * np.angle(fits[place]))))


def evened(image: Complex[np.ndarray, "h w"], cell: float) -> Complex[np.ndarray, "h w"]:
    """Leave no more than cells' detail, and of it hardly more than the phase: no place outweighs others."""
    planes = [np.asarray(x, np.float32) for x in (np.real(image), np.imag(image))]
    coarse, fine = cell * NEIGHBOURHOOD, max(cell / 4, 0.3)
    planes = [cv2.GaussianBlur(x, (0, 0), fine) - cv2.GaussianBlur(x, (0, 0), coarse) for x in planes]
    power = planes[0] ** 2 + planes[1] ** 2
    near = np.sqrt(cv2.GaussianBlur(power, (0, 0), coarse))
    return ((planes[0] + 1j * planes[1]) / (np.sqrt(power) + FLOOR * near + 1e-6)).astype(np.complex64)


def _overlaps(length: int, side: int, full: int) -> np.ndarray:
    """How many px of `side` that begin at each place, modulo `full`, lie within `length`."""
    begin = np.arange(full)
    begin = np.where(begin < length, begin, begin - full)
    return np.clip(np.minimum(begin + side, length) - np.maximum(begin, 0), 0, None).astype(np.float32)


@functools.lru_cache(maxsize=100)  # all sizes: 60 MB
def _template(side: int, key: str, shape: tuple[int, int]) -> np.ndarray:
    drawn = mark_pattern.drawn(mark_pattern.known(key), (side, side)).astype(np.float32)
    return np.conj(np.asarray(fft.fft2(drawn, shape)))


def signs_at(image: Complex[np.ndarray, "h w"], fit: Fit, key: str) -> Float[np.ndarray, "1024"]:
    """Read the soft signs of the code at a place; cells that are not seen are nothing."""
    even = evened(image, fit.side / mark_pattern.CELLS) * fit.turn
    return -mark_pattern.gathered(_cells(even.imag, fit), key)


def _cells(plane: np.ndarray, fit: Fit) -> Float[np.ndarray, "c c"]:
    """What is at the middle of each cell."""
    count = mark_pattern.CELLS
    at = (np.arange(count) + 0.5) * fit.side / count - 0.5
    x, y = (grid.astype(np.float32) for grid in np.meshgrid(at + fit.left, at + fit.top))
    blurred = cv2.GaussianBlur(plane.astype(np.float32), (0, 0), fit.side / count / 4)
    return cv2.remap(blurred, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def judged(
    fit: Fit,
    signs: Float[np.ndarray, "1024"],
    size: tuple[int, int],
    seconds: float,
    *,
    look_number: int = 1,
) -> MarkReading:
    """Say what was found.

    Args:
      look_number: of the piece in its film: the later, the more is asked, lest long films alarm more often.
      size: height and width of what was looked at, px.
      seconds: of the video that were looked at.
    """
    more = DECAY * math.log(look_number)
    payload = mark_payload.decode(signs) if fit.score >= LIKELY + more else None
    height, width = size
    box = (fit.left / width, fit.top / height, (fit.left + fit.side) / width, (fit.top + fit.side) / height)
    found = payload is not None or fit.score >= SURE + more
    return MarkReading(found, payload, fit.score, box if found else None, seconds)


def _better(before: MarkReading, now: MarkReading) -> MarkReading:
    told = lambda reading: (reading.payload is not None, reading.found, reading.score)
    return max(before, now, key=told)._replace(seconds=now.seconds)
