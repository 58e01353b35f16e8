"""Other voices that say the same: pitch, tempo, vocal tract; and the lips that go with them."""

import numpy as np
from scipy import signal

from avct_jax.data.speech import speech_features, voice_conversion
from avct_jax.train.mesh_stages import speech_dataset


def buzz(seconds, hertz=120.0):
    """A voice of one pitch, with syllables."""
    t = np.arange(int(seconds * speech_features.SAMPLE_RATE)) / speech_features.SAMPLE_RATE
    pulses = np.diff(np.floor(t * hertz), prepend=0)
    made = signal.lfilter([1.0], [1.0, -1.2, 0.7], pulses) * (1.2 + np.sin(2 * np.pi * 3 * t)) / 10
    return (made + 1e-4 * np.random.default_rng(0).normal(size=len(t))).astype(np.float32)


def test_pitch_and_length_change_as_asked():
    wav = buzz(2.0)
    made = voice_conversion.revoice(wav, voice_conversion.VoiceChange(pitch=1.4, tempo=1.25))
    assert abs(len(made) * 1.25 / len(wav) - 1) < 0.02
    median = lambda x: np.median((f := speech_features.pitch(x, f0="dio"))[f > 0])
    assert abs(median(made) / median(wav) - 1.4) < 0.1


def test_formants_move():
    pulses = np.zeros(32000)
    pulses[::133] = 1  # 120 Hz
    resonance = np.exp(-0.06 + 2j * np.pi * 1500 / 16000)
    wav = signal.lfilter([1.0], np.poly([resonance, resonance.conj()]).real, pulses).astype(np.float32) / 5
    for factor in (0.89, 1.12):
        made = voice_conversion.revoice(wav, voice_conversion.VoiceChange(tract=factor))
        power = np.convolve(np.abs(np.fft.rfft(made)) ** 2, np.hanning(600), mode="same")
        peak = power.argmax() / len(power) * 8000
        assert abs(peak / 1500 / factor - 1) < 0.05


def test_voices_differ_and_keep_within_their_ranges():
    rng = np.random.default_rng(0)
    voices = np.array([voice_conversion.draw(rng) for _ in range(200)])
    assert (voices.min(0) >= [0.7, np.exp(-0.12), np.exp(-0.15)]).all()
    assert (voices.max(0) <= [1.5, np.exp(0.12), np.exp(0.15)]).all()
    assert (voices.std(0) > [0.15, 0.04, 0.05]).all()


def test_lips_of_another_tempo_are_those_of_the_same_moment():
    """A ramp says of each frame when it was: frame k of the copy lies at (k + 0.5) * tempo."""
    ramp = np.arange(50.0)[:, None] + 0.5
    for tempo in (0.86, 1.0, 1.16):
        place = speech_dataset.at_tempo(50, tempo)
        found = speech_dataset.between(ramp, place)[:, 0]
        expected = (np.arange(len(place)) + 0.5) * tempo
        np.testing.assert_allclose(found[2:-2], expected[2:-2], atol=1e-4)
        assert abs(len(place) * tempo - 50) <= 1.5
