"""Speech features that no recording level colours."""

import numpy as np
import pytest
from scipy import signal

from avct_jax import demo
from avct_jax.data.phonemes import symbols
from avct_jax.data.speech import audio_io, mel, mesh_features, speech_features, streaming_features


@pytest.fixture(scope="module")
def wav():
    with demo.sentence() as path:
        return audio_io.read_audio(path)[: 3 * speech_features.SAMPLE_RATE]


def test_gain_changes_nothing(wav):
    whole = streaming_features.features(wav)
    assert np.abs(whole - streaming_features.features(wav * 0.1)).mean() < 0.01


@pytest.mark.parametrize("most", [300, 5000])
def test_pieces_give_the_numbers_of_the_whole(wav, most):
    """And each frame is final 80 ms after its end."""
    rng, state, found, heard = np.random.default_rng(0), streaming_features.StreamingState(), [], 0
    while heard < len(wav):
        piece = wav[heard : heard + int(rng.integers(1, most))]
        heard += len(piece)
        state, frames = streaming_features.push(state, piece, last=heard == len(wav))
        found.append(frames)
        if heard < len(wav):
            final = max(0, (heard - streaming_features.AHEAD) // speech_features.FRAME_SAMPLES)
            assert sum(map(len, found)) == final
    np.testing.assert_array_equal(np.concatenate(found), streaming_features.features(wav))


def test_what_comes_later_changes_nothing_before_it(wav):
    cut = 40 * speech_features.FRAME_SAMPLES
    other = np.concatenate([wav[:cut], np.random.default_rng(0).normal(0, 0.3, 9600).astype(np.float32)])
    np.testing.assert_array_equal(
        streaming_features.features(wav)[:38], streaming_features.features(other)[:38]
    )


def test_rows_are_those_of_the_paper_before_they_are_normalised(wav):
    """MFCC and filter banks of data/speech/mel.py, level and running estimates taken off."""
    cepstra, energies = mel.mfcc_and_filterbank(wav)
    rows = np.concatenate([cepstra, energies], 1)[: 4 * 30]
    found = streaming_features.features(wav)[:30].reshape(-1, 41)[:, :39]
    for column in (1, 5, 20, 38):
        assert np.corrcoef(rows[60:, column], found[60:, column])[0, 1] > 0.8


def test_coloured_microphone_is_gone_after_a_second(wav):
    coloured = signal.lfilter([1.0, -0.7], [1.0], wav).astype(np.float32)  # 6 dB an octave or so
    a, b = (streaming_features.features(x)[25:].reshape(-1, 41) for x in (wav, coloured))
    rows, tilted = (mel.mfcc_and_filterbank(x)[1][100:] for x in (wav, coloured))
    active = (a[:, 40] > 0) & (b[:, 40] > 0)
    assert active.mean() > 0.3
    count = min(len(a), len(rows))
    before = (np.abs(rows - tilted)[:count] / streaming_features.PRIOR_STD[13:39])[active[:count]].mean()
    assert np.abs(a[active, 13:39] - b[active, 13:39]).mean() < 0.65 * before


def test_pitch_is_heard_in_octaves():
    t = np.arange(2 * speech_features.SAMPLE_RATE) / speech_features.SAMPLE_RATE
    octaves = []
    for hertz in (100.0, 200.0):
        wav = np.diff(np.floor(t * hertz), prepend=0).astype(np.float32)
        octaves.append(streaming_features.features(wav)[:4, :, streaming_features.PITCH].mean())
    assert octaves[1] - octaves[0] > 0.8


def test_listen_gives_one_row_a_frame(wav):
    speech = mesh_features.listen(wav)
    count = speech_features.frame_count(len(wav))
    assert speech.posteriors.shape == (count, 2, len(mesh_features.TOKENS))
    assert speech.audio.shape == (count, 4, 41) and speech.silent.shape == (count,)
    total = np.exp(speech.posteriors).sum(-1)
    assert total.max() < 1.001 and np.median(total) > 0.95  # TOKENS are nearly all that is heard


def test_told_phonemes_are_heard(wav):
    speech = mesh_features.listen(wav)
    labels = np.full(len(speech.silent), symbols.SYMBOLS.index("M"), np.int32)
    told = mesh_features.told(speech, labels)
    column = mesh_features.TOKENS.index("m")
    assert np.exp(told.posteriors[..., column]).min() >= 0.5 - 1e-6
    other = [i for i in range(len(mesh_features.TOKENS)) if i != column]
    np.testing.assert_array_equal(told.posteriors[..., other], speech.posteriors[..., other])


@pytest.mark.parametrize("samples", [640, 700, 2000])
def test_shortest_and_silent_sounds_are_finite(samples):
    speech = mesh_features.listen(np.zeros(samples, np.float32))
    assert all(np.isfinite(part).all() for part in speech)
    assert speech.silent.all() and np.exp(speech.posteriors[..., 0]).min() > 0.5


def test_long_sounds_are_heard_in_pieces_without_seams(wav, monkeypatch):
    frames = speech_features.frame_count(len(wav))
    whole = mesh_features.posteriors(wav, frames)
    monkeypatch.setattr(mesh_features, "PIECE", 30)
    monkeypatch.setattr(mesh_features, "MARGIN", 25)
    pieces = mesh_features.posteriors(wav, frames)
    assert whole.shape == pieces.shape
    assert (whole.argmax(-1) == pieces.argmax(-1)).mean() > 0.95
