"""Sound files, the 41 features, the mel images, and silence."""

import pathlib
import subprocess
import wave

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.media import soundtrack
from avct_jax.data.speech import mel, speech_features

GOLDENS = np.load(pathlib.Path(__file__).parents[2] / "goldens" / "inference.npz")


def voice(seconds: float, *, hertz: float = 120.0, seed: int = 0) -> np.ndarray:
    """A buzzing vowel with a little noise, 16 kHz: speech enough for pitch and energy."""
    time = np.arange(round(seconds * 16000)) / 16000
    buzz = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 12))
    return (0.2 * buzz + np.random.default_rng(seed).normal(0, 0.002, len(time))).astype(np.float32)


def write_wav(path: pathlib.Path, wav: np.ndarray, *, rate: int = 16000) -> pathlib.Path:
    samples = np.round(wav * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if wav.ndim == 1 else wav.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def test_audio_features_equal_the_reference():
    features = speech_features.audio_features(GOLDENS["wav"].astype(np.float32) / 32768)
    expected = GOLDENS["audio_features"]
    assert features.shape == expected.shape
    error = np.abs(features - expected).max(0) / np.abs(expected).max(0)
    assert error.max() < 1e-5


def test_audio_features_do_not_depend_on_loudness_or_offset():
    wav = voice(0.5)
    quiet = speech_features.audio_features(0.01 * wav + np.float32(0.1))
    np.testing.assert_allclose(quiet[:, :39], speech_features.audio_features(wav)[:, :39], atol=0.05)


def test_audio_features_of_silence_are_finite_and_unvoiced():
    features = speech_features.audio_features(np.zeros(16000, np.float32))
    assert features.shape == (99, 41)
    assert np.isfinite(features).all()
    assert not features[:, 39:].any()


@pytest.mark.parametrize("f0", ["harvest", "dio"])
def test_audio_features_hear_the_pitch(f0):
    features = speech_features.audio_features(voice(1.0, hertz=150), f0=f0)
    assert abs(np.median(features[:, 39]) - 150) < 2
    assert features[10:-10, 40].all()


@pytest.mark.parametrize("samples", [640, 641, 799, 1280, 16001])
def test_frame_features_cover_the_whole_audio(samples):
    frames = speech_features.frame_count(samples)
    blocks = speech_features.frame_features(speech_features.audio_features(voice(2)[:samples]), frames=frames)
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
    wav = np.concatenate([voice(1.5), np.zeros(4000, np.float32), voice(1.5, hertz=180)])
    whole = speech_features.pitch(wav)
    monkeypatch.setattr(speech_features, "F0_WHOLE", 100)
    monkeypatch.setattr(speech_features, "F0_CHUNK", 130)
    chunked = speech_features.pitch(wav)
    assert chunked.shape == whole.shape
    assert ((chunked > 0) == (whole > 0)).mean() > 0.99
    both = (chunked > 0) & (whole > 0)
    np.testing.assert_allclose(chunked[both], whole[both], rtol=0.02)


def test_filterbank_in_blocks_equals_the_whole(monkeypatch):
    wav = voice(1.0)
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
    loud = mel.mel_spectrogram(voice(1.0))
    assert loud.shape == (80, 81)
    assert loud.dtype == np.float32
    assert -4 <= loud.min() < loud.max() <= 4
    assert (mel.mel_spectrogram(np.zeros(1000, np.float32)) == -4).all()


def test_mel_spectrogram_in_blocks_equals_the_whole(monkeypatch):
    wav = voice(0.7)
    whole = mel.mel_spectrogram(wav)
    monkeypatch.setattr(mel, "BLOCK_ROWS", 10)
    np.testing.assert_array_equal(mel.mel_spectrogram(wav), whole)


def test_silent_frames_finds_the_pause_but_no_gap_of_a_consonant():
    rng = np.random.default_rng(1)
    wav = rng.normal(0, 1e-4, 48000).astype(np.float32)
    for begin, end in ((10, 20), (22, 40)):  # frames; the gap 20..22 is 80 ms
        wav[begin * 640 : end * 640] += voice((end - begin) * 0.04)
    expected = np.ones(75, bool)
    expected[10:40] = False
    np.testing.assert_array_equal(speech_features.silent_frames(wav), expected)


def test_silent_frames_hears_nothing_in_silence_and_all_of_steady_speech():
    assert speech_features.silent_frames(np.zeros(6400, np.float32)).all()
    assert not speech_features.silent_frames(voice(0.4)).any()


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 96000])
def test_read_audio_resamples_and_keeps_the_pitch(tmp_path, rate):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    wav = speech_features.read_audio(write_wav(tmp_path / "tone.wav", tone, rate=rate))
    assert abs(len(wav) - 16000) <= 2
    assert wav.dtype == np.float32
    assert np.argmax(np.abs(np.fft.rfft(wav, 16000))) == 440
    assert abs(np.abs(wav[1000:-1000]).max() - 0.5) < 0.01


def test_read_audio_averages_channels(tmp_path):
    both = np.stack([np.full(8000, 0.5), np.full(8000, 0.25)], 1)
    wav = speech_features.read_audio(write_wav(tmp_path / "two.wav", both))
    np.testing.assert_allclose(wav, 0.375, atol=1e-3)


