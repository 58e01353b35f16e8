"""The audio of a file as a player plays it: decoded once to one format, on the container's clock.

Time 0 is where the file begins: audio that begins later has silence before it, and gaps are silence. What is
heard (16 kHz mono) and what is written into a video come of the same stream.
"""

import contextlib
import logging
import os
import pathlib
import struct
import tempfile
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np
import soxr
from jaxtyping import Float

from avct_jax import errors
from avct_jax.data.media import container

SILENT = 1e-3  # of full scale, -60 dB: a track none of whose 40 ms is louder holds nothing to hear
CANCELLED = 0.05  # of the loudest channel's level: what is left of channels that cancel each other out
LOUD = 2.0  # of full scale: lossy formats overshoot, but not so far
MOST_CHANNELS = 8  # that AAC holds, in an order that has a name
BLOCK = 1 << 14  # samples of each channel at once

_log = logging.getLogger(__name__)


class AudioTrack(NamedTuple):
    """What is heard of a file.

    Attributes:
      number: which of its audio tracks, from 0.
      channel: the one that is heard alone, from 0; None: their mean.
    """

    path: pathlib.Path
    number: int = 0
    channel: int | None = None


class SampledAudio(NamedTuple):
    """A mono recording in memory, full scale = 1; `rate`: samples/s."""

    samples: Float[np.ndarray, " n"]
    rate: int


class DecodedAudio(NamedTuple):
    """A mono recording, full scale = 1, and what it was taken of."""

    samples: Float[np.ndarray, " n"]
    track: AudioTrack


def listen(
    path: str | os.PathLike, *, sample_rate: int, number: int | None = None, on_disk: bool = False
) -> DecodedAudio:
    """Decode a file's audio.

    Channels are averaged, unless they cancel each other out: then the loudest is heard. A first track that is
    silent, or cannot be decoded, makes room for a later one. Both are logged, and so is damage.

    Args:
      number: of the audio track, from 0; by default the first that can be heard.
      on_disk: the samples stay in a temporary file until they are looked at.

    Raises:
      UserError: no such file, no audio in it or no track of this number, or the disk is full.
    """
    path = pathlib.Path(path)
    check_file(path)
    first: _Reader | None = None
    tracks, tried = 1, number or 0
    while tried < tracks or first is None:
        reader = _Reader(path, tried, sample_rate, on_disk)
        tracks = tried + 1 if number is not None else reader.probed.tracks
        if len(reader.samples) and not _is_silent(reader.samples, sample_rate):
            break
        first = first if first is not None and len(first.samples) else reader
        tried += 1
    else:
        reader = first
    _check_number(path, reader.probed, number)
    if not len(reader.samples):
        raise errors.UserError(_why_nothing(path, whole=not reader.complaint))
    reader.tell(silent_before=reader.track.number if number is None else 0)
    return DecodedAudio(reader.samples, reader.track)


def check_tracks(path: str | os.PathLike, track: int | None = None) -> None:
    """Look into a file, and decode no more of it than the first samples.

    Args:
      track: that has to be there, from 1.

    Raises:
      UserError: no such file, no audio in it, or no track of this number.
    """
    path, number = pathlib.Path(path), None if track is None else track - 1
    check_file(path)
    try:
        found, holds = container.probe_sound(path, number or 0)
    except container.NoMedia:
        raise errors.UserError(_why_nothing(path)) from None
    _check_number(path, found, number)
    # Of several tracks a later one may be heard; a file that lasts is damaged, which reading tells.
    if not (holds or found.duration) and (number is not None or found.tracks == 1):
        raise errors.UserError(_why_nothing(path, whole=True))


def _check_number(path: pathlib.Path, found: container.Probe, number: int | None) -> None:
    if not found.tracks:
        raise errors.UserError(f"{path}: has no sound track; give a file with speech in it")
    if number is not None and number >= found.tracks:
        held = "1 sound track" if found.tracks == 1 else f"{found.tracks} sound tracks"
        raise errors.UserError(f"{path}: has {held}, and no track {number + 1}; choose another --audio-track")


def write_native(heard: AudioTrack, folder: str | os.PathLike) -> list[str]:
    """Decode what is heard of a file once more, at its own rate and with its channels, into a folder.

    Returns:
      What makes ffmpeg read it: options and input.

    Raises:
      UserError: it cannot be decoded, or the disk is full.
    """
    output = pathlib.Path(folder) / "sound"
    with _Stream(heard.path, heard.number) as stream:
        one = heard.channel is not None or not stream.keeps_channels
        with container.full_disk_refused(), open(output, "wb") as file:
            file.write(b"" if one else stream.header)
            count = 0
            for block in stream:
                kept = _mixed(block, heard.channel)[:, None] if one else block
                file.write(np.ascontiguousarray(kept, "<f4").tobytes())
                count += len(block)
    if not count:
        raise errors.UserError(_why_nothing(heard.path))
    raw = ["-f", "f32le", "-ar", str(stream.rate), "-ac", "1"] if one else ["-f", "wav"]
    return [*raw, *container.source(output)]


