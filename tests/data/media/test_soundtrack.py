"""Audio as a player plays it: whatever its format, on the container's clock; a line where it is not whole."""

import os
import subprocess

import numpy as np
import pytest
import scipy.io.wavfile

from avct_jax import errors
from avct_jax.data.clips import make_clips
from avct_jax.data.media import container, soundtrack, video_io
from avct_jax.data.speech import audio_io
from avct_jax.evaluation import video_files

RATE = 16000


def ffmpeg(*arguments):
    command = [container.ffmpeg(), "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True)


def sine(hertz, seconds, rate=44100):
    return ["-f", "lavfi", "-i", f"sine={hertz}:r={rate}:d={seconds}"]


def loudest(samples):
    """Hz of the strongest tone."""
    return np.argmax(np.abs(np.fft.rfft(samples))) * RATE / len(samples)


def tone(hertz=440, seconds=1.0):
    return (0.4 * np.sin(2 * np.pi * hertz * np.arange(round(RATE * seconds)) / RATE)).astype(np.float32)


def filmed(path, **options):
    """What is heard of a file, and what a video holds of it."""
    heard = audio_io.read_heard(path, **options)
    with video_io.VideoWriter(path.with_name("video.mp4"), size=32, audio=heard.track) as writer:
        writer.write(np.zeros((25, 32, 32, 3), np.uint8))
    return heard.samples, audio_io.read_audio(path.with_name("video.mp4"))


@pytest.mark.parametrize("suffix, codec", [("mp3", "libmp3lame"), ("aac", "aac"), ("ts", "aac")])
def test_a_format_that_changes_on_the_way_shifts_nothing(tmp_path, suffix, codec):
    """Parts of one channel, two channels and another rate, joined byte by byte."""
    joined = b""
    for hertz, channels, rate in ((440, 1, 44100), (880, 2, 44100), (1320, 1, 24000)):
        part = tmp_path / f"part.{suffix}"
        ffmpeg(*sine(hertz, 2, rate), "-ac", channels, "-c:a", codec, part)
        joined += part.read_bytes()
    (tmp_path / f"all.{suffix}").write_bytes(joined)
    for heard in (audio_io.map_audio(tmp_path / f"all.{suffix}"), *filmed(tmp_path / f"all.{suffix}")):
        assert 6.0 * RATE <= len(heard) < 6.25 * RATE
        for at, hertz in ((0.5, 440), (2.6, 880), (4.7, 1320)):
            assert abs(loudest(heard[round(at * RATE) :][:RATE]) - hertz) < 12, (at, hertz)


@pytest.mark.parametrize("late, suffix", [("a", "mp4"), ("a", "mkv"), ("v", "mkv"), ("a", "ts"), ("v", "ts")])
def test_audio_and_images_keep_the_clock_of_their_container(tmp_path, late, suffix):
    """A flash and a beep at once, in streams one of which begins 0.4 s after the other."""
    flash = "color=black:s=32x32:r=25:d=2,geq=lum='255*gte(N,25)':cb=128:cr=128"
    beep = f"aevalsrc='.5*sin(2000*t)*gte(t,{0.6 if late == 'a' else 1.4})':s=44100:d=2"
    shift = ["-itsoffset", "0.4"]
    images, sounds = ["-f", "lavfi", "-i", flash], ["-f", "lavfi", "-i", beep]
    inputs = [*images, *shift, *sounds] if late == "a" else [*shift, *images, *sounds]
    path = tmp_path / f"video.{suffix}"
    codecs = ["-c:v", "mpeg2video", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    ffmpeg(*inputs, "-map", "0", "-map", "1", *codecs, path)
    bright = np.array([frame.mean() > 128 for frame in video_io.read_frames(path)])
    for wav in (
        audio_io.read_audio(path),
        audio_io.map_audio(path),
        video_files.from_file(path, "video").audio(),
    ):
        beep_at = np.flatnonzero(np.abs(wav) > 0.1)[0] / RATE
        assert abs(bright.argmax() / 25 - beep_at) < 0.045, (bright.argmax() / 25, beep_at)
    assert abs(beep_at - (1.0 if late == "a" else 1.4)) < 0.03


@pytest.mark.parametrize("name", ["a.ogg", "a.webm", "a.mka", "a.mp4"])
def test_opus_loses_nothing_of_its_beginning(tmp_path, name):
    """Opus begins with samples to be skipped, which ffmpeg reckons twice in Matroska's start."""
    click = np.zeros(RATE, np.float32)
    click[480] = 1
    scipy.io.wavfile.write(tmp_path / "s.wav", RATE, click)
    ffmpeg("-i", tmp_path / "s.wav", "-c:a", "libopus", "-b:a", "96k", "-strict", "-2", tmp_path / name)
    heard = audio_io.read_audio(tmp_path / name)
    assert abs(np.abs(heard).argmax() - 480) < 16 and 0 <= len(heard) - RATE < RATE // 50


CODECS = {"a.avi": ["-c:a", "pcm_s16le"], "mp3.avi": ["-c:a", "libmp3lame"]}


def cut(content):
    return content[: len(content) // 4 * 2]


def noisy(content):
    half = len(content) // 2
    return content[:half] + np.random.default_rng(0).bytes(len(content) - half)


@pytest.mark.parametrize(
    "name, spoil, said",
    [
        ("a.wav", cut, "ends at 3.00 s of the file's 6.00 s"),
        ("a.w64", cut, "ends at 3.00 s of the file's 6.00 s"),
        ("a.caf", lambda content: cut(content)[:-1], "ends at 3.00 s of the file's 6.00 s"),
        ("a.avi", cut, "of the file's 6.00 s"),
        ("mp3.avi", cut, "of the file's 6.0"),
        ("a.mp3", cut, "of the file's 6.00 s"),
        ("a.mp3", noisy, "a.mp3 is damaged ("),
        ("a.mkv", cut, "a.mkv is damaged (File ended prematurely)"),
        ("a.flac", noisy, "a.flac is damaged ("),
    ],
)
def test_audio_that_is_not_whole_is_told(tmp_path, caplog, name, spoil, said):
    ffmpeg(*sine(440, 6, RATE), *CODECS.get(name, []), tmp_path / name)
    assert len(audio_io.read_audio(tmp_path / name)) >= 5.98 * RATE and not caplog.records
    (tmp_path / name).write_bytes(spoil((tmp_path / name).read_bytes()))
    assert RATE < len(audio_io.read_audio(tmp_path / name)) < 4.5 * RATE
    (record,) = caplog.records
    assert said in record.getMessage() and "\n" not in record.getMessage()


@pytest.mark.parametrize("channels, spoken", [(3, 2), (9, 4), (16, 0), (64, 63)])
def test_channels_without_names_are_averaged_and_written(tmp_path, channels, spoken):
    samples = np.zeros((RATE, channels), np.float32)
    samples[:, spoken] = tone()
    scipy.io.wavfile.write(tmp_path / "a.wav", RATE, samples)
    for heard in filmed(tmp_path / "a.wav"):
        assert abs(loudest(heard) - 440) < 2 and np.abs(heard).max() > 0.9 * 0.4 / channels


@pytest.mark.parametrize("layout, channels", [("quad", 4), ("5.1", 6), ("hexagonal", 6), ("7.1(wide)", 8)])
def test_channels_with_names_are_written_whatever_they_are(tmp_path, layout, channels):
    source = "aevalsrc=" + "|".join([".4*sin(2765*t)"] * channels) + f":s=16000:d=1:c={layout}"
    ffmpeg("-f", "lavfi", "-i", source, tmp_path / "a.wav")
    heard, written = filmed(tmp_path / "a.wav")
    assert abs(loudest(heard) - 440) < 2 and abs(loudest(written) - 440) < 2


def test_numbers_that_are_none_cost_their_own_moment_only(tmp_path, caplog):
    samples = tone()
    samples[[5000, 6000, 7000]] = np.nan, np.inf, 1e38
    scipy.io.wavfile.write(tmp_path / "a.wav", RATE, samples)
    heard, written = filmed(tmp_path / "a.wav")
    good = np.setdiff1d(np.arange(RATE), [5000, 6000, 7000])
    np.testing.assert_allclose(heard[good], tone()[good], atol=1e-6)
    assert heard[7000] == 1 and abs(loudest(written) - 440) < 2
    assert not heard[[5000, 6000]].any()  # an infinite number is no click
    said = [record.getMessage() for record in caplog.records]
    assert "a.wav has samples that are no numbers (NaN, Inf), 2 in all" in said[0]
    assert "goes up to 1e+38 times full scale" in said[1] and len(said) == 2


def test_audio_that_overshoots_a_little_is_not_remarked_on(tmp_path, caplog):
    scipy.io.wavfile.write(tmp_path / "a.wav", RATE, 4 * tone())
    audio_io.read_audio(tmp_path / "a.wav")
    assert not caplog.records


def test_channels_that_nearly_cancel_each_other_leave_the_loudest(tmp_path, caplog):
    """As after lossy coding: something small is left of their mean."""
    both = np.stack([0.5 * tone(), -0.52 * tone()], 1)
    scipy.io.wavfile.write(tmp_path / "a.wav", RATE, both)
    for heard in filmed(tmp_path / "a.wav"):
        assert abs(np.abs(heard[2000:-2000]).max() - 0.208) < 0.02
    assert "cancel each other out: the 2. one is heard" in caplog.text


def test_channels_that_cancel_each_other_about_another_middle_leave_one(tmp_path, caplog):
    """Cheap microphones have a constant offset, which is no sound."""
    both = np.stack([0.31 * tone(), -0.3 * tone()], 1) + np.float32(0.1)
    scipy.io.wavfile.write(tmp_path / "a.wav", RATE, both)
    for heard in filmed(tmp_path / "a.wav"):
        assert abs(loudest(heard - heard.mean()) - 440) < 2 and heard[2000:-2000].std() > 0.05
    assert "cancel each other out: the first one is heard" in caplog.text


def test_one_channel_of_many_is_not_lost_in_their_mean(tmp_path, caplog):
    samples = np.zeros((RATE, 24), np.float32)
    samples[:, 4] = tone()
    scipy.io.wavfile.write(tmp_path / "a.wav", RATE, samples)
    heard = audio_io.read_audio(tmp_path / "a.wav")
    assert np.abs(heard).max() > 0.35 and "are silent but for one: the 5. one is heard" in caplog.text


def test_a_clock_that_begins_late_is_no_loss(tmp_path, caplog):
    ffmpeg(*sine(440, 3, RATE), tmp_path / "a.wav")
    ffmpeg("-itsoffset", "5", "-i", tmp_path / "a.wav", "-copyts", "-c:a", "pcm_s16le", tmp_path / "a.mkv")
    assert container.probe(tmp_path / "a.mkv").duration > 7
    assert abs(len(audio_io.read_audio(tmp_path / "a.mkv")) - 3 * RATE) < 0.05 * RATE and not caplog.records


@pytest.fixture
def tracks(tmp_path):
    """A video of three audio tracks: hiss of -75 dB, 880 Hz, 1320 Hz."""
    hiss = ["-f", "lavfi", "-i", "anoisesrc=a=0.0003:d=1:r=44100"]
    inputs = [*hiss, *sine(880, 1), *sine(1320, 1)]
    path = tmp_path / "a.mkv"
    ffmpeg(*inputs, "-map", "0", "-map", "1", "-map", "2", "-c:a", "aac", path)
    return path


def test_a_silent_track_makes_room_for_the_next(tracks, caplog):
    assert all(abs(loudest(heard) - 880) < 3 for heard in filmed(tracks))
    assert "the first sound track of" in caplog.text and "track 2 is heard" in caplog.text


def test_the_track_that_is_asked_for_is_heard_and_written(tracks, caplog):
    assert all(abs(loudest(heard) - 1320) < 3 for heard in filmed(tracks, track=3))
    assert np.abs(audio_io.read_audio(tracks, track=1)).max() < 1e-3 and not caplog.records
    with pytest.raises(errors.UserError, match="has 3 sound tracks, and no track 4"):
        audio_io.read_audio(tracks, track=4)


def full_disk(monkeypatch):
    full = lambda: open("/dev/full", "r+b", buffering=0)  # noqa: SIM115 - the caller closes it
    monkeypatch.setattr(soundtrack.tempfile, "TemporaryFile", full)


def test_a_full_disk_ends_a_video_and_a_clip(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    scipy.io.wavfile.write(path, RATE, tone())
    (tmp_path / "sound").symlink_to("/dev/full")
    with pytest.raises(errors.UserError, match="No space left on device"):
        soundtrack.write_native(soundtrack.AudioTrack(path), tmp_path)
    full_disk(monkeypatch)
    with pytest.raises(errors.UserError, match="No space left on device"):
        make_clips._open_audio(os.fspath(path))


def test_a_clip_without_audio_is_told(tmp_path, caplog):
    (tmp_path / "a.wav").write_bytes(b"no sound at all")
    assert make_clips._open_audio(os.fspath(tmp_path / "a.wav")) is None
    assert "its clips have no sound" in caplog.text


def test_a_header_alone_is_told_without_reading_on(tmp_path):
    scipy.io.wavfile.write(tmp_path / "header.wav", RATE, np.zeros(0, np.int16))
    scipy.io.wavfile.write(tmp_path / "one.wav", RATE, np.zeros(1, np.int16))
    with pytest.raises(errors.UserError, match="there is no sound in it"):
        soundtrack.check_tracks(tmp_path / "header.wav")
    soundtrack.check_tracks(tmp_path / "one.wav")
