"""Speech features that no recording level colours."""

import numpy as np
import pytest

from avct_jax import demo
from avct_jax.data import audio, phonemes, speech_features


@pytest.fixture(scope="module")
def wav():
    with demo.sentence() as path:
        return audio.read_audio(path)[: 3 * audio.SAMPLE_RATE]


def features(wav):
    return speech_features.normalise(audio.audio_features(wav, f0="dio"))


def test_gain_changes_nothing(wav):
    assert np.abs(features(wav) - features(wav * 0.1)).mean() < 0.01


def test_features_are_causal(wav):
    """What comes later changes no row before it."""
    rows = audio.audio_features(wav, f0="dio")
    cut = len(rows) // 2
    whole = speech_features.normalise(rows)[:cut]
    np.testing.assert_array_equal(whole, speech_features.normalise(rows[:cut]))


def test_coloured_microphone_is_gone_after_a_second(wav):
    rows = audio.audio_features(wav, f0="dio")
    coloured, tilt = rows.copy(), np.linspace(-3, 3, 26)
    coloured[:, 13:39] += tilt
    a, b = speech_features.normalise(rows)[100:], speech_features.normalise(coloured)[100:]
    active = a[:, 40] > 0
    assert active.mean() > 0.3
    before = np.abs(tilt / speech_features.PRIOR_STD[13:39]).mean()
    assert np.abs(a[active, 13:39] - b[active, 13:39]).mean() < 0.35 * before


def test_listen_gives_one_row_a_frame(wav):
    speech = speech_features.listen(wav)
    count = audio.frame_count(len(wav))
    assert speech.posteriors.shape == (count, 2, len(speech_features.TOKENS))
    assert speech.audio.shape == (count, 4, 41) and speech.silent.shape == (count,)
    total = np.exp(speech.posteriors).sum(-1)
    assert total.max() < 1.001 and np.median(total) > 0.95  # TOKENS are nearly all that is heard


def test_told_phonemes_are_heard(wav):
    speech = speech_features.listen(wav)
    labels = np.full(len(speech.silent), phonemes.SYMBOLS.index("M"), np.int32)
    told = speech_features.told(speech, labels)
    column = speech_features.TOKENS.index("m")
    assert np.exp(told.posteriors[..., column]).min() >= 0.5 - 1e-6
    other = [i for i in range(len(speech_features.TOKENS)) if i != column]
    np.testing.assert_array_equal(told.posteriors[..., other], speech.posteriors[..., other])


@pytest.mark.parametrize("samples", [640, 700, 2000])
def test_shortest_and_silent_sounds_are_finite(samples):
    speech = speech_features.listen(np.zeros(samples, np.float32))
    assert all(np.isfinite(part).all() for part in speech)
    assert speech.silent.all() and np.exp(speech.posteriors[..., 0]).min() > 0.5


def test_long_sounds_are_heard_in_pieces_without_seams(wav, monkeypatch):
    frames = audio.frame_count(len(wav))
    whole = speech_features.posteriors(wav, frames)
    monkeypatch.setattr(speech_features, "PIECE", 30)
    monkeypatch.setattr(speech_features, "MARGIN", 25)
    pieces = speech_features.posteriors(wav, frames)
    assert whole.shape == pieces.shape
    assert (whole.argmax(-1) == pieces.argmax(-1)).mean() > 0.95
