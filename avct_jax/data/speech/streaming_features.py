"""Audio features as the audio arrives: no level, no colour and no whole clip; 80 ms are looked ahead.

The 41 columns of speech_features.py are brought to mean 0 and standard deviation 1 by running estimates over
the rows in which somebody speaks: what a microphone, a room or a voice does to all rows alike is gone after
the first second, and nothing that comes later is needed. Frames are worked on one by one, so that a recording
pushed in pieces of any length gives the numbers of the whole.
"""

import os
from collections.abc import Sequence
from concurrent import futures
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from avct_jax import speech_format
from avct_jax.data.speech import mel, speech_features

FRAME = speech_features.FRAME_SAMPLES  # samples = 40 ms
ROWS = speech_features.ROWS_PER_FRAME
THREADS = min(speech_features.F0_THREADS, os.cpu_count() or 1)  # WORLD lets go of the interpreter
BACK = 4 * FRAME  # samples = 160 ms that the pitch tracker hears before a frame
AHEAD = 2 * FRAME  # samples = 80 ms after a frame's end, without which it is not final
LOUD = 30.0  # dB under the loudest of the last seconds: what is softer is no speech
PEAK_DECAY = 3.0  # dB/s by which the loudest is forgotten
DECIBELS = 10 / np.log(10)  # in a unit of natural logarithm of energy
PEAK_FALL = PEAK_DECAY / DECIBELS / 100  # natural logarithm of energy, a row
SILENT_LEVEL = -30.0  # natural logarithm of a row's energy, below the noise of 16-bit audio: nothing
MEMORY = 400  # active rows = 4 s, over which mean and standard deviation are remembered
PRIOR_ROWS = 50  # rows that the estimates begin with weigh as much as
CLIP = 5.0  # standard deviations
LEAST_SPREAD = 0.3  # of the prior's standard deviation
BANKS = speech_format.FILTERBANK
LEVELS = [0, *range(BANKS.start, BANKS.stop)]  # columns that a recording's level shifts
PITCH, ACTIVE = speech_format.F0, speech_format.VOICED  # columns
# Of the active rows (69 429) of some 200 clips of 104 people: what the estimates begin with.
PRIOR_MEAN = np.array(
    [
        -2.53, -1.8, -3.49, 1.55, -8.66, -9.34, -7.46, -4.79, -2.26, -2.3, -3.65, -3.29, -4.0,
        -9.06, -7.96, -7.3, -7.14, -7.0, -6.84, -7.0, -7.33, -7.55, -7.66, -7.67, -7.47, -7.22,
        -7.2, -7.08, -6.89, -6.84, -6.91, -6.85, -6.87, -7.08, -7.26, -7.33, -7.46, -7.46, -7.65,
        0.44, 0.0,
    ]
)  # fmt: skip
PRIOR_STD = np.array(
    [
        1.85, 15.84, 15.21, 17.26, 16.14, 16.86, 15.46, 14.53, 14.13, 13.05, 12.15, 11.88, 11.21,
        2.61, 2.47, 2.53, 2.58, 2.65, 2.71, 2.74, 2.67, 2.61, 2.55, 2.51, 2.47, 2.46, 2.4, 2.37,
        2.4, 2.44, 2.44, 2.44, 2.46, 2.52, 2.55, 2.58, 2.61, 2.59, 2.57, 0.58, 1.0,
    ]
)  # fmt: skip


class Estimates(NamedTuple):
    """What is known of a voice and its recording.

    Attributes:
      peak: natural logarithm of the loudest row's energy, forgotten slowly.
      hertz: the last pitch.
      mean, square: of each column over active rows.
      weight: rows that they stand for.
    """

    peak: float = -np.inf
    hertz: float = 100.0
    mean: Float[np.ndarray, " columns"] = PRIOR_MEAN
    square: Float[np.ndarray, " columns"] = PRIOR_STD**2 + PRIOR_MEAN**2
    weight: float = PRIOR_ROWS


class StreamingState(NamedTuple):
    """What is remembered of a recording. audio: from BACK + 1 samples before the frame that comes next."""

    audio: Float[np.ndarray, " n"] = np.zeros(BACK + 1, np.float32)
    estimates: Estimates = Estimates()


def features(wav: Float[np.ndarray, " m"]) -> Float[np.ndarray, "t 4 columns"]:
    """Return the features of a whole recording: `audio.frame_count` frames.

    Args:
      wav: 16 kHz mono, full scale = 1.

    Raises:
      UserError: pyworld is missing.
    """
    return push(StreamingState(), wav, last=True)[1]


