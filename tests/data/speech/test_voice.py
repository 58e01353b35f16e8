"""What is heard in a recording, once; and where nobody speaks."""

import numpy as np

from avct_jax.data.speech import mesh_features, streaming_features, voice
from tests import made_sounds


def test_silent_frames_finds_the_pause_but_no_gap_of_a_consonant():
    rng = np.random.default_rng(1)
    wav = rng.normal(0, 1e-4, 48000).astype(np.float32)
    for begin, end in ((10, 20), (22, 40)):  # frames; the gap 20..22 is 80 ms
        wav[begin * 640 : end * 640] += made_sounds.vowel((end - begin) * 0.04)
    expected = np.ones(75, bool)
    expected[10:40] = False
    np.testing.assert_array_equal(voice.silent_frames(wav), expected)


def test_silent_frames_hears_nothing_in_silence_and_all_of_steady_speech():
    assert voice.silent_frames(np.zeros(6400, np.float32)).all()
    assert not voice.silent_frames(made_sounds.vowel(0.4)).any()


def test_speech_has_a_row_a_frame():
    wav = np.concatenate([made_sounds.vowel(0.6), np.zeros(6400, np.float32)])[:15800]  # 25 frames, one begun
    speech = voice.hear(wav, streaming_features.features)
    assert {len(column) for column in (speech.audio, speech.silent, speech.loudness)} == {25}
    assert speech.seconds == 15800 / 16000 and speech.posteriors is None
    assert speech.silent[16:].all() and not speech.silent[:14].any()
    np.testing.assert_allclose(speech.loudness[:14], np.log(wav[:8960].std()), atol=0.05)
    np.testing.assert_allclose(speech.loudness[16:], np.log(1e-4))


def test_silence_is_what_is_heard_of_digital_silence():
    heard = voice.hear(np.zeros(3 * 640, np.float32), streaming_features.features)
    quiet = mesh_features.silence(3)
    for name in ("samples", "silent", "loudness"):
        np.testing.assert_array_equal(getattr(heard, name), getattr(quiet, name))
    assert quiet.audio.shape == heard.audio.shape and quiet.posteriors is not None


def test_frames_are_quiet_between_background_and_speech():
    threshold = lambda background, speech: voice.quiet_below(np.repeat([background, speech], 50))
    assert threshold(-60.0, -10.0) == -47.5  # a quarter of the way
    assert threshold(-30.0, -20.0) == -45  # 25 dB under the speech at least
    assert threshold(-90.0, -10.0) == -55  # and 45 dB at most
    assert threshold(-90.0, -70.0) == voice.SILENCE_FLOOR
    tone = 0.5 * np.sin(np.arange(6400) * 0.5).astype(np.float32) + np.float32(0.2)
    np.testing.assert_allclose(voice.levels(tone), 10 * np.log10(0.125), atol=0.1)
