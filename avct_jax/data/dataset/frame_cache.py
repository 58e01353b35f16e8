"""All images of a folder of clips at one size, decoded once into one array."""

import contextlib
import errno
import json
import os
import pathlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from avct_jax import errors
from avct_jax.data.dataset import dataset_index
from avct_jax.data.media import video_io

FOLDER = ".frames"  # inside the folder of clips
SAVED_EVERY = 32  # clips after which the decoded ones are noted down

Progress = Callable[[int, int], None]
Write = Callable[[int, UInt8[np.ndarray, "s s 3"]], None]


def open_frames(
    folder: str | os.PathLike,
    known: dataset_index.Catalog,
    size: int,
    *,
    in_memory: bool = False,
    progress: Progress | None = None,
) -> UInt8[np.ndarray, "n s s 3"]:
    """All n images of a catalog, `size` px, in its order.

    They are decoded where they have not been yet, or where a video has changed, into FOLDER/SIZE.bin, which
    is mapped, not read: the system keeps in memory what is used. A kill costs at most SAVED_EVERY clips.
    Several processes may call at once; one works, the others wait.

    Args:
      in_memory: decode into memory, and write nothing.
      progress: called with the clips decoded and the clips to decode.

    Raises:
      UserError: a video is missing or damaged, the disk is full or not to be written to.
    """
    folder = pathlib.Path(folder)
    shape = (int(known.begins[-1]), size, size, 3)
    if in_memory:
        images = np.empty(shape, np.uint8)
        _decode_all(folder, known, range(len(known.names)), size, images.__setitem__, progress)
        return images
    path = folder / FOLDER / f"{size}.bin"
    try:
        path.parent.mkdir(exist_ok=True)
        with locked(path.with_suffix(".lock")):
            _fill(folder, known, path, size, progress)
        return np.memmap(path, np.uint8, "r", shape=shape)
    except OSError as error:
        need = np.prod(shape) / 1e9
        raise errors.UserError(
            f"cannot write {path} ({error.strerror}), which takes {need:.1f} GB; free space, or take smaller "
            "images"
        ) from None


def resize(image: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "s s 3"]:
    """Scale a square image down by areas, as every source does."""
    if image.shape[0] == size:
        return image
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA))


def read_video(path: pathlib.Path, frames: int, size: int) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield the images of one clip, which has so many, `size` px.

    Raises:
      UserError: the video is missing or damaged, or is not the one that its columns are of.
    """
    count = 0
    for image in video_io.read_frames(path, frame_rate=None):
        if image.shape[:2] != (size, size):
            side = f"{image.shape[1]}x{image.shape[0]}, other clips are {size}x{size}"
            raise errors.UserError(f"{path} is {side}; run `avct preprocess` again")
        yield image
        count += 1
    if count != frames:
        raise errors.UserError(
            f"{path} holds {count} images, {frames} are listed; run `avct preprocess` again"
        )


def _fill(folder, known, path: pathlib.Path, size: int, progress: Progress | None) -> None:
    """Bring SIZE.bin up to date."""
    index = path.with_suffix(".json")
    clips = [[name, int(frames)] for name, frames in zip(known.names, known.frames, strict=True)]
    marks = [_mark(folder / f"{name}.mp4") for name in known.names]
    found = _read_index(index)
    length = int(known.begins[-1]) * size * size * 3
    if found.get("clips") != clips or not path.exists() or path.stat().st_size != length:
        index.unlink(missing_ok=True)  # first: it must never speak of another file
        _make_file(path, length)
        found = {"clips": clips, "marks": [None] * len(clips)}
    old = found["marks"]
    todo = [i for i in range(len(clips)) if old[i] != marks[i]]
    if not todo:
        return
    with open(path, "r+b", buffering=0) as file:
        # Written, not mapped: a full disk is then an error, not the end of the process.
        write = lambda place, image: _write(file.fileno(), image, place)
        for first in range(0, len(todo), SAVED_EVERY):
            some = todo[first : first + SAVED_EVERY]
            report = progress and (lambda done, _, first=first: progress(first + done, len(todo)))
            _decode_all(folder, known, some, size, write, report)
            os.fsync(file.fileno())
            for i in some:
                old[i] = marks[i]
            _write_index(index, found)


def _decode_all(folder, known, clips, size: int, write: Write, progress: Progress | None) -> None:
    def decode(which: int) -> None:
        video = read_video(folder / f"{known.names[which]}.mp4", known.length(which), known.size)
        for place, image in enumerate(video, int(known.begins[which])):
            write(place, resize(image, size))

    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:  # ffmpeg decodes, in processes of its own
        waiting = [pool.submit(decode, which) for which in clips]
        try:
            for done, one in enumerate(futures.as_completed(waiting), 1):
                one.result()
                if progress:
                    progress(done, len(waiting))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _write(file: int, image: UInt8[np.ndarray, "s s 3"], place: int) -> None:
    data, done = memoryview(image.tobytes()), 0
    while done < len(data):
        done += os.pwrite(file, data[done:], place * len(data) + done)


def _make_file(path: pathlib.Path, length: int) -> None:
    """A file of that length under the name, in the place of an older one that others may still read."""
    free = shutil.disk_usage(path.parent).free + (path.stat().st_size if path.exists() else 0)
    if free < length:
        raise OSError(errno.ENOSPC, f"{free / 1e9:.1f} GB are free")
    path.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}")
    with open(temporary, "wb") as file:
        file.truncate(length)
    os.replace(temporary, path)


def _mark(path: pathlib.Path) -> list[int]:
    """What changes when a video does."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise errors.UserError(f"{path} is missing; run `avct preprocess` again") from None
    return [found.st_mtime_ns, found.st_size]


def _read_index(path: pathlib.Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        return found if len(found["clips"]) == len(found["marks"]) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write_index(path: pathlib.Path, index: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}")
    temporary.write_text(json.dumps(index))
    os.replace(temporary, path)


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Keep others who ask for the same file waiting; not on Windows, which has no such locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
