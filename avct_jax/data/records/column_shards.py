"""The columns of many clips in one file, read at any place: what is not asked for takes no memory.

NAME.columns has one column after the other, each of all clips' frames (of all steps for "mel") in rows of one
length; those of clips without audio are empty. NAME.npz has what draws are decided by.
"""

import functools
import os
import pathlib
import weakref
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from avct_jax import errors
from avct_jax.data.dataset import dataset_index
from avct_jax.data.records import shard_plan
from avct_jax.files import array_file, atomic_write

VERSION = 1
DATA, SUMMARY = ".columns", ".npz"
BLOCK = 8  # frames of a record of images
OPEN_FILES = 256  # at once
REMEDY = "remove that folder and start again: it is packed anew"


class ShardSize(NamedTuple):
    """How many rows a shard has.

    Attributes:
      frames: of all columns but "mel".
      steps: of "mel".
    """

    frames: int
    steps: int

    def rows(self, column: str) -> int:
        """Of one column."""
        return self.steps if column == "mel" else self.frames


def width(column: str) -> int:
    """Bytes of a row."""
    own = dataset_index.COLUMNS[column]
    return np.dtype(own.dtype).itemsize * int(np.prod(own.shape))


def begins(size: ShardSize) -> dict[str, int]:
    """First byte of each column, and of what is behind the last: ""."""
    lengths = [size.rows(name) * width(name) for name in dataset_index.COLUMNS]
    return dict(zip([*dataset_index.COLUMNS, ""], np.cumsum([0, *lengths]).tolist(), strict=True))


def is_packed(packed: pathlib.Path, name: str) -> bool:
    """Whether a shard is there and whole."""
    return all((packed / f"{name}{suffix}").exists() for suffix in (DATA, SUMMARY))


def pack(folder: pathlib.Path, plan: shard_plan.ShardPlan, mean_face: Float[np.ndarray, "478 2"]) -> None:
    """Write a shard into FOLDER/packed; each file appears when it is whole, the summary last.

    Raises:
      UserError: a clip is missing or damaged, or the disk is full.
    """
    columns = [dataset_index.read_columns(folder, entry, mean_face) for entry in plan.entries]
    summaries = [dataset_index.summarise(own) for own in columns]
    frames = [entry.frames for entry in plan.entries]
    size = ShardSize(sum(frames), sum(own.mel_steps for own in summaries))
    first, packed = begins(size), folder / shard_plan.FOLDER
    with atomic_write.writing(packed / f"{plan.name}{DATA}") as temporary, open(temporary, "wb") as file:
        file.truncate(first[""])  # where nothing is written there are holes, which take no room
        for name in dataset_index.COLUMNS:
            file.seek(first[name])
            for own, count in zip(columns, frames, strict=True):
                file.write(own[name].data if len(own[name]) else b"")
                absent = count if name != "mel" and not len(own[name]) else 0
                file.seek(absent * width(name), os.SEEK_CUR)
    fields = dataset_index.ClipSummary._fields
    known = {field: [getattr(own, field) for own in summaries] for field in fields}
    joined: dict[str, Any] = {
        field: np.concatenate(values) if field in dataset_index.PER_FRAME else np.array(values)
        for field, values in known.items()
    }
    with atomic_write.writing(packed / f"{plan.name}{SUMMARY}") as temporary:
        np.savez(temporary, **joined)


def read_summary(packed: pathlib.Path, name: str) -> dict[str, np.ndarray]:
    """What draws are decided by: the fields of ClipSummary, of all clips one after the other.

    Raises:
      UserError: it is missing or damaged.
    """
    path = packed / f"{name}{SUMMARY}"
    found = array_file.read_npz(path, remedy=REMEDY)
    if set(found) != set(dataset_index.ClipSummary._fields):
        raise errors.UserError(f"{path} is damaged; {REMEDY}")
    return found


class ShardRows(NamedTuple):
    """Where c clips lie in s shards.

    Attributes:
      names: of the shards.
      sizes: frames and steps of each shard.
      shard: of each clip.
      frame: row of each clip's first frame in its shard.
      step: row of its first step in its shard.
      block: its first record in the shard of its images, see image_shards.py.
    """

    names: tuple[str, ...]
    sizes: Int[np.ndarray, "s 2"]
    shard: Int[np.ndarray, " c"]
    frame: Int[np.ndarray, " c"]
    step: Int[np.ndarray, " c"]
    block: Int[np.ndarray, " c"]


class ColumnFiles:
    """Columns read at any place by any thread; see collate.Rows."""

    def __init__(self, packed: pathlib.Path, where: ShardRows):
        self._packed, self._where = packed, where
        # A file that falls out is closed when its last reader is done.
        self._file = functools.lru_cache(OPEN_FILES)(_ReadFile)

    def rows(self, name: str, which: int, frames: Int[np.ndarray, "*m"]) -> np.ndarray:
        """A column of one clip at these frames, or steps.

        Raises:
          UserError: a shard is missing or ends too early.
        """
        where, column = self._where, dataset_index.COLUMNS[name]
        shard, row = int(where.shard[which]), (where.step if name == "mel" else where.frame)[which]
        first, last = int(frames.min()), int(frames.max())
        begin = begins(ShardSize(*map(int, where.sizes[shard])))[name] + (int(row) + first) * width(name)
        file = self._file(self._packed / f"{where.names[shard]}{DATA}")
        data = file.read(begin, (last + 1 - first) * width(name))
        return np.frombuffer(data, column.dtype).reshape(-1, *column.shape)[frames - first]


class _ReadFile:
    def __init__(self, path: pathlib.Path):
        self._path = path
        try:
            self._number = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise errors.UserError(f"{path} cannot be read ({error.strerror}); {REMEDY}") from None
        weakref.finalize(self, os.close, self._number)

    def read(self, begin: int, length: int) -> bytes:
        data = os.pread(self._number, length, begin)
        if len(data) != length:
            raise errors.UserError(f"{self._path} ends too early; {REMEDY}")
        return data
