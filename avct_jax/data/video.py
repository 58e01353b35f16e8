"""Reading and writing video through the ffmpeg that imageio-ffmpeg carries."""

import contextlib
import errno
import functools
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from avct_jax import errors, file_kind
from avct_jax.data import audio as sound
from avct_jax.data import whole_file

FRAME_RATE = 25  # frames/s, Wang et al. 2022
SAMPLE_RATE = 16000  # Hz, of sound given as an array
SUFFIXES = (".mp4", ".mov", ".mkv")  # containers that hold H.264 and AAC
QUALITY = 18  # x264's constant rate factor: visually lossless
# AAC holds the layouts that have names; samples are numbered, whatever gap or offset a container's clock has.
AUDIO_FILTER = "aformat=channel_layouts=mono|stereo|2.1|3.0|4.0|5.0|5.1|7.1,asetpts=N/SR/TB"
PRESET = "veryfast"  # 2 cores also render: slower presets cost more time than they save bytes
LONGEST_NAME = 255  # bytes, of every usual file system

Path = str | os.PathLike


class Probe(NamedTuple):
    """What a media file holds; size: (height, width) as shown, turned and with square pixels, or 0, 0."""

    frame_rate: float
    duration: float  # seconds; 0 where the file does not say
    size: tuple[int, int]
    has_video: bool
    has_audio: bool


def probe(path: Path) -> Probe:
    """Look into a media file.

    Raises:
      UserError: there is no such file, it is empty, or ffmpeg knows no such format.
    """
    check_readable(path)
    done = subprocess.run([*_command(), *_input(_url(path))], stdin=subprocess.DEVNULL, capture_output=True)
    text = done.stderr.decode(errors="replace")
    streams = text[text.find("Input #0") :].split("Stream #0:")
    video = next((s for s in streams[1:] if "Video:" in s and "(attached pic)" not in s), "")
    audio = any("Audio:" in stream for stream in streams[1:])
    size = _shown_size(video)
    video = (
        video if min(size) > 0 else ""
    )  # a stream without a size is none: ffmpeg went by the file's suffix
    if "Input #0" not in text or not (video or audio or "(attached pic)" in text):
        raise errors.UserError(
            f"{_name(path)} is no sound or video file that ffmpeg can read; convert it first"
        )
    hours, minutes, seconds = _numbers(r"Duration: (\d+):(\d+):([\d.]+)", streams[0]) or (0, 0, 0)
    rate = _numbers(r"([\d.]+) (?:fps|tbr)", video)
    if video and not rate:
        rate = (float(FRAME_RATE),)
    duration = 3600 * hours + 60 * minutes + seconds
    return Probe(rate[0] if rate else 0.0, duration, size, bool(video), audio)


def _shown_size(stream: str) -> tuple[int, int]:
    width, height = (int(v) for v in _numbers(r", (\d+)x(\d+)[ ,\[]", stream) or (0, 0))
    across, down = _numbers(r"SAR (\d+):(\d+)", stream) or (1, 1)
    if across and down and abs(across / down - 1) > 0.02:  # less is rounding, not worth a resampling
        width = round(width * across / down)
    turn = _numbers(r"rotation of (-?[\d.]+)", stream) or (0.0,)
    return (width, height) if round(abs(turn[0]) / 90) % 2 else (height, width)


def _numbers(pattern: str, text: str) -> tuple[float, ...]:
    match = re.search(pattern, text)
    return tuple(float(v) for v in match.groups()) if match else ()


