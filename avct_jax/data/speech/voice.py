"""A voice as the networks hear it: one `Speech`, made once of a recording or piece by piece as it arrives.

Where nobody speaks in a whole recording is decided here (`silent_frames`). Two questions are like it and not
the
same: which rows are speech while the audio arrives (streaming_features.py, its last column), and whether a
audio track holds anything at all (media/soundtrack.py, clips/make_clips.py). The level is taken off in
`speech_features.normalised`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from avct_jax.data.speech import speech_features

SILENCE_FLOOR = -60.0  # dB of full scale: below this nobody speaks, whatever the rest of the clip does
SILENCE_RUN = 3  # frames = 120 ms: shorter gaps are stop consonants, not pauses
LEAST_LOUDNESS = 1e-4  # of full scale
PIECE = 1500  # frames = 60 s that are measured at once


class Speech(NamedTuple):
    """A recording and what is heard in it, one row a frame of 40 ms.

    Attributes:
      samples: 16 kHz mono; the last frame may lack some.
      audio: features, of speech_features.py (PAPER) or streaming_features.py (LITE).
      silent: nobody speaks.
      loudness: natural logarithm of the amplitude, full scale = 1.
      posteriors: natural logarithms over mesh_features.TOKENS, every 20 ms; None where nobody asks (PAPER).
    """

    samples: Float[np.ndarray, " n"]
    audio: Float[np.ndarray, "t 4 columns"]
    silent: Bool[np.ndarray, " t"]
    loudness: Float[np.ndarray, " t"]
    posteriors: Float[np.ndarray, "t 2 s"] | None = None

    @property
    def seconds(self) -> float:
        """How long the audio is."""
        return len(self.samples) / speech_features.SAMPLE_RATE


def hear(
    wav: Float[np.ndarray, " n"],
    features: Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, "t 4 columns"]],
) -> Speech:
    """Hear a whole recording, once.

    Args:
      wav: 16 kHz mono, full scale = 1.
      features: `speech_features.features` or `streaming_features.features`.

    Raises:
      UserError: pyworld is missing.
    """
    return Speech(wav, features(wav), silent_frames(wav), loudness(wav))


def loudness(wav: Float[np.ndarray, " n"]) -> Float[np.ndarray, " t"]:
    """Return the natural logarithm of each frame's amplitude."""
    power = _by_frame(wav, lambda frames: (frames.astype(np.float64) ** 2).mean(1))
    return np.log(np.sqrt(power) + LEAST_LOUDNESS)


def silent_frames(wav: Float[np.ndarray, "n"]) -> Bool[np.ndarray, "t"]:
    """Frames in which nobody speaks, so that a mouth can be kept shut there.

    Only runs of at least 120 ms of frames that are quiet (`quiet_below`) count.
    """
    level = levels(wav)
    return _long_runs(level < quiet_below(level), SILENCE_RUN)


def levels(wav: Float[np.ndarray, "n"]) -> Float[np.ndarray, "t"]:
    """Return each frame's level, dB of full scale; an offset or a hum's drift is left out."""
    centred = lambda frames: frames - frames.mean(1, keepdims=True)
    power = _by_frame(wav, lambda frames: np.mean(centred(frames) ** 2, 1, dtype=np.float64))
    return 10 * np.log10(power + 1e-12)


def quiet_below(levels: Float[np.ndarray, "t"]) -> float:
    """Return the level, dB of full scale, below which a frame among these is quiet.

    It lies a quarter of the way from their background (10th percentile) to their speech (95th), held within
    25 to 45 dB under the speech; and at -60 dB at least.
    """
    ordered = np.sort(levels)
    background, speech = _quantile(ordered, 0.1), _quantile(ordered, 0.95)
    threshold = np.clip(background + 0.25 * (speech - background), speech - 45, speech - 25)
    return max(SILENCE_FLOOR, float(threshold))


def _quantile(ordered: Float[np.ndarray, "t"], share: float) -> float:
    """np.quantile of what is in order, the same bits in a quarter of the time; a stream asks often."""
    place = share * (len(ordered) - 1)
    low = int(place)
    part, (a, b) = place - low, ordered[[low, min(low + 1, len(ordered) - 1)]]
    return a + (b - a) * part if part < 0.5 else b - (b - a) * (1 - part)


def _long_runs(flags: Bool[np.ndarray, "t"], length: int) -> Bool[np.ndarray, "t"]:
    """Keep runs of True of at least `length`, and shorter ones only when they are everything."""
    if flags.all():
        return flags
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    kept = np.zeros_like(flags)
    for begin, end in edges.reshape(-1, 2):
        kept[begin:end] = end - begin >= length
    return kept


def _by_frame(wav: Float[np.ndarray, " n"], measure: Callable[[np.ndarray], Any]) -> Float[np.ndarray, " t"]:
    """Measure each frame's samples, zeros after the last; piece by piece, for hours of audio are long."""
    found = []
    for begin in range(0, max(len(wav), 1), PIECE * speech_features.FRAME_SAMPLES):
        piece = wav[begin : begin + PIECE * speech_features.FRAME_SAMPLES]
        frames = speech_features.frame_count(len(piece))
        padded = np.pad(piece, (0, frames * speech_features.FRAME_SAMPLES - len(piece)))
        found.append(measure(padded.reshape(frames, speech_features.FRAME_SAMPLES)))
    return np.concatenate(found)
