"""Videos to measure, found by name in folders."""

import contextlib
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from avct_jax import errors
from avct_jax.data.media import video_io
from avct_jax.data.speech import audio_io
from avct_jax.evaluation import sidecar

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg")

Frames = Iterator[UInt8[np.ndarray, "h w 3"]]


class Video(NamedTuple):
    """A video that can be looked at as often as needed, a frame at a time.

    Attributes:
      frames: RGB at 25 frames/s, whatever the file's rate. audio: 16 kHz mono; None where there is none.
      stamp: tells whether it is the same video as before.
      phonemes, portrait: what is said in each frame, and the image that the video was made of, where it is
        known (sidecar.py).
    """

    name: str
    frames: Callable[[], Frames]
    audio: Callable[[], Float[np.ndarray, " n"] | None]
    stamp: tuple[object, ...]
    phonemes: Callable[[], Int[np.ndarray, " p"] | None] = lambda: None
    portrait: Callable[[], UInt8[np.ndarray, "h w 3"] | None] = lambda: None


def from_file(path: str | os.PathLike, name: str, *, size: tuple[int, int] | None = None) -> Video:
    """A video of a video file; nothing is read yet.

    Args:
      size: (height, width) to scale the frames to; None keeps the file's.

    Raises:
      UserError: there is no such file, or no permission to look.
    """
    path = pathlib.Path(path)

    def audio():
        return audio_io.read_audio(path) if video_io.probe(path).has_audio else None

    try:
        found = path.stat()
    except OSError as error:  # it was there when the folder was listed
        raise errors.UserError(f"{path} cannot be read: {error.strerror}; was it moved?") from None
    stamp = (path.name, found.st_size, found.st_mtime_ns, sidecar.stamp(path))
    frames = lambda: video_io.read_frames(path, size=size)
    known = (lambda: sidecar.phonemes_of(path), lambda: sidecar.portrait_of(path))
    return Video(name, frames, audio, stamp, *known)


def still_of(video: Video) -> Video:
    """The video's first image, shown for as long as it lasts, with its audio."""

    def frames():
        source = video.frames()
        first = next(source, None)
        if first is not None:
            yield first
            yield from (first for _ in source)

    return video._replace(frames=frames, stamp=("still", *video.stamp))


def chunks(frames: Frames, count: int) -> Iterator[UInt8[np.ndarray, "n h w 3"]]:
    """Frames in blocks of `count`; the last may be shorter."""
    while block := list(itertools.islice(frames, count)):
        yield np.stack(block)


def filled(block: UInt8[np.ndarray, "n h w 3"], count: int) -> UInt8[np.ndarray, "m h w 3"]:
    """A block with its last frame repeated up to `count`: one shape, one compiled program."""
    return np.concatenate([block, np.repeat(block[-1:], count - len(block), axis=0)])


def first(frames: Frames) -> UInt8[np.ndarray, "h w 3"]:
    """The first frame; the rest is not decoded."""
    with contextlib.closing(frames):  # type: ignore[arg-type]  # a generator, which ends its ffmpeg
        return next(frames)


def find(folder: str | os.PathLike) -> dict[str, pathlib.Path]:
    """All videos below a folder by name: the path from there, without suffix.

    Raises:
      UserError: no such folder, no video in it, or two of one name.
    """
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise errors.UserError(f"{str(root)!r} is no folder; name one that holds videos")
    found: dict[str, pathlib.Path] = {}
    for path in sorted(root.rglob("*")):
        inner = path.relative_to(root)
        hidden = any(part.startswith(".") for part in inner.parts)
        if hidden or path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        name = inner.with_suffix("").as_posix()
        if name in found:
            raise errors.UserError(f"{found[name]} and {path} have one name; leave one of them out")
        found[name] = path
    if not found:
        raise errors.UserError(f"no video is in {str(root)!r}; it should hold {', '.join(SUFFIXES)} files")
    return found


def in_common(
    generated: Mapping[str, Mapping[str, pathlib.Path]], real: Mapping[str, pathlib.Path]
) -> tuple[list[str], dict[str, list[str]]]:
    """Names of the real videos that any system made, and for each system those of them that it lacks.

    Raises:
      UserError: a system has none of them.
    """
    for system, videos in generated.items():
        if not videos.keys() & real.keys():
            raise errors.UserError(
                f"no video of {system!r} has the name of a real one ({min(videos)!r}, {min(real)!r}); "
                "videos that belong together must have one name in both folders"
            )
    wanted = [name for name in sorted(real) if not generated or any(name in f for f in generated.values())]
    return wanted, {system: [n for n in wanted if n not in videos] for system, videos in generated.items()}


def misfits(generated: Mapping[str, str | os.PathLike], real: str | os.PathLike) -> list[str]:
    """Lines to say of videos that are empty, or whose name is in one folder only.

    Raises:
      UserError: a folder is missing, or holds no video.
    """
    videos = {"the real videos": find(real)} | {name: find(folder) for name, folder in generated.items()}
    truth, *made = videos.values()
    lines = []
    for title, found in videos.items():
        if empty := [name for name, path in found.items() if path.stat().st_size == 0]:
            lines.append(f"{title}: {len(empty)} are empty (0 bytes): {errors.few(empty)}")
        if found is not truth and (unknown := sorted(found.keys() - truth.keys())):
            lines.append(f"{title}: {len(unknown)} have no real video of their name: {errors.few(unknown)}")
    if made and (unmade := sorted(truth.keys() - set().union(*made))):
        lines.append(f"the real videos: {len(unmade)} were made by no system: {errors.few(unmade)}")
    return lines
