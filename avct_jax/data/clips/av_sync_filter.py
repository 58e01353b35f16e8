"""Whether the lips of a clip follow its audio, and by how many frames they come late.

A linear map from 7 frames of audio to the opening of the lips is fitted to all clips, and each clip is judged
by the fit to the others: what it predicts from the clip's audio is shifted against what the lips do. Where
they agree best is the offset; where they agree nowhere, the audio is not of these lips (music, dubbing).

Measured on 562 clips of 3 s of a speaker, in sync by recording: 99% pass; with the audio shifted by 3 to 12
frames 97% are found within 1.6 frames, and 1% pass from 5 frames on (a sixth at 3). Of 100 clips of
many people half pass, with the audio of another of them 5%: strict rather than lenient.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from avct_jax import speech_format

RADIUS = 3  # frames of audio on each side
FEATURES = speech_format.F0  # MFCC and filter bank, mean of a frame's four rows
MOST = 15  # frames of shift that are tried
FOLDS = 5
RIDGE = 0.1  # of the mean variance of a column
FEWEST_FRAMES = 6000  # of audio, 4 min, that a fit is trusted from
PERSON_FRAMES = 15000  # of one person, 10 min, are fitted to; others must have a say
LATEST = 2.0  # frames off that are still in sync
AGREEMENT = 0.35  # least correlation at the best shift
PEAK = 0.1  # by which the best correlation exceeds the median over all shifts
FARTHER = 0.05  # by which a shift out of sync must agree better than any in sync: most videos are
PASSING = 25  # frames = 1 s: what changes more slowly is the pose of a head, a smile, the level of a voice


class SyncEstimate(NamedTuple):
    """
    Attributes:
      offset: frames by which the lips come after the audio.
      agreement: correlation there.
    """

    offset: float
    agreement: float
    in_sync: bool


class SyncSample(NamedTuple):
    """A clip with audio: MFCC and filter bank, and the opening of the lips."""

    audio: Float[np.ndarray, "t 4 f"]
    opening: Float[np.ndarray, " t"]


def estimate(
    names: Sequence[str], persons: Sequence[str], read: Callable[[str], SyncSample]
) -> dict[str, SyncEstimate] | None:
    """Judge clips with audio; None where there are too few to judge by.

    Each clip is read twice; memory does not grow with their number.
    """
    lengths: dict[str, int] = {}
    folds = [_Sums() for _ in range(FOLDS)]
    frames_of: dict[str, int] = {}
    for name, person in zip(names, persons, strict=True):
        columns, opening = _columns(read(name))
        lengths[name] = len(opening)
        before = frames_of.get(person, 0)
        frames_of[person] = before + len(opening)
        if before < PERSON_FRAMES:
            folds[_fold(name)].add(columns, opening)
    if sum(lengths.values()) < FEWEST_FRAMES:
        return None
    weights = [_fit([f for i, f in enumerate(folds) if i != left_out]) for left_out in range(FOLDS)]
    judged = {}
    for name in names:
        columns, opening = _columns(read(name))
        judged[name] = compare(columns @ weights[_fold(name)], opening)
    return judged


def compare(predicted: Float[np.ndarray, " t"], opening: Float[np.ndarray, " t"]) -> SyncEstimate:
    """Shift a predicted opening of the lips against the real one."""
    curve = correlations(_quick(predicted), _quick(opening))
    most = len(curve) // 2
    best = int(np.argmax(curve))
    near = curve[max(0, most - int(LATEST)) : most + int(LATEST) + 1]
    if curve[best] - near.max() < FARTHER:
        best = max(0, most - int(LATEST)) + int(np.argmax(near))
    place = best + _top(curve, best) - most
    agreement = float(curve[best])
    clear = agreement >= AGREEMENT and agreement - float(np.median(curve)) >= PEAK
    return SyncEstimate(float(place), agreement, bool(clear and abs(place) <= LATEST))


def correlations(
    predicted: Float[np.ndarray, " t"], opening: Float[np.ndarray, " t"]
) -> Float[np.ndarray, " s"]:
    """Their correlation with the lips late by -15 to 15 frames; fewer in clips below 45 frames.

    Over the whole clip's spread, so that a few frames at its ends, which agree by chance, count little.
    """
    most = min(MOST, len(opening) // 3)
    p, o = (x - x.mean() for x in (predicted, opening))
    scale = np.sqrt((p**2).sum() * (o**2).sum()) + 1e-12
    whole = np.correlate(o, p, mode="full") / scale  # whole[t - 1 + s] = sum of o[i + s] p[i]
    middle = len(opening) - 1
    return whole[middle - most : middle + most + 1]


def _top(curve: Float[np.ndarray, " s"], best: int) -> float:
    """Where between its neighbours the parabola through a maximum is highest."""
    if best in (0, len(curve) - 1):
        return 0.0
    left, middle, right = curve[best - 1 : best + 2]
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < 0 else 0.0


def _columns(sample: SyncSample) -> tuple[Float[np.ndarray, "t c"], Float[np.ndarray, " t"]]:
    """The audio around each frame, and the opening, both without the clip's mean and spread."""
    audio = sample.audio.astype(np.float64).mean(1)
    audio = (audio - audio.mean(0)) / np.maximum(audio.std(0), 1e-3)
    padded = np.pad(audio, ((RADIUS, RADIUS), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * RADIUS + 1, axis=0)
    opening = _quick(sample.opening.astype(np.float64))
    opening = (opening - opening.mean()) / max(float(opening.std()), 1e-4)
    return windows.reshape(len(audio), -1), opening


def _quick(values: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """Without the mean of the second around each frame."""
    width = min(PASSING, 2 * (len(values) // 2) - 1)
    padded = np.pad(values, width // 2, mode="edge")
    return values - np.convolve(padded, np.full(width, 1 / width), mode="valid")


class _Sums:
    """What a ridge regression needs to know of its data."""

    def __init__(self):
        size = FEATURES * (2 * RADIUS + 1)
        self.gram, self.cross = np.zeros((size, size)), np.zeros(size)
        self.frames = 0

    def add(self, columns: Float[np.ndarray, "t c"], opening: Float[np.ndarray, " t"]) -> None:
        self.gram += columns.T @ columns
        self.cross += columns.T @ opening
        self.frames += len(opening)


def _fit(parts: Sequence[_Sums]) -> Float[np.ndarray, " c"]:
    gram = np.sum([part.gram for part in parts], axis=0)
    cross = np.sum([part.cross for part in parts], axis=0)
    ridge = RIDGE * np.trace(gram) / len(gram) + 1e-9
    return np.linalg.solve(gram + ridge * np.eye(len(gram)), cross)


def _fold(name: str) -> int:
    return int(hashlib.md5(name.encode(errors="surrogateescape")).hexdigest(), 16) // 1000 % FOLDS
