"""Audio read from files and taken from memory."""

import pathlib
import subprocess
import wave

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.media import container, soundtrack
from avct_jax.data.speech import audio_io, speech_features
from tests import made_sounds


def write_wav(path: pathlib.Path, wav: np.ndarray, *, rate: int = 16000) -> pathlib.Path:
    samples = np.round(wav * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if wav.ndim == 1 else wav.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 96000])
def test_read_audio_resamples_and_keeps_the_pitch(tmp_path, rate):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    wav = audio_io.read_audio(write_wav(tmp_path / "tone.wav", tone, rate=rate))
    assert abs(len(wav) - 16000) <= 2
    assert wav.dtype == np.float32
    assert np.argmax(np.abs(np.fft.rfft(wav, 16000))) == 440
    assert abs(np.abs(wav[1000:-1000]).max() - 0.5) < 0.01


def test_read_audio_averages_channels(tmp_path):
    both = np.stack([np.full(8000, 0.5), np.full(8000, 0.25)], 1)
    wav = audio_io.read_audio(write_wav(tmp_path / "two.wav", both))
    np.testing.assert_allclose(wav, 0.375, atol=1e-3)


@pytest.mark.parametrize("name", ["-y.wav", "a:b|c.wav", "$(x) 'q' ü 音.wav", "%03d.wav"])
def test_read_audio_takes_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / name, made_sounds.vowel(0.1))
    assert len(audio_io.read_audio(name)) == 1600


def test_read_audio_takes_the_audio_of_a_video(tmp_path):
    video = tmp_path / "clip.mp4"
    inputs = ["-f", "lavfi", "-i", "testsrc=d=0.4:s=64x64", "-f", "lavfi", "-i", "sine=300:d=0.4"]
    subprocess.run([container.ffmpeg(), "-v", "error", *inputs, str(video)], check=True)
    assert abs(len(audio_io.read_audio(video)) - 6400) < 1100  # AAC pads to whole packets


def test_read_audio_refuses_a_video_without_audio(tmp_path):
    video = tmp_path / "mute.mp4"
    source = ["-f", "lavfi", "-i", "testsrc=d=0.2:s=64x64"]
    subprocess.run([container.ffmpeg(), "-v", "error", *source, str(video)], check=True)
    with pytest.raises(errors.UserError, match="no sound track"):
        audio_io.read_audio(video)


def test_read_audio_refuses_what_is_no_audio_in_one_line(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "junk.wav").write_bytes(np.random.default_rng(0).bytes(3000))
    write_wav(tmp_path / "short.wav", made_sounds.vowel(0.039))
    write_wav(tmp_path / "header.wav", made_sounds.vowel(0))
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
            audio_io.read_audio(tmp_path / name)
        assert "\n" not in str(refusal.value)


def test_read_audio_accepts_one_frame(tmp_path):
    wav = audio_io.read_audio(write_wav(tmp_path / "frame.wav", made_sounds.vowel(0.04)))
    assert speech_features.frame_count(len(wav)) == 1


def test_an_ffmpeg_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    with pytest.raises(errors.UserError, match="which is no program; unset or correct it"):
        audio_io.read_audio(write_wav(tmp_path / "a.wav", made_sounds.vowel(0.1)))


def test_read_audio_says_how_much_of_a_damaged_audio_it_read(tmp_path, caplog):
    write_wav(tmp_path / "a.wav", made_sounds.vowel(2.0))
    subprocess.run(
        [container.ffmpeg(), "-v", "error", "-i", tmp_path / "a.wav", tmp_path / "a.mp3"], check=True
    )
    content = (tmp_path / "a.mp3").read_bytes()
    noise = np.random.default_rng(0).bytes(len(content) // 2)
    (tmp_path / "a.mp3").write_bytes(content[: len(content) // 2] + noise)
    wav = audio_io.read_audio(tmp_path / "a.mp3")
    (said,) = [record.getMessage() for record in caplog.records]
    assert (
        "a.mp3 is damaged (" in said
        and f"{len(wav) / 16000:.2f} s of its sound could be read, gaps included" in said
    )
    caplog.clear()
    audio_io.read_audio(tmp_path / "a.wav")
    assert not caplog.records


def test_read_audio_hears_one_of_two_channels_that_cancel_each_other(tmp_path, caplog):
    wav = made_sounds.vowel(0.5)
    heard = audio_io.read_audio(write_wav(tmp_path / "a.wav", np.stack([wav, -wav], 1)))
    np.testing.assert_allclose(heard, wav, atol=1e-3)
    assert "cancel each other out: the first one is heard" in caplog.text
    caplog.clear()
    assert not audio_io.read_audio(write_wav(tmp_path / "b.wav", np.zeros((8000, 2)))).any()
    assert not caplog.records


def test_full_disk_for_what_is_decoded_is_refused(tmp_path, monkeypatch):
    path = write_wav(tmp_path / "a.wav", made_sounds.vowel(2.0))
    full = lambda: open("/dev/full", "r+b", buffering=0)  # noqa: SIM115 - the caller closes it
    monkeypatch.setattr(soundtrack.tempfile, "TemporaryFile", full)
    with pytest.raises(errors.UserError, match=r"the disk of .* is full .*; free space, or set TMPDIR"):
        audio_io.map_audio(path)
    assert len(audio_io.read_audio(path)) == 32000  # needs no disk


@pytest.mark.parametrize("dtype", ["i2", "i4", "u1", "f4", "f8"])
def test_samples_of_any_type_are_of_one_scale(dtype):
    wav = made_sounds.vowel(0.1)
    kind, bits = dtype[0], 8 * int(dtype[1])
    top = 2.0 ** (bits - 1) - 1
    scaled = wav if kind == "f" else np.round(wav * top) + (128 if kind == "u" else 0)
    found = audio_io.from_samples(scaled.astype(dtype))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wav, atol=1e-4 if dtype != "u1" else 0.01)


@pytest.mark.parametrize(
    "given, said",
    [(np.zeros((800, 2)), "one row"), (np.zeros(0), "640 are the least"), (["a"] * 800, "array of numbers")],
)
def test_samples_of_another_kind_are_refused(given, said):
    with pytest.raises(errors.UserError, match=said):
        audio_io.from_samples(given)