def push(
    state: StreamingState, wav: Float[np.ndarray, " m"], *, last: bool = False
) -> tuple[StreamingState, Float[np.ndarray, "t 4 columns"]]:
    """Hear more of a recording, and return the features of the frames that it makes final.

    Args:
      wav: of any length.
      last: nothing comes after it; all frames are final, a begun one too.
    """
    audio = np.append(state.audio, wav.astype(np.float32))
    if last:  # silence after the end; a recording without a sample is one frame (speech_features.frame_count)
        frames = -(-(len(audio) - BACK - 1) // FRAME)
        audio = np.pad(audio, (0, BACK + 1 + frames * FRAME + AHEAD - len(audio)))
    frames = max(0, (len(audio) - BACK - 1 - AHEAD) // FRAME)
    pieces = [audio[i * FRAME : (i + 1) * FRAME + BACK + 1 + AHEAD].astype(np.float64) for i in range(frames)]
    estimates, done = state.estimates, np.empty((frames, ROWS, speech_features.FEATURES), np.float32)
    peaks, spectra = _spectra(estimates.peak, pieces)
    pitches = _pitches(pieces, [bool(rows[:, -1].any()) for rows in spectra])
    for i, (rows, hertz) in enumerate(zip(spectra, pitches, strict=True)):
        rows = np.concatenate([rows[:, :-1], hertz[:, None], rows[:, -1:]], 1)
        estimates, done[i] = normalise(estimates._replace(peak=peaks[i][-1]), rows, peaks[i])
    return StreamingState(audio[frames * FRAME :], estimates), done


def _spectra(peak: float, pieces: Sequence[Float[np.ndarray, " n"]]):
    """Of each frame, BACK + 1 samples before it and AHEAD after it: the loudest lately, row by row; and
    MFCC, filter banks and whether somebody speaks.
    """
    length = (ROWS - 1) * mel.STEP + mel.WINDOW
    found, falls = [], PEAK_FALL * np.arange(ROWS)
    for piece in pieces:
        emphasised = piece[BACK + 1 :][:length] - mel.PRE_EMPHASIS * piece[BACK:][:length]
        windows = np.lib.stride_tricks.sliding_window_view(emphasised, mel.WINDOW)[:: mel.STEP]
        cepstra, energies = mel.measure(windows)
        energy = cepstra[:, 0]
        peaks = np.maximum.accumulate(np.append(peak - PEAK_FALL, energy + falls))[1:] - falls
        peak = peaks[-1]
        active = (energy > peaks - LOUD / DECIBELS) & (energy > SILENT_LEVEL)
        found.append((peaks, np.concatenate([cepstra, energies, active[:, None]], 1)))
    return [peaks for peaks, _ in found], [rows for _, rows in found]


def _pitches(pieces: Sequence[Float[np.ndarray, " n"]], speaks: Sequence[bool]):
    """F0 (Hz) of each frame's rows, 0 where nobody speaks; of several frames by a few threads."""
    wanted = [piece[1:] for piece, spoken in zip(pieces, speaks, strict=True) if spoken]
    if len(wanted) < 2:
        found = iter([pitch(piece) for piece in wanted])
    else:
        with futures.ThreadPoolExecutor(min(THREADS, len(wanted))) as pool:
            found = iter(list(pool.map(pitch, wanted)))
    return [next(found) if spoken else np.zeros(ROWS) for spoken in speaks]


def pitch(audio: Float[np.ndarray, " n"]) -> Float[np.ndarray, " 4"]:
    """F0 (Hz; 0 where there is none) of the one frame between BACK and AHEAD samples, by WORLD's DIO."""
    return speech_features.world_pitch(audio, "dio")[BACK // mel.STEP :][:ROWS]


def normalise(
    estimates: Estimates, rows: Float[np.ndarray, "r columns"], peaks: Float[np.ndarray, " r"]
) -> tuple[Estimates, Float[np.ndarray, "r columns"]]:
    """Take level, running mean and standard deviation of the active rows off all rows.

    Energies count against what was loudest lately, so that gain changes nothing from the first row on. Pitch
    counts in octaves over 100 Hz; in gaps the last one goes on.

    Args:
      rows: MFCC, filter banks, F0 (Hz) where voiced, and whether somebody speaks.
      peaks: the loudest lately.
    """
    hertz, weight = estimates.hertz, estimates.weight
    mean, square = estimates.mean.copy(), estimates.square.copy()
    least, out = (LEAST_SPREAD * PRIOR_STD) ** 2, np.empty_like(rows)
    for i, row in enumerate(rows):
        active = row[ACTIVE] > 0
        hertz = row[PITCH] if active and row[PITCH] > 0 else hertz
        row = row.copy()
        row[LEVELS] -= peaks[i]
        row[PITCH] = np.log2(max(hertz, 50.0) / 100.0)
        if active:
            share = 1 / min(weight + 1, MEMORY)
            mean += share * (row - mean)
            square += share * (row**2 - square)
            weight += 1
        out[i] = (row - mean) / np.sqrt(np.maximum(square - mean**2, least))
        out[i, ACTIVE] = active
    known = estimates._replace(hertz=hertz, mean=mean, square=square, weight=weight)
    return known, np.clip(out, -CLIP, CLIP)
