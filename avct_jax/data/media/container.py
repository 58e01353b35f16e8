"""Media files as ffmpeg sees them: what is inside, on which clock, and reading them while ffmpeg decodes."""

import collections
import contextlib
import functools
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from avct_jax import errors
from avct_jax.data.media import stated_length
from avct_jax.files import file_kind

FRAME_RATE = 25.0  # frames/s, of a video that does not say
VERSION_SECONDS = 60  # in which an ffmpeg says its version
LINES = 20  # last ones of what ffmpeg complains of; a damaged hour complains in every packet
# Formats whose packets bear no times: ffmpeg counts, and counts wrong where parts of two rates were joined.
CLOCKLESS = re.compile("mp3|aac|wav|w64|aiff|au|flac|e?ac3|dts|truehd|amr|caf|wv|ape|tta|gsm")
# Formats of which ffmpeg puts the streams that it reads at time 0, whatever else the file holds.
DISCONTINUOUS = re.compile("mpegts|mpeg|ogg|nut|wtv")

Path = str | os.PathLike


class NoMedia(errors.UserError):
    """A file that ffmpeg cannot read."""


class Colours(NamedTuple):
    """How a video's numbers are meant, as its tags say ("" or "unknown" where they do not)."""

    pixels: str = ""
    matrix: str = ""
    primaries: str = ""
    transfer: str = ""


class Probe(NamedTuple):
    """What a media file holds.

    Attributes:
      duration: seconds; 0 where the file does not say.
      size: (height, width) as shown, turned and with square pixels, or 0, 0.
      start: seconds on the file's own clock where it begins.
      tracks: of audio.
      kind: ffmpeg's name of the format.
      guessed: the duration is ffmpeg's guess.
    """

    frame_rate: float
    duration: float
    size: tuple[int, int]
    has_video: bool
    has_audio: bool
    start: float = 0.0
    tracks: int = 0
    kind: str = ""
    guessed: bool = False
    colours: Colours = Colours()


def probe(path: Path) -> Probe:
    """Look into a media file.

    Raises:
      UserError: there is no such file, it is empty, or ffmpeg knows no such format.
    """
    return _look(path, [])[0]


def probe_stream(path: Path, stream: str) -> tuple[Probe, float]:
    """Look into a media file, and when one of its streams begins, seconds from where the file does.

    Args:
      stream: as ffmpeg names it: "a:1" is the second audio track, "V:0" the first video.

    Raises:
      UserError: as `probe`.
    """
    # Images are not decoded: ffmpeg would round their times to whole frames.
    copied = ["-c", "copy"] if stream.startswith("V") else []
    found, told = _look(path, ["-map", f"0:{stream}", *copied, "-frames", "1", "-f", "framecrc", "-"])
    base = _numbers(r"#tb 0: (\d+)/(\d+)", told)
    time = _numbers(r"(?m)^0,\s*-?\d+,\s*(-?\d+),", told)
    return found, time[0] * base[0] / base[1] - found.start if base and time and base[1] else 0.0


def probe_sound(path: Path, track: int) -> tuple[Probe, bool]:
    """Look into a media file, and whether its audio track of this number, from 0, holds anything.

    Raises:
      UserError: as `probe`.
    """
    found, told = _look(path, ["-map", f"0:a:{track}", "-frames", "1", "-f", "framecrc", "-"])
    return found, bool(re.search(r"(?m)^0,", told))


def _look(path: Path, output: Sequence[str]) -> tuple[Probe, str]:
    check_readable(path)
    command = [*command_line(), "-copyts", *source(path), *output]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    text = done.stderr.decode(errors="replace")
    return _read(path, text), done.stdout.decode(errors="replace")


