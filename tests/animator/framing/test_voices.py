"""Several sounds: heard alone, mixed for the video, with silence behind the shorter ones."""

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.animator.framing import voices
from avct_jax.data.media import video_io
from avct_jax.data.speech import audio_io, mesh_features, speaker
from tests import made_sounds


def test_lists_of_sounds_and_lists_of_samples_are_told_apart():
    sound = np.zeros(1000, np.float32)
    assert (
        voices.listed([0.0, 0.1]) is None and voices.listed(sound) is None and voices.listed("a.wav") is None
    )
    assert voices.listed(["a.wav", None]) == ["a.wav", None]
    assert len(voices.each([sound, None, "b.wav"])) == 2 and voices.each("a.wav") == ["a.wav"]
    np.testing.assert_array_equal(voices.taken([sound]), sound)
    with pytest.raises(errors.UserError, match="no sound is given"):
        voices.taken([None, None])


def test_sounds_are_added_at_their_own_rates_and_as_long_as_the_longest(tmp_path):
    tone = lambda hertz, rate, seconds: (
        0.3 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    )
    speaker.write_wav(
        str(tmp_path / "high.wav"), speaker.SpokenText(tone(9500, 44100, 1).astype(np.float32), 44100, [])
    )
    high = audio_io.read_heard(tmp_path / "high.wav").track
    mixed = voices.mixed([high, tone(440, 16000, 2).astype(np.float32)])
    assert mixed.rate == 48000 and len(mixed.samples) == pytest.approx(96000, abs=50)
    power = np.abs(np.fft.rfft(mixed.samples[:48000])) / 24000
    assert power[9500] == pytest.approx(0.3, abs=0.01), "not lost at 16 kHz"
    assert power[440] == pytest.approx(0.3, abs=0.01)
    assert np.abs(np.fft.rfft(mixed.samples[48000:]))[9500] < 10
    loud = voices.mixed([np.ones(16000, np.float32), np.ones(16000, np.float32)])
    assert np.abs(loud.samples).max() == pytest.approx(1, abs=1e-6), "never beyond full scale"


def test_mixed_sounds_are_written_into_a_video(tmp_path):
    mixed = voices.mixed([made_sounds.vowel(0.5), made_sounds.vowel(1.0, hertz=200)])
    with video_io.VideoWriter(tmp_path / "a.mp4", size=(32, 48), audio=mixed) as writer:
        writer.write(np.zeros((25, 32, 48, 3), np.uint8))
    back = audio_io.read_audio(tmp_path / "a.mp4", sample_rate=48000)[: len(mixed.samples)]
    assert np.corrcoef(back, mixed.samples[: len(back)])[0, 1] > 0.99


def test_silence_follows_a_voice_that_has_ended():
    speech = mesh_features.listen(made_sounds.vowel(0.5, seed=1)[:-100])
    longer = voices.extended(speech, 30)
    n = len(speech.silent)
    assert len(longer.silent) == 30 and longer.silent[n:].all() and len(longer.samples) == 30 * 640
    for one, other in zip(speech[1:], longer[1:], strict=True):
        np.testing.assert_array_equal(one, other[:n])
    np.testing.assert_array_equal(longer.posteriors[n:], mesh_features.silence(30 - n).posteriors)
    assert voices.extended(speech, n) is speech