def check_file(path: pathlib.Path) -> None:
    """Refuse what cannot be a recording.

    Raises:
      UserError: nothing there, a folder, a device, an empty file, or no permission to read.
    """
    if os.path.isdir(path):
        raise errors.UserError(f"{path}: a folder, not a sound; name a sound or video file inside it")
    if not os.path.exists(path):
        raise errors.UserError(f"{path}: no such sound file; check the name and the folder")
    if not os.access(path, os.R_OK):
        raise errors.UserError(f"{path}: not allowed to read this sound; change its permissions")
    if not os.path.isfile(path):
        raise errors.UserError(f"{path}: a device or a pipe, not a regular file; save it as a file first")
    if path.stat().st_size == 0:
        raise errors.UserError(f"{path}: an empty file (0 bytes); record or download the sound again")


class _Stream:
    """The samples of a track at their own rate, in blocks (n, channels); a context manager."""

    def __init__(self, path: pathlib.Path, number: int):
        try:
            self.probed, lead = container.probe_stream(path, f"a:{number}")
        except container.NoMedia:
            raise errors.UserError(_why_nothing(path)) from None
        clockless = container.CLOCKLESS.fullmatch(self.probed.kind)
        clock = [] if clockless else ["-af", "aresample=async=1"]
        if self.probed.kind.startswith("matroska") and not self.probed.has_video:
            lead = max(0.0, lead)  # ffmpeg adds what Opus skips to the start of a file that holds no more
        self._lead = 0.0 if clockless else lead
        form = ["-c:a", "pcm_f32le", "-bitexact", "-f", "wav", "-"]
        # Where the format changes on the way, ffmpeg begins its filters anew: none may reckon from time 0.
        # Nor may it guess what three and more channels are for: a third microphone is no subwoofer.
        source = ["-guess_layout_max", "2", *container.source(path), "-map", f"0:a:{number}"]
        self._decoder = container.FFmpegReader([*source, *clock, *form])
        self.complaint = self._decoder.complaint
        self.lost, self.peak = 0, 0.0  # how many samples are no numbers; how loud the others are
        self.header, self.channels, self.rate, mask = self._read_header()
        self.keeps_channels = self.channels <= 2 or (bool(mask) and self.channels <= MOST_CHANNELS)

    def __enter__(self) -> "_Stream":
        return self

    def __exit__(self, *_) -> None:
        self._decoder.__exit__()

    def __iter__(self) -> Iterator[Float[np.ndarray, "n c"]]:
        if not self.channels:
            return
        skipped = max(0, round(-self._lead * self.rate))
        silence = max(0, round(self._lead * self.rate))
        while silence:
            count = min(silence, BLOCK)
            yield np.zeros((count, self.channels), np.float32)
            silence -= count
        size = 4 * self.channels
        while data := self._decoder.read(BLOCK * size):
            count = len(data) // size
            block = np.frombuffer(data[: count * size], "<f4").reshape(-1, self.channels)[skipped:]
            skipped = max(0, skipped - count)
            if len(block):
                yield self._tamed(block)

    def _tamed(self, block: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
        """Silence for what is no number, and nothing beyond full scale."""
        known = np.isfinite(block)
        self.lost += known.size - int(known.sum())
        block = np.where(known, block, np.float32(0))
        self.peak = max(self.peak, float(np.abs(block).max()))
        return np.clip(block, -1, 1, dtype=np.float32)

    def _read_header(self) -> tuple[bytes, int, int, int]:
        """Header, channels, rate and which loudspeakers the channels are for; zeros where nothing comes."""
        header, form = self._decoder.read(12), b""
        while len(chunk := self._decoder.read(8)) == 8:
            header += chunk
            if chunk[:4] == b"data":
                channels, rate = struct.unpack_from("<HI", form, 2)
                return header, channels, rate, struct.unpack_from("<I", form, 20)[0] if len(form) >= 24 else 0
            body = self._decoder.read(struct.unpack_from("<I", chunk, 4)[0])
            header += body
            form = body if chunk[:4] == b"fmt " else form
        return b"", 0, 0, 0


class _Reader:
    """A track, mixed and brought to a rate; complaint: what the decoder said."""

    def __init__(self, path: pathlib.Path, number: int, sample_rate: int, on_disk: bool):
        self.track = AudioTrack(path, number)
        self.samples, levels = self._read(sample_rate, on_disk)
        channels, mix = levels[:-1], levels[-1]
        self.alone = False  # of many channels, is one that speaks lost in their mean?
        if len(channels) > 1 and mix < CANCELLED * channels.max():
            self.track = self.track._replace(channel=int(channels.argmax()))
            self.alone = bool(np.sort(channels)[-2] < CANCELLED * channels.max())
            self.samples, _ = self._read(sample_rate, on_disk)

    def _read(self, sample_rate: int, on_disk: bool) -> tuple[np.ndarray, np.ndarray]:
        """Samples; and the levels of the channels and, last, of their mean, each about its own middle."""
        store = _Disk() if on_disk else _Memory()
        with store, _Stream(self.track.path, self.track.number) as stream:
            sums, count = np.zeros((2, stream.channels + 1)), 0
            to_rate = _Resampler(stream.rate, sample_rate)
            for block in stream:
                mono = _mixed(block, self.track.channel)
                both = np.concatenate([block, mono[:, None]], 1).astype(np.float64)
                sums += both.sum(0), np.square(both).sum(0)
                count += len(block)
                store.add(to_rate(mono))
            store.add(to_rate(np.zeros(0, np.float32), last=True))
            self.complaint, self.probed = stream.complaint(), stream.probed
            self.lost, self.peak = stream.lost, stream.peak
            self.seconds = count / max(1, stream.rate)
            mean, square = sums / max(1, count)
            return store.samples(), np.sqrt(np.maximum(0, square - mean**2))

    def tell(self, *, silent_before: int) -> None:
        """Log what was decided, and what is missing."""
        path, number, channel = self.track
        if silent_before:
            which = "the first sound track" if number == 1 else f"the first {number} sound tracks"
            _log.warning("%s of %s: nothing to hear in it; track %d is heard", which, path, number + 1)
        if channel is not None:
            which = "first" if channel == 0 else f"{channel + 1}."
            why = "are silent but for one" if self.alone else "cancel each other out"
            _log.warning("the channels of %s %s: the %s one is heard", path, why, which)
        if self.lost:
            told = "%s has samples that are no numbers (NaN, Inf), %d in all: they are silent"
            _log.warning(told, path, self.lost)
        if self.peak > LOUD:
            _log.warning("%s goes up to %.3g times full scale: what is above 1 is cut off", path, self.peak)
        if self.complaint:
            told = "%s is damaged (%s): %.2f s of its sound could be read, gaps included; %s"
            elsewhere = "where a player plays more of it, save it as wav there"
            _log.warning(told, path, self.complaint, self.seconds, elsewhere)
        elif said := container.missing_seconds(path, self.probed, self.seconds):
            _log.warning("the sound of %s ends at %.2f s of the file's %.2f s", path, self.seconds, said)


class _Resampler:
    """Brings a mono stream to another rate."""

    def __init__(self, given: int, wanted: int):
        same = given in (wanted, 0)
        self._stream = None if same else soxr.ResampleStream(given, wanted, 1, dtype="float32")

    def __call__(self, mono: Float[np.ndarray, " n"], *, last: bool = False) -> Float[np.ndarray, " m"]:
        return mono if self._stream is None else self._stream.resample_chunk(mono, last=last)


class _Memory(contextlib.nullcontext):
    def __init__(self):
        super().__init__()
        self._bytes = bytearray()  # grows in place: a list of pieces would be held twice while it is joined

    def add(self, samples: Float[np.ndarray, " n"]) -> None:
        self._bytes += samples.astype(np.float32, copy=False).tobytes()

    def samples(self) -> Float[np.ndarray, " n"]:
        return np.frombuffer(self._bytes, np.float32)


class _Disk(contextlib.AbstractContextManager):
    def __init__(self):
        with container.full_disk_refused():
            self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__

    def add(self, samples: Float[np.ndarray, " n"]) -> None:
        with container.full_disk_refused():
            self._file.write(samples.astype(np.float32, copy=False).tobytes())

    def samples(self) -> Float[np.ndarray, " n"]:
        with container.full_disk_refused():
            self._file.flush()
        empty = not self._file.tell()
        return np.zeros(0, np.float32) if empty else np.memmap(self._file, np.float32, mode="r")

    def __exit__(self, *_) -> None:  # the mapping outlives the file
        with contextlib.suppress(OSError):
            self._file.close()


def _mixed(block: Float[np.ndarray, "n c"], channel: int | None) -> Float[np.ndarray, " n"]:
    """The mean of the channels, or one of them."""
    return block[:, channel] if channel is not None else block.mean(1, dtype=np.float32)


def _is_silent(samples: Float[np.ndarray, " n"], sample_rate: int) -> bool:
    size = sample_rate // int(container.FRAME_RATE)
    for begin in range(0, len(samples) - size + 1, 1024 * size):
        part = samples[begin : begin + 1024 * size]
        if part[: len(part) // size * size].reshape(-1, size).std(1).max() > SILENT:
            return False
    return True


def _why_nothing(path: pathlib.Path, *, whole: bool = False) -> str:
    if whole:
        return f"{path}: there is no sound in it, though it can be read; record it again"
    return f"{path}: cannot be read as sound (corrupt or not a media file); try converting it to wav"