def _read(path: Path, text: str) -> Probe:
    found = re.split(r"\nStream mapping:|\nOutput #0", text[text.find("Input #0") :])[0]
    streams = found.split("Stream #0:")
    video = next((s for s in streams[1:] if "Video:" in s and "(attached pic)" not in s), "")
    tracks = sum("Audio:" in stream for stream in streams[1:])
    size = _shown_size(video)
    video = video if min(size) > 0 else ""  # without a size it is none: ffmpeg went by the file's suffix
    if "Input #0" not in text or not (video or tracks or "(attached pic)" in text):
        raise NoMedia(f"{shown(path)} is no sound or video file that ffmpeg can read; convert it first")
    hours, minutes, seconds = _numbers(r"Duration: (\d+):(\d+):([\d.]+)", streams[0]) or (0, 0, 0)
    (start,) = _numbers(r"Duration: .*?, start: (-?[\d.]+)", streams[0]) or (0.0,)
    rate = _numbers(r"([\d.]+) (?:fps|tbr)", video) or ((FRAME_RATE,) if video else (0.0,))
    return Probe(
        rate[0],
        3600 * hours + 60 * minutes + seconds,
        size,
        bool(video),
        tracks > 0,
        start,
        tracks,
        (re.findall(r"Input #0, (.*?), from ", text) or [""])[0],
        "Estimating duration from bitrate" in text,
        _colours(video),
    )


def _shown_size(stream: str) -> tuple[int, int]:
    width, height = (int(v) for v in _numbers(r", (\d+)x(\d+)[ ,\[]", stream) or (0, 0))
    across, down = _numbers(r"SAR (\d+):(\d+)", stream) or (1, 1)
    if across and down and abs(across / down - 1) > 0.02:  # less is rounding, not worth a resampling
        width = round(width * across / down)
    turn = _numbers(r"rotation of (-?[\d.]+)", stream) or (0.0,)
    return (width, height) if round(abs(turn[0]) / 90) % 2 else (height, width)


def _colours(stream: str) -> Colours:
    """Of "Video: hevc (Main 10), yuv420p10le(tv, bt2020nc/bt2020/smpte2084, progressive), 1920x1080"."""
    found = re.search(r", (\w+)(?:\(([^()]*)\))?, \d+x\d+", stream)
    if not found:
        return Colours()
    said = (found.group(2) or "").split(", ")
    tags = next((part.split("/") for part in said if part.count("/") == 2), None)
    one = next((part for part in said if re.match(r"(bt|smpte)\d", part)), "unknown")
    return Colours(found.group(1), *(tags or [one] * 3))


def _numbers(pattern: str, text: str) -> tuple[float, ...]:
    match = re.search(pattern, text)
    return tuple(float(v) for v in match.groups()) if match else ()


def missing_seconds(path: Path, found: Probe, seconds: float) -> float:
    """The length that a file says it has, where `seconds` are notably less; else 0.

    A video's audio may end a little before its images, a recording alone has no reason to.
    """
    said = found.duration
    if found.guessed or found.kind == "avi":  # of avi ffmpeg may tell what is left, and not that it guesses
        said = stated_length.seconds(path, found.kind)
    if found.kind.startswith("matroska"):  # whose length is the time of its end
        said -= max(0.0, found.start)
    slack = max(1.0, 0.1 * said) if found.has_video else max(0.25, 0.02 * said)
    return said if said - seconds > slack else 0.0


