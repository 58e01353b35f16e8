"""The same words by another voice: pitch, vocal tract and tempo changed by WORLD.

What recognises speech must not know its speakers, and there are never enough of them.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from avct_jax.data.speech import speech_features

PERIOD = 5.0  # ms between WORLD's frames


class VoiceChange(NamedTuple):
    """How a voice differs from the one it is made of.

    Attributes:
      pitch: factor on F0.
      tract: factor on all formants; 1.12 is a vocal tract an eighth shorter.
      tempo: factor on the speed of speech.
    """

    pitch: float = 1.0
    tract: float = 1.0
    tempo: float = 1.0


def draw(rng: np.random.Generator) -> VoiceChange:
    """Choose a voice: pitch 0.7 to 1.5, tract within 12%, tempo within 15%; high voices have short tracts."""
    pitch = float(np.exp(rng.uniform(np.log(0.7), np.log(1.5))))
    tract = float(np.exp(np.clip(0.15 * np.log(pitch) + rng.normal(0, 0.06), -0.12, 0.12)))
    return VoiceChange(pitch, tract, float(np.exp(rng.uniform(-0.15, 0.15))))


def revoice(wav: Float[np.ndarray, " n"], voice: VoiceChange) -> Float[np.ndarray, " m"]:
    """Say the same by another voice.

    Args:
      wav: 16 kHz mono.

    Returns:
      About n / tempo samples; something that was said at time s is now said at s / tempo.

    Raises:
      UserError: pyworld is missing.
    """
    world = speech_features.load_world()
    audio = np.ascontiguousarray(wav, np.float64)
    hertz, seconds = world.dio(audio, speech_features.SAMPLE_RATE, frame_period=PERIOD)
    hertz = world.stonemask(audio, hertz, seconds, speech_features.SAMPLE_RATE)
    envelope = world.cheaptrick(audio, hertz, seconds, speech_features.SAMPLE_RATE)
    noise = world.d4c(audio, hertz, seconds, speech_features.SAMPLE_RATE)
    envelope, noise = (_stretch_bands(x, voice.tract) for x in (envelope, noise))
    made = world.synthesize(
        hertz * voice.pitch, envelope, noise, speech_features.SAMPLE_RATE, PERIOD / voice.tempo
    )
    return made.astype(np.float32)


def _stretch_bands(rows: Float[np.ndarray, "t f"], factor: float) -> Float[np.ndarray, "t f"]:
    """Move what is at frequency f to f x factor; the highest band is repeated."""
    bands = rows.shape[1]
    place = np.minimum(np.arange(bands) / factor, bands - 1)
    low = np.minimum(place.astype(int), bands - 2)
    share = place - low
    return np.ascontiguousarray(rows[:, low] * (1 - share) + rows[:, low + 1] * share)
