"""Speech as E_avct of the mesh hears it: features that no recording level colours, and phoneme posteriors.

The 41 features of data/audio.py are brought to mean 0 and standard deviation 1 by running estimates over the
rows in which somebody speaks: what a microphone, a room or a voice does to all rows alike is gone after the
first second, and nothing that comes later is needed. Posteriors are those of hama's phoneme network
(Apache-2.0, CTC), which has heard many voices; it takes the whole sound.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from avct_jax.data import audio, phonemes

STEPS = 2  # posteriors in a frame, 20 ms each
# Longer sounds are heard in pieces of 30 s, 2 s around them, so that memory does not grow with the length.
PIECE, MARGIN = 750, 50  # frames
LEAST_LOG = -14.0  # log-posteriors below are as good as none
# Of hama's tokens those that are heard in English speech, most frequent first; the blank of CTC among them.
TOKENS = (
    "<blank>", "<wb>", "n", "s", "l", "i", "t", "ɹ", "ɪ", "eɪ", "ə", "p", "aɪ", "b", "ɛ", "w", "d", "k", "u",
    "z", "f", "g", "oʊ", "v", "h", "m", "æ", "ɔ", "ð", "e", "ŋ", "θ", "j", "ɑ", "o", "ɝ", "a", "d͡ʒ", "ʌ",
    "̪", "ʊ", "aʊ", "ɾ", "t͡ʃ", "͡", "ʃ", "r", "̞", "ɔɪ", "̯", "ʒ", "ĩ", "‿", "ɨ", "ɡ", "β",
)  # fmt: skip
LOUD = 30.0  # dB under the loudest of the last seconds: what is softer is no speech
PEAK_DECAY = 3.0  # dB/s by which the loudest is forgotten
DECIBELS = 10 / np.log(10)  # in a unit of natural logarithm of energy
ROWS_PER_SECOND = 100
SILENT_LEVEL = -20.0  # natural logarithm of a row's energy: nothing, whatever the rest of the sound is
MEMORY = 400  # active rows = 4 s, over which mean and standard deviation are remembered
PRIOR_ROWS = 50  # rows that the estimates begin with weigh as much as
CLIP = 5.0  # standard deviations
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


class Speech(NamedTuple):
    """A voice, one row a frame. posteriors: natural logarithms over TOKENS. audio: normalised features."""

    posteriors: Float[np.ndarray, "t 2 56"]
    audio: Float[np.ndarray, "t 4 41"]
    silent: Bool[np.ndarray, " t"]


def listen(wav: Float[np.ndarray, " m"]) -> Speech:
    """Hear a whole sound.

    Args:
      wav: 16 kHz mono, any scale.
    Raises:
      UserError: pyworld is missing.
    """
    frames = audio.frame_count(len(wav))
    rows = normalise(audio.audio_features(wav, f0="dio"))
    return Speech(
        posteriors(wav, frames), audio.frame_features(rows, frames=frames), audio.silent_frames(wav)
    )


def silence(frames: int) -> Speech:
    """What is heard where there is no sound."""
    logs = np.full((frames, STEPS, len(TOKENS)), LEAST_LOG, np.float32)
    logs[..., 0] = 0
    return Speech(
        logs, np.full((frames, audio.ROWS_PER_FRAME, audio.FEATURES), 0, np.float32), np.ones(frames, bool)
    )


def normalise(features: Float[np.ndarray, "rows 41"]) -> Float[np.ndarray, "rows 41"]:
    """Take level, running mean and standard deviation of the active rows off all rows; causal.

    Energies count against what was loudest lately, so that gain changes nothing from the first row on. The
    voiced flag becomes "active": at most 30 dB under that. Pitch is held in gaps and counts in octaves.
    """
    rows = features.astype(np.float64)
    peak = _peaks(rows[:, 0])
    active = (rows[:, 0] > peak - LOUD / DECIBELS) & (rows[:, 0] > SILENT_LEVEL)
    rows[:, [0, *range(13, 39)]] -= peak[:, None]
    rows[:, 39] = _held_octaves(rows[:, 39], rows[:, 40] > 0)
    mean, square, weight = PRIOR_MEAN.copy(), PRIOR_STD**2 + PRIOR_MEAN**2, float(PRIOR_ROWS)
    least = (0.3 * PRIOR_STD) ** 2
    out = np.empty_like(rows)
    for i, row in enumerate(rows):
        if active[i]:
            share = 1 / min(weight + 1, MEMORY)
            mean += share * (row - mean)
            square += share * (row**2 - square)
            weight += 1
        out[i] = (row - mean) / np.sqrt(np.maximum(square - mean**2, least))
    out[:, 40] = active
    return np.clip(out, -CLIP, CLIP).astype(np.float32)


def _peaks(energy):
    """Of each row, the loudest so far (natural logarithm of energy), forgotten slowly."""
    fall = PEAK_DECAY / DECIBELS / ROWS_PER_SECOND
    line = np.arange(len(energy)) * fall
    return np.maximum.accumulate(energy + line) - line


def _held_octaves(hertz, voiced):
    """Octaves over 100 Hz; in gaps the last pitch goes on."""
    last = np.maximum.accumulate(np.where(voiced, np.arange(len(hertz)), -1))
    known = np.where(last >= 0, hertz[np.maximum(last, 0)], 100.0)
    return np.log2(np.maximum(known, 50.0) / 100.0)


def posteriors(wav: Float[np.ndarray, " m"], frames: int) -> Float[np.ndarray, "t 2 56"]:
    """Return hama's log-posteriors of TOKENS every 20 ms."""
    centred = wav - wav.mean()
    scaled = (centred / max(1e-6, float(np.abs(centred).max()))).astype(np.float32)
    parts = []
    for first in range(0, frames, PIECE):
        begin, end = max(0, first - MARGIN), min(frames, first + PIECE + MARGIN)
        logs = _hear(scaled[begin * audio.FRAME_SAMPLES : end * audio.FRAME_SAMPLES])
        wanted = np.arange(first, min(frames, first + PIECE)) - begin
        index = np.minimum(STEPS * wanted[:, None] + np.arange(STEPS), len(logs) - 1)
        parts.append(np.maximum(logs[index], LEAST_LOG))
    return np.concatenate(parts).astype(np.float32)


