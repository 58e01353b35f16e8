"""Writing and reading video: whole audio, whole files, and refusals."""

import itertools
import os
import pathlib
import signal
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
import scipy.io.wavfile

from avct_jax import errors
from avct_jax.data.media import container, video_io
from avct_jax.data.speech import audio_io


def ramp(count, height=32, width=48, step=8):
    """Frames whose grey level says which one they are."""
    return np.stack([np.full((height, width, 3), step * i, np.uint8) for i in range(count)])


def write(path, frames, **options):
    with video_io.VideoWriter(path, size=frames.shape[1:3], **options) as writer:
        for frame in frames:
            writer.write(frame)


def ffmpeg(*arguments):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def audio(path):
    return np.frombuffer(ffmpeg("-i", path, "-f", "f32le", "-ac", 1, "-ar", 16000, "-"), "<f4")


def tone(seconds):
    return np.sin(np.arange(int(16000 * seconds)) * 0.3).astype(np.float32) / 2


def test_video_comes_back_frame_by_frame(tmp_path):
    write(tmp_path / "a.mp4", ramp(30))
    levels = [frame.mean() for frame in video_io.read_frames(tmp_path / "a.mp4")]
    np.testing.assert_allclose(levels, 8 * np.arange(30), atol=2)


def test_video_probe_tells_what_is_inside(tmp_path):
    write(tmp_path / "a.mkv", ramp(25), audio=tone(1.0))
    found = video_io.probe(tmp_path / "a.mkv")
    assert found.size == (32, 48) and found.frame_rate == 25
    assert found.has_video and found.has_audio and abs(found.duration - 1) < 0.1


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_video_keeps_the_whole_audio(tmp_path, suffix):
    samples = np.concatenate([np.zeros(15000, np.float32), tone(0.1)])  # 1.0375 s: 25 frames and a rest
    write(tmp_path / f"a{suffix}", ramp(25), audio=samples)
    heard = audio(tmp_path / f"a{suffix}")
    assert len(heard) >= len(samples) and len(list(video_io.read_frames(tmp_path / f"a{suffix}"))) == 25
    assert abs(int(np.argmax(np.abs(heard) > 0.2)) - 15000) < 160  # 10 ms: neither cut nor shifted


