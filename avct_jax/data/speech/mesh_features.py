"""Speech as E_avct of the mesh hears it: features that no recording level colours, and phoneme posteriors.

Features are those of streaming_features.py. Posteriors are those of hama's phoneme network (Apache-2.0, CTC),
which has heard many voices but takes the whole audio, or of a network that has learned from it.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from avct_jax import speech_format
from avct_jax.data.phonemes import ipa, symbols
from avct_jax.data.speech import speech_features, streaming_features, voice

STEPS = speech_format.STEPS
# Longer recordings are heard in pieces of 30 s, 2 s around them, so that memory does not grow with the
# length.
PIECE, MARGIN = 750, 50  # frames
LEAST_LOG = speech_format.LEAST_LOG
# Of hama's tokens those that are heard in English speech, most frequent first; the blank of CTC among them.
TOKENS = (
    "<blank>", "<wb>", "n", "s", "l", "i", "t", "ɹ", "ɪ", "eɪ", "ə", "p", "aɪ", "b", "ɛ", "w", "d", "k", "u",
    "z", "f", "g", "oʊ", "v", "h", "m", "æ", "ɔ", "ð", "e", "ŋ", "θ", "j", "ɑ", "o", "ɝ", "a", "d͡ʒ", "ʌ",
    "̪", "ʊ", "aʊ", "ɾ", "t͡ʃ", "͡", "ʃ", "r", "̞", "ɔɪ", "̯", "ʒ", "ĩ", "‿", "ɨ", "ɡ", "β",
)  # fmt: skip


Recogniser = Callable[[Float[np.ndarray, "t 4 columns"]], Float[np.ndarray, "t 2 56"]]


def listen(wav: Float[np.ndarray, " m"], recognise: Recogniser | None = None) -> voice.Speech:
    """Hear a whole recording.

    Args:
      wav: 16 kHz mono, any scale.
      recognise: makes log-posteriors of the features; by default hama's network hears the audio itself.

    Raises:
      UserError: pyworld is missing.
    """
    speech = voice.hear(wav, streaming_features.features)
    logs = recognise(speech.audio) if recognise else posteriors(wav, len(speech.audio))
    return speech._replace(posteriors=np.maximum(logs, LEAST_LOG))


def silence(frames: int) -> voice.Speech:
    """What is heard where there is no audio."""
    logs = np.full((frames, STEPS, len(TOKENS)), LEAST_LOG, np.float32)
    logs[..., speech_format.BLANK] = 0
    wav = np.zeros(frames * speech_features.FRAME_SAMPLES, np.float32)
    loudness = np.full(frames, np.log(voice.LEAST_LOUDNESS))
    rows = np.zeros((frames, speech_features.ROWS_PER_FRAME, speech_features.FEATURES), np.float32)
    return voice.Speech(wav, rows, np.ones(frames, bool), loudness, logs)


def posteriors(wav: Float[np.ndarray, " m"], frames: int) -> Float[np.ndarray, "t 2 56"]:
    """Return hama's log-posteriors of TOKENS every 20 ms."""
    scaled = speech_features.normalised(wav).astype(np.float32)
    parts = []
    for first in range(0, frames, PIECE):
        begin, end = max(0, first - MARGIN), min(frames, first + PIECE + MARGIN)
        logs = hear_piece(scaled[begin * speech_features.FRAME_SAMPLES : end * speech_features.FRAME_SAMPLES])
        wanted = np.arange(first, min(frames, first + PIECE)) - begin
        index = np.minimum(STEPS * wanted[:, None] + np.arange(STEPS), len(logs) - 1)
        parts.append(np.maximum(logs[index], LEAST_LOG))
    return np.concatenate(parts).astype(np.float32)


def hear_piece(wav: Float[np.ndarray, " m"]) -> Float[np.ndarray, "n 56"]:
    """Return hama's log-posteriors of TOKENS every 20 ms of one piece of audio, whose peak is 1."""
    padded = np.pad(wav, (0, max(0, speech_features.FRAME_SAMPLES - len(wav))))[None]
    given = {"waveform": padded, "waveform_lengths": np.array([padded.shape[1]])}
    logs, _ = _network().session.run(["log_probs", "out_lengths"], given)
    return logs[0][:, columns()]


def told(speech: voice.Speech, labels: Int[np.ndarray, " t"], *, share: float = 0.5) -> voice.Speech:
    """Raise the posteriors of phonemes that are known to be said.

    Args:
      labels: one of the 41 symbols' indices a frame.
      share: posterior that a known phoneme has at least.
    """
    assert speech.posteriors is not None
    logs = speech.posteriors.copy()
    for symbol, columns in columns_of_symbols().items():
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
def columns() -> Int[np.ndarray, " 56"]:
    """Which of hama's tokens TOKENS are."""
    names = list(_network().decoder_tokens)
    return np.array([names.index(token) for token in TOKENS])


@functools.cache
def columns_of_symbols() -> dict[int, list[int]]:
    """Which TOKENS each of the 41 symbols may be."""
    found: dict[int, list[int]] = {}
    for column, token in enumerate(TOKENS):
        spelled = [symbol for symbol in ipa.to_arpabet(token) if symbol != "NSN"]
        if len(spelled) == 1:
            found.setdefault(symbols.SYMBOLS.index(spelled[0]), []).append(column)
    found[symbols.SIL] = [0]
    return found