def _hear(wav):
    """Log-posteriors of one piece, every 20 ms."""
    padded = np.pad(wav, (0, max(0, audio.FRAME_SAMPLES - len(wav))))[None]
    given = {"waveform": padded, "waveform_lengths": np.array([padded.shape[1]])}
    logs, _ = _network().session.run(["log_probs", "out_lengths"], given)
    return logs[0][:, _columns()]


def told(speech: Speech, labels: Int[np.ndarray, " t"], *, share: float = 0.5) -> Speech:
    """Raise the posteriors of phonemes that are known to be said.

    Args:
      labels: one of the 41 symbols' indices a frame. share: posterior that a known phoneme has at least.
    """
    logs = speech.posteriors.copy()
    for symbol, columns in _columns_of_symbols().items():
        here = labels == symbol
        logs[np.ix_(here, range(STEPS), columns)] = np.maximum(
            logs[np.ix_(here, range(STEPS), columns)], np.log(share / len(columns))
        )
    return speech._replace(posteriors=logs)


@functools.cache
def _network() -> Any:
    import hama

    return hama.ASRModel()


@functools.cache
def _columns() -> Int[np.ndarray, " 56"]:
    names = list(_network().decoder_tokens)
    return np.array([names.index(token) for token in TOKENS])


@functools.cache
def _columns_of_symbols() -> dict[int, list[int]]:
    """Which TOKENS each of the 41 symbols may be."""
    found: dict[int, list[int]] = {}
    for column, token in enumerate(TOKENS):
        spelled = [symbol for symbol in phonemes.ipa_to_arpabet(token) if symbol != "NSN"]
        if len(spelled) == 1:
            found.setdefault(phonemes.SYMBOLS.index(spelled[0]), []).append(column)
    found[phonemes.SIL] = [0]
    return found