def test_video_takes_the_audio_of_a_file_at_its_own_rate(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=1.03", tmp_path / "ä b.wav")
    write(tmp_path / "a.mp4", ramp(25), audio=tmp_path / "ä b.wav")
    assert len(audio(tmp_path / "a.mp4")) >= 1.03 * 16000 - 1


def loudest(samples):
    """Hz of the strongest tone."""
    return np.argmax(np.abs(np.fft.rfft(samples))) * 16000 / len(samples)


def test_video_keeps_a_audio_whose_format_changes_in_the_middle(tmp_path):
    """A mono mp3 and a stereo one joined: one after the other, not one over the other."""
    for name, hertz, channels in (("a", 440, 1), ("b", 1320, 2)):
        source = f"sine=frequency={hertz}:sample_rate=44100:duration=5"
        ffmpeg("-f", "lavfi", "-i", source, "-ac", channels, tmp_path / f"{name}.mp3")
    joined = (tmp_path / "a.mp3").read_bytes() + (tmp_path / "b.mp3").read_bytes()
    (tmp_path / "both.mp3").write_bytes(joined)
    write(tmp_path / "a.mp4", ramp(50, step=4), audio=tmp_path / "both.mp3")
    heard = audio_io.map_audio(tmp_path / "a.mp4")  # by the container's clock, as players do
    assert len(heard) >= 10 * 16000
    first, second = (heard[at * 16000 :][:48000] for at in (1, 6))
    assert abs(loudest(first) - 440) < 5 and abs(loudest(second) - 1320) < 5


@pytest.mark.parametrize("kind", ["ten channels", "a number that is none"])
def test_video_takes_whatever_audio_can_be_read(tmp_path, kind):
    samples = np.stack([tone(1.0)] * 10, 1) if kind == "ten channels" else tone(1.0)
    if kind != "ten channels":
        samples[5000] = np.nan
    scipy.io.wavfile.write(tmp_path / "a.wav", 16000, samples)
    write(tmp_path / "a.mp4", ramp(25), audio=tmp_path / "a.wav")
    heard = audio(tmp_path / "a.mp4")
    assert len(heard) >= 16000 and np.isfinite(heard).all() and np.abs(heard).max() > 0.1


def test_video_of_odd_size_is_padded(tmp_path):
    write(tmp_path / "a.mp4", ramp(3, 31, 33))
    assert video_io.probe(tmp_path / "a.mp4").size == (32, 34)


@pytest.mark.parametrize("name", ["-y.mp4", "пор трет's #1.mp4", "a%03d;$(x).mp4"])
def test_video_takes_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write(name, ramp(2), audio=tone(0.08))
    assert len(list(video_io.read_frames(name))) == 2 and os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("rate, count", [(12.5, 13), (50, 50), (30, 30)])
def test_video_of_any_rate_is_read_at_25(tmp_path, rate, count):
    write(tmp_path / "a.mp4", ramp(count, step=4), frame_rate=rate)
    frames = list(video_io.read_frames(tmp_path / "a.mp4"))
    assert abs(len(frames) - 25 * count / rate) <= 1
    assert abs(frames[20].mean() - 4 * int(20 / 25 * rate)) <= 6  # the frame shown at 0.8 s


@pytest.mark.parametrize("kind", ["ts", "h264"])
def test_video_whose_size_changes_on_the_way_keeps_its_times(tmp_path, kind):
    joined = b""
    for size, level in ((32, 0), (64, 255)):
        write(tmp_path / "part.mp4", np.full((50, size, size, 3), level, np.uint8))
        ffmpeg("-i", tmp_path / "part.mp4", "-c", "copy", tmp_path / f"part.{kind}")
        joined += (tmp_path / f"part.{kind}").read_bytes()
    (tmp_path / f"a.{kind}").write_bytes(joined)
    frames = list(video_io.read_frames(tmp_path / f"a.{kind}"))
    assert abs(len(frames) - 100) <= 2 and {frame.shape for frame in frames} == {(32, 32, 3)}
    assert frames[47].mean() < 10 and frames[53].mean() > 245


def test_video_rotation_is_honoured(tmp_path):
    frames = ramp(2)
    frames[:, :, :24] = 255  # left half
    write(tmp_path / "a.mp4", frames)
    ffmpeg("-display_rotation", 90, "-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "b.mp4")
    turned = next(video_io.read_frames(tmp_path / "b.mp4"))
    assert turned.shape == (48, 32, 3) and video_io.probe(tmp_path / "b.mp4").size == (48, 32)
    assert abs(float(turned[:24].mean()) - float(turned[24:].mean())) > 200


def test_video_is_scaled_on_reading(tmp_path):
    write(tmp_path / "a.mp4", ramp(2))
    assert next(video_io.read_frames(tmp_path / "a.mp4", size=16)).shape == (16, 16, 3)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_video_leaves_nothing_when_interrupted(tmp_path, failure):
    (tmp_path / "a.mp4").write_bytes(b"older")
    with pytest.raises(failure), video_io.VideoWriter(tmp_path / "a.mp4", size=(32, 48)) as writer:
        writer.write(ramp(20))
        raise failure
    assert (tmp_path / "a.mp4").read_bytes() == b"older" and os.listdir(tmp_path) == ["a.mp4"]


def test_video_leaves_nothing_however_often_it_is_interrupted(tmp_path, monkeypatch):
    end = video_io.VideoWriter._end

    def pressed(writer):
        os.kill(os.getpid(), signal.SIGINT)
        end(writer)

    monkeypatch.setattr(video_io.VideoWriter, "_end", pressed)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(ZeroDivisionError), video_io.VideoWriter(tmp_path / "a.mp4", size=(32, 48)) as writer:
        writer.write(ramp(20))
        _ = 1 / 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler and os.listdir(tmp_path) == []
    signal.signal(signal.SIGINT, before)


def test_video_is_written_where_a_link_points_to(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "a.mp4").symlink_to(tmp_path / "real" / "b.mp4")
    write(tmp_path / "a.mp4", ramp(2))
    assert (tmp_path / "a.mp4").is_symlink() and len(list(video_io.read_frames(tmp_path / "real/b.mp4"))) == 2


def test_video_output_that_is_a_link_is_judged_by_where_it_leads(tmp_path):
    (tmp_path / "a.mp4").symlink_to(tmp_path / "none" / "b")
    with pytest.raises(errors.UserError, match="none' does not exist"):
        video_io.check_writable(tmp_path / "a.mp4")
    (tmp_path / "none").mkdir()
    write(tmp_path / "a.mp4", ramp(2))  # the link's name says what it is
    assert (tmp_path / "a.mp4").is_symlink() and len(list(video_io.read_frames(tmp_path / "none/b"))) == 2


@pytest.mark.parametrize("name, said", [("talk", "has no suffix"), ("talk.avi", "ends with '.avi'")])
def test_an_output_of_another_kind_is_refused(tmp_path, name, said):
    with pytest.raises(errors.UserError, match=f"{said}; the video is H.264"):
        video_io.check_writable(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="not on Windows")
def test_a_device_and_a_pipe_are_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path / "pipe"):
        with pytest.raises(errors.UserError, match="not a regular file"):
            video_io.check_readable(path)


def test_images_that_end_long_before_their_video_are_told(tmp_path, caplog):
    write(tmp_path / "a.mp4", ramp(25), audio=tone(4.0))
    assert len(list(video_io.read_frames(tmp_path / "a.mp4"))) == 25
    assert "end at 1.00 s of the file's 4.0" in caplog.text
    caplog.clear()
    write(tmp_path / "b.mp4", ramp(25), audio=tone(1.5))
    assert len(list(video_io.read_frames(tmp_path / "b.mp4"))) == 25 and not caplog.records


@pytest.mark.parametrize(
    "spoil", [lambda b: b[: len(b) * 2 // 3], lambda b: b[:9000] + bytes(9000) + b[18000:]]
)
def test_images_that_are_damaged_are_told(tmp_path, caplog, spoil):
    noise = np.random.default_rng(0).integers(0, 256, (50, 64, 64, 3), dtype=np.uint8)
    write(tmp_path / "a.mkv", noise)
    content = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(spoil(content))
    count = len(list(video_io.read_frames(tmp_path / "a.mkv")))
    assert "a.mkv is damaged (" in caplog.text and f"{count / 25:.2f} s of its images" in caplog.text


@pytest.mark.parametrize("reads, said", [(True, "cannot be written"), (False, "cannot be read as sound")])
def test_video_leaves_nothing_when_ffmpeg_fails(tmp_path, monkeypatch, reads, said):
    monkeypatch.setattr(video_io, "PRESET", "no preset of x264's")
    (tmp_path / "broken.wav").write_bytes(b"no sound at all")
    broken = None if reads else tmp_path / "broken.wav"
    with pytest.raises(errors.UserError, match=said) as raised:
        write(tmp_path / "a.mp4", np.zeros((50, 256, 256, 3), np.uint8), audio=broken)
    assert os.listdir(tmp_path) == ["broken.wav"] and "\n" not in str(raised.value)


def test_video_without_frames_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no frame"), video_io.VideoWriter(tmp_path / "a.mp4", size=32):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name, reason",
    [
        ("no/a.mp4", "does not exist"),
        ("a.avi", "H.264"),
        ("", "folder"),
        ("l" * 260 + ".mp4", "more than 255 bytes"),
    ],
)
def test_video_output_is_refused_up_front(tmp_path, name, reason):
    with pytest.raises(errors.UserError, match=reason) as raised:
        video_io.check_writable(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_video_output_that_is_read_only_is_refused(tmp_path):
    target = tmp_path / "a.mp4"
    target.touch(mode=0o444)
    with pytest.raises(errors.UserError, match="read-only"):
        video_io.check_writable(target)
    target.unlink()
    tmp_path.chmod(0o555)
    with pytest.raises(errors.UserError, match="Permission denied"):
        video_io.check_writable(target)
    tmp_path.chmod(0o755)


@pytest.mark.parametrize(
    "content, reason", [(None, "no file"), (b"", "empty"), (b"junk" * 99, "ffmpeg can read")]
)
def test_video_input_is_refused(tmp_path, content, reason):
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.UserError, match=reason):
        video_io.read_frames(path)


def test_video_cut_off_in_the_middle_is_refused(tmp_path):
    write(tmp_path / "a.mp4", ramp(30))
    whole = pathlib.Path(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(errors.UserError):
        list(video_io.read_frames(tmp_path / "a.mp4"))


def test_damage_is_told_to_who_stops_early(tmp_path, caplog):
    """Films are read for as long as a voice lasts: what is beyond does not matter, what is within does."""
    frames = np.random.default_rng(0).integers(0, 256, (50, 64, 64, 3), np.uint8)
    write(tmp_path / "a.mp4", frames)
    some = lambda: len(list(itertools.islice(video_io.read_frames(tmp_path / "a.mp4"), 40)))
    assert some() == 40 and not caplog.records
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    third = len(content) // 3
    content[third : third + 2000] = np.random.default_rng(1).bytes(2000)
    (tmp_path / "a.mp4").write_bytes(content)
    assert some() == 40
    assert "a.mp4 is damaged (" in caplog.text and "some of its images may be wrong" in caplog.text


def test_video_reads_no_playlist_of_addresses(tmp_path):
    (tmp_path / "a.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://localhost:9/x.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(errors.UserError):
        list(video_io.read_frames(tmp_path / "a.m3u8"))


@pytest.mark.parametrize(
    "said, version",
    [
        ("ffmpeg version 4.2.2-static", (4, 2)),
        ("ffmpeg version n7.1", (7, 1)),
        ("ffmpeg version N-1-g", (999, 0)),
    ],
)
def test_every_ffmpeg_gets_the_option_that_it_knows(said, version, tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    assert container.version(str(program)) == version
    monkeypatch.setattr(container, "command_line", lambda: [str(program)])
    wanted = ["-vsync", "0"] if version < (5, 1) else ["-fps_mode", "passthrough"]
    assert container.every_frame.__wrapped__() == wanted


@pytest.mark.parametrize("program", ["/bin/true", "/bin/cat"])
def test_what_is_no_ffmpeg_is_called_so(program, monkeypatch):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", program)
    with pytest.raises(errors.UserError, match=f"IMAGEIO_FFMPEG_EXE is '{program}', which is no ffmpeg"):
        container.ffmpeg()