@pytest.mark.parametrize("name", ["-y.wav", "a:b|c.wav", "$(x) 'q' ü 音.wav", "%03d.wav"])
def test_read_audio_takes_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / name, voice(0.1))
    assert len(speech_features.read_audio(name)) == 1600


def test_read_audio_takes_the_audio_of_a_video(tmp_path):
    video = tmp_path / "clip.mp4"
    inputs = ["-f", "lavfi", "-i", "testsrc=d=0.4:s=64x64", "-f", "lavfi", "-i", "sine=300:d=0.4"]
    subprocess.run([speech_features.ffmpeg(), "-v", "error", *inputs, str(video)], check=True)
    assert abs(len(speech_features.read_audio(video)) - 6400) < 1100  # AAC pads to whole packets


def test_read_audio_refuses_a_video_without_audio(tmp_path):
    video = tmp_path / "mute.mp4"
    source = ["-f", "lavfi", "-i", "testsrc=d=0.2:s=64x64"]
    subprocess.run([speech_features.ffmpeg(), "-v", "error", *source, str(video)], check=True)
    with pytest.raises(errors.UserError, match="no sound track"):
        speech_features.read_audio(video)


def test_read_audio_refuses_what_is_no_audio_in_one_line(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "junk.wav").write_bytes(np.random.default_rng(0).bytes(3000))
    write_wav(tmp_path / "short.wav", voice(0.039))
    write_wav(tmp_path / "header.wav", voice(0))
    expected = {
        "header.wav": "there is no sound in it",
        "/dev/zero": "a device or a pipe",
        "none.wav": "no such",
        "": "folder",
        "empty.wav": "empty",
        "junk.wav": "corrupt",
        "short.wav": "40 ms",
    }
    for name, message in expected.items():
        with pytest.raises(errors.UserError, match=message) as refusal:
            speech_features.read_audio(tmp_path / name)
        assert "\n" not in str(refusal.value)


def test_read_audio_accepts_one_frame(tmp_path):
    wav = speech_features.read_audio(write_wav(tmp_path / "frame.wav", voice(0.04)))
    assert speech_features.frame_count(len(wav)) == 1


def test_an_ffmpeg_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    with pytest.raises(errors.UserError, match="which is no program; unset or correct it"):
        speech_features.read_audio(write_wav(tmp_path / "a.wav", voice(0.1)))


def test_read_audio_says_how_much_of_a_damaged_audio_it_read(tmp_path, caplog):
    write_wav(tmp_path / "a.wav", voice(2.0))
    subprocess.run(
        [speech_features.ffmpeg(), "-v", "error", "-i", tmp_path / "a.wav", tmp_path / "a.mp3"], check=True
    )
    content = (tmp_path / "a.mp3").read_bytes()
    noise = np.random.default_rng(0).bytes(len(content) // 2)
    (tmp_path / "a.mp3").write_bytes(content[: len(content) // 2] + noise)
    wav = speech_features.read_audio(tmp_path / "a.mp3")
    (said,) = [record.getMessage() for record in caplog.records]
    assert "a.mp3 is damaged (" in said and f"{len(wav) / 16000:.2f} s of its sound could be read" in said
    caplog.clear()
    speech_features.read_audio(tmp_path / "a.wav")
    assert not caplog.records


def test_read_audio_hears_one_of_two_channels_that_cancel_each_other(tmp_path, caplog):
    wav = voice(0.5)
    heard = speech_features.read_audio(write_wav(tmp_path / "a.wav", np.stack([wav, -wav], 1)))
    np.testing.assert_allclose(heard, wav, atol=1e-3)
    assert "cancel each other out: the first one is heard" in caplog.text
    caplog.clear()
    assert not speech_features.read_audio(write_wav(tmp_path / "b.wav", np.zeros((8000, 2)))).any()
    assert not caplog.records


def test_full_disk_for_what_is_decoded_is_refused(tmp_path, monkeypatch):
    path = write_wav(tmp_path / "a.wav", voice(2.0))
    full = lambda: open("/dev/full", "r+b", buffering=0)  # noqa: SIM115 - the caller closes it
    monkeypatch.setattr(soundtrack.tempfile, "TemporaryFile", full)
    with pytest.raises(errors.UserError, match=r"the disk of .* is full .*; free space, or set TMPDIR"):
        speech_features.map_audio(path)
    assert len(speech_features.read_audio(path)) == 32000  # needs no disk


@pytest.mark.parametrize("dtype", ["i2", "i4", "u1", "f4", "f8"])
def test_samples_of_any_type_are_of_one_scale(dtype):
    wav = voice(0.1)
    kind, bits = dtype[0], 8 * int(dtype[1])
    top = 2.0 ** (bits - 1) - 1
    scaled = wav if kind == "f" else np.round(wav * top) + (128 if kind == "u" else 0)
    found = speech_features.from_samples(scaled.astype(dtype))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wav, atol=1e-4 if dtype != "u1" else 0.01)


@pytest.mark.parametrize(
    "given, said",
    [(np.zeros((800, 2)), "one row"), (np.zeros(0), "640 are the least"), (["a"] * 800, "array of numbers")],
)
def test_samples_of_another_kind_are_refused(given, said):
    with pytest.raises(errors.UserError, match=said):
        speech_features.from_samples(given)