class FFmpegReader:
    """An ffmpeg whose output is read while it works; leaving the block ends it.

    Nothing is written to a disk, so a full one loses neither output nor complaints.
    """

    def __init__(self, arguments: Sequence[str], *, folder: Path | None = None):
        """Start it.

        Args:
          arguments: what follows "ffmpeg -loglevel error"; the output goes to "-".
          folder: which it works in.
        """
        self._process = subprocess.Popen(
            [*command_line(), "-loglevel", "error", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder,
        )  # fmt: skip
        self._lines: collections.deque[bytes] = collections.deque(maxlen=LINES)
        assert self._process.stderr is not None and self._process.stdout is not None
        self._drain = threading.Thread(target=self._lines.extend, args=(self._process.stderr,), daemon=True)
        self._drain.start()
        self.read = self._process.stdout.read

    def __enter__(self) -> "FFmpegReader":
        return self

    def complaint(self) -> str:
        """Wait for the end, and return what went wrong, in one line; "" if nothing did."""
        status = self._process.wait()
        self._drain.join()
        return self.said() or (f"ffmpeg ended with status {status}" if status else "")

    def said(self) -> str:
        """Return what has gone wrong so far, in one line."""
        return last_line(b"".join(self._lines.copy()).decode(errors="replace"))

    def __exit__(self, *_) -> None:
        assert self._process.stderr is not None and self._process.stdout is not None
        self._process.stdout.close()
        self._process.kill()
        self._process.wait()
        self._drain.join()
        self._process.stderr.close()


@contextlib.contextmanager
def full_disk_refused() -> Iterator[None]:
    """Around writing to a temporary file.

    Raises:
      UserError: it cannot be written: what is in it is not all.
    """
    try:
        yield
    except OSError as error:
        raise errors.UserError(
            f"the disk of {tempfile.gettempdir()} is full or not to be written to ({error.strerror}); "
            "free space, or set TMPDIR to another folder"
        ) from None


def check_readable(path: Path) -> None:
    """Refuse a path that cannot be a media file.

    Raises:
      UserError: nothing there, a folder, a device or pipe, an empty file, or no permission to read.
    """
    if not os.path.exists(path):
        raise errors.UserError(f"there is no file {shown(path)}; check the path")
    if os.path.isdir(path):
        raise errors.UserError(f"{shown(path)} is a folder; give a file in it")
    if not os.path.isfile(path):  # a pipe can be read once only, and we look before we listen
        raise errors.UserError(f"{shown(path)} is a device or a pipe, not a regular file; save it first")
    try:
        with open(path, "rb") as file:
            if not (begin := file.read(file_kind.LENGTH)):
                raise errors.UserError(f"{shown(path)} is empty (0 bytes); give another file")
            file_kind.refuse_pointer(path, begin)
    except OSError as error:
        raise errors.UserError(f"{shown(path)} cannot be read: {error.strerror}") from None


def ffmpeg() -> str:
    """The ffmpeg to call: imageio-ffmpeg's own, or the one IMAGEIO_FFMPEG_EXE or the system names."""
    import imageio_ffmpeg

    try:
        found = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise errors.UserError(
            "no ffmpeg found; pip install imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE"
        ) from error
    if not shutil.which(found):
        raise errors.UserError(f"IMAGEIO_FFMPEG_EXE is {found!r}, which is no program; unset or correct it")
    version(found)
    return found


@functools.cache
def version(program: str) -> tuple[int, int]:
    """The version of an ffmpeg, (5, 1) of 5.1.2; one that was built from between versions is the newest.

    Raises:
      UserError: it is another program.
    """
    try:
        done = subprocess.run(
            [program, "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=VERSION_SECONDS
        )
        said = done.stdout.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    if not said.startswith("ffmpeg version "):
        raise errors.UserError(f"IMAGEIO_FFMPEG_EXE is {program!r}, which is no ffmpeg; unset or correct it")
    number = re.match(r"ffmpeg version n?(\d+)\.(\d+)", said)
    return (int(number[1]), int(number[2])) if number else (999, 0)


@functools.cache
def _found(named: str | None) -> str:
    return os.path.abspath(shutil.which(ffmpeg()) or "ffmpeg")


def command_line() -> list[str]:
    """What every call of ffmpeg begins with."""
    return [_found(os.environ.get("IMAGEIO_FFMPEG_EXE")), "-nostdin", "-hide_banner"]


@functools.cache
def every_frame() -> list[str]:
    """What makes ffmpeg give each frame once; its name changed in version 5.1."""
    return ["-vsync", "0"] if version(command_line()[0]) < (5, 1) else ["-fps_mode", "passthrough"]


def source(path: Path) -> list[str]:
    """A file as ffmpeg's input, whatever folder it works in.

    Local files only: a playlist could otherwise make it open addresses on the network.
    """
    return ["-protocol_whitelist", "file,pipe", "-i", url(os.path.abspath(path))]


def url(path: Path) -> str:
    """Return ffmpeg's name of a local file: '-x' or 'concat:x' would mean something else to it."""
    return f"file:{os.fspath(path)}"


def shown(path: Path) -> str:
    """A file's name for a message, whose one line a line break in the name must not break."""
    return repr(os.fspath(path))


def last_line(text: str) -> str:
    """What ffmpeg complained of last, without the names of its parts."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Last message repeated")] or lines
    return re.sub(r"^(\[[^\]]*\] )+", "", lines[-1])[:200] if lines else ""
