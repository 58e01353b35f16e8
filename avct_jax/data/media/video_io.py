"""Reading and writing video through the ffmpeg that imageio-ffmpeg carries."""

import contextlib
import errno
import logging
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from typing import IO

import numpy as np
from jaxtyping import Float, UInt8

from avct_jax import errors
from avct_jax.data.media import colour, container, soundtrack
from avct_jax.files import atomic_write

FRAME_RATE = 25  # frames/s, Wang et al. 2022
SAMPLE_RATE = 16000  # Hz, of audio given as an array
SUFFIXES = (".mp4", ".mov", ".mkv")  # containers that hold H.264 and AAC
QUALITY = 18  # x264's constant rate factor: visually lossless
# AAC holds the layouts that have names; samples are numbered, whatever gap or offset a container's clock has.
AUDIO_FILTER = "aformat=channel_layouts=mono|stereo|2.1|3.0|4.0|5.0|5.1|7.1,asetpts=N/SR/TB"
PRESET = "veryfast"  # 2 cores also render: slower presets cost more time than they save bytes
LONGEST_NAME = 255  # bytes, of every usual file system

Path = str | os.PathLike

probe, check_readable = container.probe, container.check_readable

_log = logging.getLogger(__name__)


def read_frames(
    path: Path, *, frame_rate: int | float | None = FRAME_RATE, size: int | tuple[int, int] | None = None
) -> Generator[UInt8[np.ndarray, "h w 3"], None, None]:
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
    colours = colour.reading(found)
    filters = [f"fps={frame_rate}:start_time=0"] if frame_rate else []
    if frame_rate and container.DISCONTINUOUS.fullmatch(found.kind):
        filters.insert(0, f"setpts=PTS-STARTPTS+{container.probe_stream(path, 'V:0')[1]:.6f}/TB")
    method = ":flags=area" if size else ""
    filters += [f"scale={width}:{height}{method}{colours.scale}", "setsar=1", *colours.after]
    passthrough = [] if frame_rate else container.every_frame()
    # Where the images' size changes on the way, filters that begin anew would reckon from time 0 again.
    steady = ["-reinit_filter", "0", *container.source(path), "-map", "0:V:0"]
    command = [*steady, "-vf", ",".join(filters)]
    command += [*passthrough, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    return _decode(command, (height, width), path, found, frame_rate, colours.table)


def _decode(
    command: list[str],
    size: tuple[int, int],
    path: Path,
    found: container.Probe,
    frame_rate: int | float | None,
    table: bytes | None,
) -> Generator[UInt8[np.ndarray, "h w 3"], None, None]:
    count, length = 0, size[0] * size[1] * 3
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory()) if table else None
        if folder and table:
            colour.write_table(folder, table)
        decoder = stack.enter_context(container.FFmpegReader(command, folder=folder))
        try:
            while len(data := decoder.read(length)) == length:
                yield np.frombuffer(data, np.uint8).reshape(*size, 3)
                count += 1
        except GeneratorExit:  # the caller has what it wants
            if said := decoder.said():
                _log.warning("%s is damaged (%s): some of its images may be wrong", path, said)
            raise
        complaint = decoder.complaint()
    if not count:
        reason = complaint or "ffmpeg gave no reason"
        raise errors.UserError(f"no frame of {_name(path)} can be decoded: {reason}; convert it first")
    _tell_of_missing(path, found, count, frame_rate, complaint)


def _tell_of_missing(
    path: Path, found: container.Probe, count: int, frame_rate: int | float | None, complaint: str
) -> None:
    """Log damage, and images that end long before the file does."""
    seconds = count / (frame_rate or found.frame_rate or FRAME_RATE)
    if complaint:
        _log.warning("%s is damaged (%s): %.2f s of its images could be read", path, complaint, seconds)
    elif said := container.missing_seconds(path, found, seconds) if frame_rate else 0.0:
        _log.warning("the images of %s end at %.2f s of the file's %.2f s", path, seconds, said)


