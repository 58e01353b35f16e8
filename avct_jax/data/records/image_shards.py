"""The images of many clips as JPEGs in one ArrayRecord file, read at any place.

A record is BLOCK successive frames of a clip: a reader keeps the place of each record in memory, and 1000 h
have 90 million frames. The extra `grain` brings array-record; it is imported when a file is opened.
"""

import functools
import json
import pathlib
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from avct_jax import errors
from avct_jax.data.clips import manifest
from avct_jax.data.dataset import dataset_index, frame_cache
from avct_jax.data.records import column_shards, jpeg, packed_index, shard_plan
from avct_jax.files import atomic_write

VERSION = 1
SUFFIX, INDEX = ".array_record", "images.json"
BLOCK = column_shards.BLOCK
WRITER = "group_size:1,uncompressed"  # each record can be read by itself
READER = "readahead_buffer_size:0"
OPEN_FILES = 64  # at once
REMEDY = column_shards.REMEDY


def library() -> types.ModuleType:
    """Import array-record.

    Raises:
      UserError: it is not installed.
    """
    try:
        from array_record.python import array_record_module  # pyright: ignore[reportAttributeAccessIssue]
    except ImportError:
        raise errors.UserError(
            "images in records need array-record: pip install 'avct-jax[grain]', or take --source numpy"
        ) from None
    return array_record_module


def plan(folder: pathlib.Path, entries: Iterable[manifest.Entry], size: int) -> list[shard_plan.ShardPlan]:
    """The shards of images that a folder's clips make; they hold the same clips as those of columns.

    Args:
      size: of the images, px.
    """
    return shard_plan.plan(folder, entries, ".mp4", [VERSION, BLOCK, jpeg.QUALITY, size])


def is_packed(packed: pathlib.Path, name: str) -> bool:
    """Whether a shard is there; it is whole then."""
    return (packed / f"{name}{SUFFIX}").exists()


def pack(folder: pathlib.Path, plan: shard_plan.ShardPlan, size: int) -> None:
    """Write a shard into FOLDER/packed; it appears when it is whole.

    Raises:
      UserError: a video is missing or damaged, array-record is, or the disk is full.
    """
    path = folder / shard_plan.FOLDER / f"{plan.name}{SUFFIX}"
    with atomic_write.writing(path) as temporary:
        writer = library().ArrayRecordWriter(str(temporary), WRITER)
        try:
            for entry in plan.entries:
                video = frame_cache.read_video(folder / f"{entry.name}.mp4", entry.frames, size)
                for record in _records(map(jpeg.encode, video)):
                    writer.write(record)
        finally:
            writer.close()


def _records(images: Iterator[bytes]) -> Iterator[bytes]:
    """Lengths of the JPEGs, and the JPEGs."""
    block: list[bytes] = []
    for image in images:
        block.append(image)
        if len(block) == BLOCK:
            yield _joined(block)
            block = []
    if block:
        yield _joined(block)


def _joined(block: list[bytes]) -> bytes:
    lengths = np.zeros(BLOCK, "<u4")
    lengths[: len(block)] = [len(image) for image in block]
    return lengths.tobytes() + b"".join(block)


def write_index(folder: pathlib.Path, plans: Sequence[shard_plan.ShardPlan]) -> None:
    """Say which shards are those of the clips that are there, and remove others."""
    packed, names = folder / shard_plan.FOLDER, [each.name for each in plans]
    value = {"version": VERSION, "mark": packed_index.mark(folder), "shards": names}
    atomic_write.write(packed / INDEX, json.dumps(value).encode())
    for path in packed.glob(f"*{SUFFIX}"):
        if path.stem not in names and not path.name.startswith(atomic_write.PREFIX):
            path.unlink(missing_ok=True)


def read_index(folder: pathlib.Path) -> tuple[str, ...] | None:
    """Names of the shards; None where they are not packed, or of other clips."""
    try:
        found = json.loads((folder / shard_plan.FOLDER / INDEX).read_text(encoding="utf-8"))
        mark = packed_index.mark(folder)
        current = found["version"] == VERSION and mark in (None, found["mark"])
        return tuple(found["shards"]) if current else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def open_images(
    folder: pathlib.Path,
    clips: packed_index.PackedClips,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> "ImageFiles":
    """Open the images of a folder whose columns are packed; what is not packed yet is packed first.

    Args:
      progress: called with shards that are packed and all that are to be.

    Raises:
      UserError: a video is missing or damaged, array-record is, or the disk is full.
    """
    library()
    names = read_index(folder)
    if names is None:
        entries = manifest.read(folder, least=1).clips
        with packed_index.packing(folder):
            names = read_index(folder) or _make(folder, entries, clips.catalog.size, progress)
    return ImageFiles(folder / shard_plan.FOLDER, names, clips)


def _make(folder: pathlib.Path, entries, size: int, progress: Any) -> tuple[str, ...]:
    plans = plan(folder, entries, size)
    todo = [each for each in plans if not is_packed(folder / shard_plan.FOLDER, each.name)]
    for done, each in enumerate(todo, 1):
        pack(folder, each, size)
        if progress:
            progress(done, len(todo))
    write_index(folder, plans)
    return tuple(each.name for each in plans)


class ImageFiles:
    """Images read at any place by any thread."""

    def __init__(self, packed: pathlib.Path, names: Sequence[str], clips: packed_index.PackedClips):
        self._packed, self._names = packed, names
        self._known: dataset_index.Catalog = clips.catalog
        self._where = clips.where
        self._reader = functools.lru_cache(OPEN_FILES)(_open)

    def show(self, pairs: Int[np.ndarray, "*b 2"], size: int) -> UInt8[np.ndarray, "*b s s 3"]:
        """The images of (clip, frame) pairs, `size` px.

        Raises:
          UserError: a shard is missing or damaged.
        """
        shown = np.empty((*pairs.shape[:-1], size, size, 3), np.uint8)
        blocks: dict[tuple[int, int], bytes] = {}
        for place in np.ndindex(pairs.shape[:-1]):
            which, frame = map(int, pairs[place])
            block = which, frame // BLOCK
            if block not in blocks:
                blocks[block] = self._record(*block)
            image = jpeg.decode(_cut(blocks[block], frame % BLOCK), self._known.size)
            if image is None:
                where = f"frame {frame} of clip {self._known.names[which]}"
                raise errors.UserError(f"{self._path(which)} is damaged at {where}; {REMEDY}")
            shown[place] = frame_cache.resize(image, size)
        return shown

    def _path(self, which: int) -> pathlib.Path:
        return self._packed / f"{self._names[int(self._where.shard[which])]}{SUFFIX}"

    def _record(self, which: int, block: int) -> bytes:
        path = self._path(which)
        number = int(self._where.block[which]) + block
        reader = self._reader(path)
        try:
            return reader.read([number])[0]
        except (RuntimeError, ValueError, IndexError) as error:
            raise errors.UserError(f"{path} is damaged ({str(error)[:100]}); {REMEDY}") from None


def _open(path: pathlib.Path) -> Any:
    if not path.exists():
        raise errors.UserError(f"{path} is missing; {REMEDY}")
    return library().ArrayRecordReader(str(path), READER)


def _cut(record: bytes, frame: int) -> bytes:
    lengths = np.frombuffer(record, "<u4", BLOCK)
    begin = 4 * BLOCK + int(lengths[:frame].sum())
    return record[begin : begin + int(lengths[frame])]
