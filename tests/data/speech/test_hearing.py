"""A reply as it arrives: the features of the whole, and silence as the whole has it."""

import numpy as np
import pytest

from avct_jax import demo
from avct_jax.data.speech import audio_io, hearing, streaming_features, voice


@pytest.fixture(scope="module")
def sound():
    with demo.sentence() as path:
        wav = audio_io.read_audio(path)[:40000]
    return np.round(np.concatenate([np.zeros(16000), wav, np.zeros(16000)]) * 32767).astype(np.int16)


@pytest.fixture(scope="module")
def whole(sound):
    return hearing.push(hearing.begin(), sound, last=True)[0]


def test_pieces_are_heard_as_the_whole(sound, whole):
    wav = sound.astype(np.float32) / 32768
    np.testing.assert_array_equal(whole.rows, streaming_features.features(wav))
    known, found = hearing.begin(), []
    for begin in range(0, len(sound), 5000):
        known, rows = hearing.push(known, sound[begin : begin + 5000], last=begin + 5000 >= len(sound))
        found.append(rows)
        known = hearing.forget(known, known.frames - 10)
        assert len(known.rows) <= 10
    np.testing.assert_array_equal(np.concatenate(found), whole.rows)
    np.testing.assert_allclose(known.levels, whole.levels[-len(known.levels) :])
    assert known.frames == whole.frames and known.ended


def test_stretch_is_zero_where_nothing_is_known(whole):
    rows = hearing.stretch(whole, -2, 8, 4)
    assert not rows[:2].any() and not rows[6:].any()
    np.testing.assert_array_equal(rows[2:6], whole.rows[:4])


def test_silence_is_that_of_the_whole_clip(sound, whole):
    expected = voice.silent_frames(sound.astype(np.float32) / 32768)
    found = hearing.silent(whole, 0, len(expected), whole.frames)
    assert 0.2 < expected.mean() < 0.8 and (found == expected).mean() > 0.95
    assert hearing.silent(whole, -4, 6, whole.frames).all()
    assert hearing.silent(whole, 30, 6, 30).all()


def test_silence_hangs_on_the_last_seconds_and_the_next_frames_only():
    """A murmur is speech until something loud is heard, 5 frames ahead, and again 5 s after it."""
    rng = np.random.default_rng(0)
    noise = lambda frames, height: rng.normal(0, height, frames * 640)
    sound = np.concatenate([noise(40, 300), noise(15, 8000), noise(200, 300)]).astype(np.int16)
    known = hearing.begin()._replace(ended=True, rows=np.zeros((255, 4, 41), np.float32))
    known = known._replace(levels=hearing._levels(sound.astype(np.float32) / 32768, 255))
    found = hearing.silent(known, 0, 255, 255)
    assert not found[:33].any() and found[60:150].all() and not found[185:].any()


def test_loudness_is_of_speech_alone(whole):
    found = hearing.loudness(whole.rows)
    assert not found[:20].any() and np.abs(found).max() <= 3 and found.std() > 0.3


def test_next_reply_is_heard_with_the_voice_known(whole):
    after = hearing.begin(whole)
    assert after.frames == 0 and after.stream.estimates.weight > 100 and len(after.levels)
    assert not after.stream.audio.any()