class VideoWriter:
    """Streams frames into an H.264 + AAC file that appears under its name only when it is whole.

    Use as a context manager. The file grows under a temporary name in the same folder; an exception or Ctrl-C
    in the block, or a failure of ffmpeg, removes it and leaves an older file of that name as it was.
    The audio is never cut: it may be up to a frame longer than the images.
    """

    def __init__(
        self,
        path: Path,
        *,
        size: int | tuple[int, int],
        frame_rate: int | float = FRAME_RATE,
        audio: Path | soundtrack.AudioTrack | soundtrack.SampledAudio | Float[np.ndarray, "n"] | None = None,
        sample_rate: int = SAMPLE_RATE,
        finish: Callable[[pathlib.Path], None] | None = None,
    ):
        """Prepare to write.

        Args:
          path: ends with one of SUFFIXES.
          size: side of square frames, or (height, width); odd sides are padded by one pixel (yuv420p).
          audio: an audio or video file, of which is taken whole what `soundtrack.listen` hears; what it has
            heard; or mono samples in [-1, 1], with their rate or without.
          sample_rate: Hz, of `audio` as samples.
          finish: is given the whole file before it bears its name, and may write it anew.

        Raises:
          UserError: the path cannot be written (see check_writable).
        """
        check_writable(path)
        # A link stays one: what it names is written.
        self.path, self.frames = pathlib.Path(os.path.realpath(path)), 0
        pair = _pair(size)
        assert pair is not None
        self.size, self._rate = pair, frame_rate
        if isinstance(audio, soundtrack.SampledAudio):
            audio, sample_rate = audio
        self._audio, self._sample_rate, self._last_touch = audio, sample_rate, finish
        suffix = pathlib.Path(path).suffix.lower()
        self._partial = atomic_write.hidden_beside(self.path.with_suffix(suffix))
        self._process: subprocess.Popen | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "VideoWriter":
        try:
            self._stack.enter_context(atomic_write.held(self._partial))
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
          UserError: ffmpeg has given up: the disk is full, or the audio cannot be read.
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
        if self._last_touch is not None:
            self._last_touch(self._partial)
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
        full = "free space or " if "No space left" in reason else ""
        return errors.UserError(
            f"{_name(self.path)} cannot be written: {reason}; {full}choose another --output"
        )

    def _ffmpeg(self) -> list[str]:
        height, width = self.size
        command = [*container.command_line(), "-loglevel", "error", "-y", "-f", "rawvideo"]
        command += ["-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(self._rate), "-i", "pipe:0"]
        command += self._audio_input()
        command += ["-map", "0:v:0", "-c:v", "libx264", "-preset", PRESET, "-crf", str(QUALITY)]
        pad = ["pad=ceil(iw/2)*2:ceil(ih/2)*2"] if height % 2 or width % 2 else []
        command += ["-vf", ",".join([*pad, *colour.WRITTEN]), *colour.TAGS]
        if self._audio is not None:
            command += ["-map", "1:a:0", "-af", AUDIO_FILTER, "-c:a", "aac", "-b:a", "128k"]
        if self._partial.suffix != ".mkv":
            command += ["-movflags", "+faststart"]
        return [*command, container.url(self._partial)]

    def _audio_input(self) -> list[str]:
        if self._audio is None:
            return []
        folder = pathlib.Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        if not isinstance(self._audio, np.ndarray):
            heard = self._audio
            if not isinstance(heard, soundtrack.AudioTrack):
                heard = soundtrack.listen(heard, sample_rate=self._sample_rate).track
            return soundtrack.write_native(heard, folder)
        samples = folder / "sound.f32"
        with container.full_disk_refused():
            samples.write_bytes(np.clip(self._audio, -1, 1).astype("<f4").tobytes())
        return ["-f", "f32le", "-ar", str(self._sample_rate), "-ac", "1", *container.source(samples)]


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


def check_writable(path: Path) -> None:
    """Refuse, before any work is done, an output that could not be written at the end.

    Raises:
      UserError: unknown suffix, missing or read-only folder, a folder of that name, or a read-only file.
    """
    target = pathlib.Path(os.path.realpath(path))  # where a link leads to
    if os.path.isdir(target):
        raise errors.UserError(f"{_name(path)} is a folder; name a file in it, such as talk.mp4")
    if len(os.fsencode(target.name)) > LONGEST_NAME:
        raise errors.UserError(
            f"{_name(target.name[:20] + '...')} has more than {LONGEST_NAME} bytes; choose a shorter --output"
        )
    if (suffix := pathlib.Path(path).suffix).lower() not in SUFFIXES:
        known, ends = ", ".join(SUFFIXES), f"ends with {suffix!r}" if suffix else "has no suffix"
        raise errors.UserError(f"{_name(path)} {ends}; the video is H.264: use one of {known}")
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


def _name(path: Path) -> str:
    return container.shown(path)


def _pair(size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    return (size, size) if isinstance(size, int) else size


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    return container.last_line(log.read().decode(errors="replace")) or "ffmpeg gave no reason"
