"""The 41 features, and the mel images."""

import pathlib
import subprocess
import sys
import threading
import time
import types
from concurrent import futures

import numpy as np
import pytest

from avct_jax.data.speech import mel, speech_features
from tests import made_sounds

GOLDENS = np.load(pathlib.Path(__file__).parents[2] / "goldens" / "inference.npz")


def test_audio_features_equal_the_reference():
    features = speech_features.audio_features(GOLDENS["wav"].astype(np.float32) / 32768)
    expected = GOLDENS["audio_features"]
    assert features.shape == expected.shape
    error = np.abs(features - expected).max(0) / np.abs(expected).max(0)
    assert error.max() < 1e-5


def test_audio_features_do_not_depend_on_loudness_or_offset():
    wav = made_sounds.vowel(0.5)
    quiet = speech_features.audio_features(0.01 * wav + np.float32(0.1))
    np.testing.assert_allclose(quiet[:, :39], speech_features.audio_features(wav)[:, :39], atol=0.05)


def test_normalised_takes_off_level_and_offset_but_leaves_silence():
    wav = made_sounds.vowel(0.5)
    found = speech_features.normalised(0.01 * wav + np.float32(0.1))
    assert found.dtype == np.float32 and np.abs(found).max() == 1 and abs(found.mean()) < 1e-4
    np.testing.assert_allclose(found, speech_features.normalised(wav), atol=1e-4)
    assert not speech_features.normalised(np.full(640, 0.25, np.float32)).any()


def test_features_are_dealt_out_to_the_sounds_frames():
    wav = made_sounds.vowel(0.5)[:7000]  # 11 frames, the last one begun
    found = speech_features.features(wav, f0="dio")
    np.testing.assert_array_equal(
        found[:10].reshape(-1, 41), speech_features.audio_features(wav, f0="dio")[:40]
    )
    assert found.shape == (11, 4, 41) and len(speech_features.features(wav, f0="dio", frames=13)) == 13
    assert speech_features.silence().shape == (4, 41) and not speech_features.silence()[:, 39:].any()


def test_audio_features_of_silence_are_finite_and_unvoiced():
    features = speech_features.audio_features(np.zeros(16000, np.float32))
    assert features.shape == (99, 41)
    assert np.isfinite(features).all()
    assert not features[:, 39:].any()


@pytest.mark.parametrize("f0", ["harvest", "dio"])
def test_audio_features_hear_the_pitch(f0):
    features = speech_features.audio_features(made_sounds.vowel(1.0, hertz=150), f0=f0)
    assert abs(np.median(features[:, 39]) - 150) < 2
    assert features[10:-10, 40].all()


@pytest.mark.parametrize("samples", [640, 641, 799, 1280, 16001])
def test_frame_features_cover_the_whole_audio(samples):
    frames = speech_features.frame_count(samples)
    blocks = speech_features.frame_features(
        speech_features.audio_features(made_sounds.vowel(2)[:samples]), frames=frames
    )
    assert blocks.shape == (frames, 4, 41)
    assert (frames - 1) * 640 < samples <= frames * 640


def test_frame_features_repeat_the_last_row():
    rows = np.arange(5 * 41, dtype=np.float32).reshape(5, 41)
    blocks = speech_features.frame_features(rows)
    np.testing.assert_array_equal(blocks[0], rows[:4])
    np.testing.assert_array_equal(blocks[1], rows[[4, 4, 4, 4]])


def test_interpolate_unvoiced_leaves_no_zero_and_extends_the_ends():
    curve = np.array([0, 0, 100, 0, 0, 130, 0], float)
    np.testing.assert_allclose(
        speech_features.interpolate_unvoiced(curve), [100, 100, 100, 110, 120, 130, 130]
    )


def test_pitch_in_chunks_equals_pitch_of_the_whole(monkeypatch):
    wav = np.concatenate(
        [made_sounds.vowel(1.5), np.zeros(4000, np.float32), made_sounds.vowel(1.5, hertz=180)]
    )
    whole = speech_features.pitch(wav)
    monkeypatch.setattr(speech_features, "F0_WHOLE", 100)
    monkeypatch.setattr(speech_features, "F0_CHUNK", 130)
    chunked = speech_features.pitch(wav)
    assert chunked.shape == whole.shape
    assert ((chunked > 0) == (whole > 0)).mean() > 0.99
    both = (chunked > 0) & (whole > 0)
    np.testing.assert_allclose(chunked[both], whole[both], rtol=0.02)


def test_world_is_loaded_once(monkeypatch):
    """A second time it may refuse, and a stream's first frames are heard by several threads."""
    meet, found = threading.Barrier(4), []

    def read():
        time.sleep(0.05)
        found.append(types.ModuleType("world"))
        return found[-1]

    monkeypatch.setattr(speech_features, "_read_world", read)
    monkeypatch.delitem(sys.modules, speech_features.WORLD, raising=False)
    with futures.ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: (meet.wait(), speech_features.load_world())[1], range(4)))
    assert len(found) == 1 and all(world is found[0] for world in loaded)
    monkeypatch.delitem(sys.modules, speech_features.WORLD)


def test_world_is_that_which_somebody_imported():
    code = (
        "import sys, pyworld; from avct_jax.data.speech import speech_features as f; "
        "assert f.load_world() is sys.modules['pyworld.pyworld']"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_filterbank_in_blocks_equals_the_whole(monkeypatch):
    wav = made_sounds.vowel(1.0)
    whole = np.concatenate(mel.mfcc_and_filterbank(wav), 1)
    monkeypatch.setattr(mel, "BLOCK_ROWS", 7)
    np.testing.assert_allclose(np.concatenate(mel.mfcc_and_filterbank(wav), 1), whole, atol=1e-9)


def test_syncnet_mfcc_hears_integers():
    integers = GOLDENS["wav"]
    cepstra = mel.syncnet_mfcc(integers)
    scaled = mel.mfcc_and_filterbank(integers / 32768)[0]
    np.testing.assert_allclose(cepstra[:, 1:], scaled[:, 1:], atol=1e-6)  # loudness is in the energy alone
    np.testing.assert_allclose(cepstra[:, 0] - scaled[:, 0], 2 * np.log(32768), atol=1e-6)


def test_mel_filters_are_slaneys():
    filters = mel.slaney_filters()
    peaks = [(int(filters[i].argmax()), float(filters[i].max())) for i in (0, 20, 40, 60, 79)]
    # librosa 0.11: filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    expected = [(5, 0.0208124), (40, 0.0201814), (86, 0.0143432), (181, 0.0073938), (366, 0.0036353)]
    assert [p[0] for p in peaks] == [e[0] for e in expected]
    np.testing.assert_allclose([p[1] for p in peaks], [e[1] for e in expected], rtol=1e-4)
    assert filters.sum() == pytest.approx(3.9994979, rel=1e-6)


def test_mel_spectrogram_spans_wav2lips_range():
    loud = mel.mel_spectrogram(made_sounds.vowel(1.0))
    assert loud.shape == (80, 81)
    assert loud.dtype == np.float32
    assert -4 <= loud.min() < loud.max() <= 4
    assert (mel.mel_spectrogram(np.zeros(1000, np.float32)) == -4).all()


def test_mel_spectrogram_in_blocks_equals_the_whole(monkeypatch):
    wav = made_sounds.vowel(0.7)
    whole = mel.mel_spectrogram(wav)
    monkeypatch.setattr(mel, "BLOCK_ROWS", 10)
    np.testing.assert_array_equal(mel.mel_spectrogram(wav), whole)