def read_frames(
    path: Path, *, frame_rate: int | float | None = FRAME_RATE, size: int | tuple[int, int] | None = None
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield a video's frames, RGB, turned as its metadata says, with square pixels.

    Args:
      frame_rate: frames/s of the answer; frames are repeated or left out so that frame i shows the file's
        time i / frame_rate. None gives every stored frame once.
      size: side of a square, or (height, width), to scale to; None keeps the video's.
    Raises:
      UserError: no such file, no video in it, or not a frame can be decoded.
    """
    found = probe(path)
    if not found.has_video:
        raise errors.UserError(f"{_name(path)} holds no video; give a video file")
    height, width = _pair(size) or found.size
    filters = [f"fps={frame_rate}:start_time=0"] if frame_rate else []
    filters += [f"scale={width}:{height}:flags=area" if size else f"scale={width}:{height}", "setsar=1"]
    option = "-fps_mode" if sound.ffmpeg_version(_command()[0]) >= (5, 1) else "-vsync"
    passthrough = [] if frame_rate else [option, "passthrough"]
    command = [
        *_command(),
        "-loglevel",
        "error",
        *_input(_url(path)),
        "-map",
        "0:V:0",
        "-vf",
        ",".join(filters),
    ]
    return _decode([*command, *passthrough, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], height, width, path)


def _decode(command: list[str], height: int, width: int, path: Path) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    count, length = 0, height * width * 3
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        stream = process.stdout
        assert stream is not None
        try:
            while len(data := stream.read(length)) == length:
                yield np.frombuffer(data, np.uint8).reshape(height, width, 3)
                count += 1
        finally:  # also where the caller stops early
            stream.close()
            process.kill()
            process.wait()
        if not count:
            raise errors.UserError(
                f"no frame of {_name(path)} can be decoded: {_last_line(log)}; convert it first"
            )


class VideoWriter:
    """Streams frames into an H.264 + AAC file that appears under its name only when it is whole.

    Use as a context manager. The file grows under a temporary name in the same folder; an exception or Ctrl-C
    in the block, or a failure of ffmpeg, removes it and leaves an older file of that name as it was.
    The sound is never cut: it may be up to a frame longer than the pictures.
    """

    def __init__(
        self,
        path: Path,
        *,
        size: int | tuple[int, int],
        frame_rate: int | float = FRAME_RATE,
        audio: Path | Float[np.ndarray, "n"] | None = None,
        sample_rate: int = SAMPLE_RATE,
    ):
        """Prepare to write.

        Args:
          path: ends with one of SUFFIXES.
          size: side of square frames, or (height, width); odd sides are padded by one pixel (yuv420p).
          audio: a sound or video file, whose first sound track is taken whole, or mono samples in [-1, 1].
          sample_rate: Hz, of `audio` as samples.
        Raises:
          UserError: the path cannot be written (see check_writable).
        """
        check_writable(path)
        # A link stays one: what it names is written.
        self.path, self.frames = pathlib.Path(os.path.realpath(path)), 0
        pair = _pair(size)
        assert pair is not None
        self.size, self._rate = pair, frame_rate
        self._audio, self._sample_rate = audio, sample_rate
        suffix = pathlib.Path(path).suffix.lower()
        self._partial = whole_file.hidden_beside(self.path.with_suffix(suffix))
        self._process: subprocess.Popen | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "VideoWriter":
        try:
            self._stack.enter_context(whole_file.held(self._partial))
            self._log = self._stack.enter_context(tempfile.TemporaryFile())
            # A session of its own: Ctrl-C reaches only this process, which decides what becomes of the file.
            self._process = subprocess.Popen(
                self._ffmpeg(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._log,
                start_new_session=True,
            )  # fmt: skip
        except BaseException:
            self._discard()
            raise
        return self

    def write(self, frames: UInt8[np.ndarray, "*n h w 3"]) -> None:
        """Append one frame or several, RGB.

        Raises:
          UserError: ffmpeg has given up: the disk is full, or the sound cannot be read.
        """
        if frames.shape[-3:-1] != self.size:
            raise ValueError(f"frames are {frames.shape[-3:-1]}, the writer was opened for {self.size}")
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(np.ascontiguousarray(frames).data)
        except (BrokenPipeError, ConnectionResetError):
            self._process.wait()
            raise self._failure() from None
        self.frames += int(np.prod(frames.shape[:-3]))

    def __exit__(self, kind, *_) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._discard()

    def _finish(self) -> None:
        assert self._process is not None and self._process.stdin is not None
        if not self.frames:
            raise ValueError(f"no frame was written to {self.path}")
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        if self._process.wait() != 0 or not self._partial.is_file():
            raise self._failure()
        try:
            self._partial.replace(self.path)
        except OSError as error:
            raise errors.UserError(f"{_name(self.path)} cannot be written: {error.strerror}") from None

    def _discard(self) -> None:
        with _undisturbed():
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
            with contextlib.suppress(OSError):
                assert self._process.stdin is not None
                self._process.stdin.close()
        self._partial.unlink(missing_ok=True)
        self._stack.close()

    def _failure(self) -> errors.UserError:
        reason = _last_line(self._log)
        return errors.UserError(
            f"{_name(self.path)} cannot be written: {reason}; free space or choose another --output"
        )

    def _ffmpeg(self) -> list[str]:
        height, width = self.size
        command = [*_command(), "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", f"{width}x{height}", "-r", str(self._rate), *_input("pipe:0")]
        command += self._audio_input()
        command += ["-map", "0:v:0", "-c:v", "libx264", "-preset", PRESET, "-crf", str(QUALITY)]
        command += ["-pix_fmt", "yuv420p"]
        if height % 2 or width % 2:
            command += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"]
        if self._audio is not None:
            command += ["-map", "1:a:0", "-af", AUDIO_FILTER, "-c:a", "aac", "-b:a", "128k"]
        if self._partial.suffix != ".mkv":
            command += ["-movflags", "+faststart"]
        return [*command, _url(self._partial)]

    def _audio_input(self) -> list[str]:
        if self._audio is None:
            return []
        folder = pathlib.Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        if not isinstance(self._audio, np.ndarray):
            check_readable(self._audio)
            return _input(_url(sound.decode_to(self._audio, folder)))
        samples = folder / "sound.f32"
        samples.write_bytes(np.clip(self._audio, -1, 1).astype("<f4").tobytes())
        return ["-f", "f32le", "-ar", str(self._sample_rate), "-ac", "1", *_input(_url(samples))]


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Clean up to the end, however often Ctrl-C is pressed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def check_readable(path: Path) -> None:
    """Refuse a path that cannot be a media file.

    Raises:
      UserError: nothing there, a folder, an empty file, or no permission to read.
    """
    if not os.path.exists(path):
        raise errors.UserError(f"there is no file {_name(path)}; check the path")
    if os.path.isdir(path):
        raise errors.UserError(f"{_name(path)} is a folder; give a file in it")
    try:
        with open(path, "rb") as file:
            if not (begin := file.read(file_kind.LENGTH)):
                raise errors.UserError(f"{_name(path)} is empty (0 bytes); give another file")
            file_kind.refuse_pointer(path, begin)
    except OSError as error:
        raise errors.UserError(f"{_name(path)} cannot be read: {error.strerror}") from None


def check_writable(path: Path) -> None:
    """Refuse, before any work is done, an output that could not be written at the end.

    Raises:
      UserError: unknown suffix, missing or read-only folder, a folder of that name, or a read-only file.
    """
    target = pathlib.Path(path)
    if os.path.isdir(target):
        raise errors.UserError(f"{_name(path)} is a folder; name a file in it, such as talk.mp4")
    if len(os.fsencode(target.name)) > LONGEST_NAME:
        raise errors.UserError(
            f"{_name(target.name[:20] + '...')} has more than {LONGEST_NAME} bytes; choose a shorter --output"
        )
    if target.suffix.lower() not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise errors.UserError(
            f"{_name(path)} ends with {target.suffix!r}; the video is H.264: use one of {known}"
        )
    if not os.path.isdir(target.parent):
        raise errors.UserError(f"the folder {_name(target.parent)} does not exist; make it first")
    if target.exists() and not _may_write(target):
        raise errors.UserError(f"{_name(path)} is read-only; remove it or choose another --output")
    try:
        if not _may_write(target.parent):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        with tempfile.TemporaryFile(dir=target.parent):
            pass  # access() is wrong on some network and read-only mounts: try it
    except OSError as error:
        message = (
            f"nothing can be written into {_name(target.parent)} ({error.strerror}); choose another --output"
        )
        raise errors.UserError(message) from None


def _may_write(path: pathlib.Path) -> bool:
    # Root may write anything; a file without any write bit was protected on purpose.
    return os.access(path, os.W_OK) and bool(path.stat().st_mode & 0o222)


@functools.cache
def _command() -> tuple[str, ...]:
    return (sound.ffmpeg(), "-nostdin", "-hide_banner")


def _input(url: str) -> list[str]:
    # Local files only: a playlist could otherwise make ffmpeg open addresses on the network.
    return ["-protocol_whitelist", "file,pipe", "-i", url]


def _url(path: Path) -> str:
    """Return ffmpeg's name of a local file: '-x' or 'concat:x' would mean something else to it."""
    return f"file:{os.fspath(path)}"


def _name(path: Path) -> str:
    return repr(os.fspath(path))  # a line break in a name must not break the message's one line


def _pair(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    return (size, size) if isinstance(size, int) else size


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    return re.sub(r"^(\[[^\]]*\] )+", "", lines[-1])[:200] if lines else "ffmpeg gave no reason"
