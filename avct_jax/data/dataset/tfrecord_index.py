"""Random access to TFRecord shards: where in them each clip's columns and images lie."""

import os
import pathlib
import struct
import threading
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Int

from avct_jax import errors
from avct_jax.data.clips import manifest
from avct_jax.data.dataset import dataset_index, host_tensorflow
from avct_jax.files import atomic_write

FILE = "random_access.npz"  # beside the shards
VERSION = 2
HEADER, FOOTER = 12, 4  # bytes of a TFRecord before and after its data: length and checksums
KNOWN_BY = ("keypoints", "jacobians", "poses", "score", "silent", "mel")  # columns that a catalog is made of


class RecordIndex(NamedTuple):
    """Where the bytes of c clips, n frames in all, lie; clips in order of name.

    Attributes:
      shards: file names.
      lengths: of the shards, bytes.
      shard: of each clip.
      columns: first byte of each column (in the order of dataset_index.COLUMNS) in that file.
      images: first byte and length of each JPEG.
    """

    catalog: dataset_index.Catalog
    shards: tuple[str, ...]
    lengths: Int[np.ndarray, " s"]
    shard: Int[np.ndarray, " c"]
    columns: Int[np.ndarray, "c 10"]
    images: Int[np.ndarray, "n 2"]


class Shards:
    """Open shards, read at any place by any thread."""

    def __init__(self, folder: str | os.PathLike, index: RecordIndex):
        self._folder, self._index = pathlib.Path(folder), index
        self._files: dict[int, int] = {}
        self._lock = threading.Lock()

    def rows(self, name: str, which: int, frames: Int[np.ndarray, "*m"]) -> np.ndarray:
        """A column of one clip at these frames, or steps."""
        column = dataset_index.COLUMNS[name]
        dtype = np.dtype(column.dtype)
        width = dtype.itemsize * int(np.prod(column.shape))
        first, last = int(frames.min()), int(frames.max())
        begin = int(self._index.columns[which, list(dataset_index.COLUMNS).index(name)])
        data = self._read(which, begin + first * width, (last + 1 - first) * width)
        return np.frombuffer(data, dtype).reshape(-1, *column.shape)[frames - first]

    def image(self, which: int, frame: int) -> bytes:
        """A JPEG."""
        begin, length = self._index.images[self._index.catalog.begins[which] + frame]
        return self._read(which, int(begin), int(length))

    def path(self, which: int) -> pathlib.Path:
        """The shard of a clip."""
        return self._folder / self._index.shards[int(self._index.shard[which])]

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.popitem()[1])

    def _read(self, which: int, begin: int, length: int) -> bytes:
        shard, path = int(self._index.shard[which]), self.path(which)
        try:
            with self._lock:
                if shard not in self._files:
                    self._files[shard] = os.open(path, os.O_RDONLY)
            data = os.pread(self._files[shard], length, begin)
        except OSError as error:
            raise errors.UserError(f"{path} cannot be read ({error.strerror}); prepare it again") from None
        if len(data) != length:
            raise errors.UserError(f"{path} ends too early; remove its folder and prepare it again")
        return data


def open_index(folder: str | os.PathLike) -> RecordIndex:
    """Read the index of a prepared dataset; make it where it is missing, or of other shards.

    Args:
      folder: the dataset's own, with its shards.

    Raises:
      UserError: no dataset is there, a shard is damaged, or the index cannot be written.
    """
    folder = pathlib.Path(folder)
    shards = sorted(path.name for path in folder.glob("*.tfrecord-*"))
    if not shards:
        raise errors.UserError(
            f"no TFRecord shards in {folder}; prepare them from clips (tfds_builder.prepare)"
        )
    lengths = [(folder / name).stat().st_size for name in shards]
    found = _load(folder / FILE)
    if found is not None and found.shards == tuple(shards) and found.lengths.tolist() == lengths:
        return found
    made = make_index(folder, shards)
    _save(folder / FILE, made)
    return made


def make_index(folder: pathlib.Path, shards: list[str]) -> RecordIndex:
    """Scan shards.

    Raises:
      UserError: one is damaged.
    """
    clips = []
    for number, name in enumerate(shards):
        held_out = "-test.tfrecord" in name
        clips += [_scan(record, begin, number, held_out) for begin, record in _records(folder / name)]
    clips.sort(key=lambda clip: clip[0].name)
    entries, known, sides, places, images = zip(*clips, strict=True)
    return RecordIndex(
        catalog=dataset_index.make(entries, known, size=sides[0]),
        shards=tuple(shards),
        lengths=np.array([(folder / name).stat().st_size for name in shards]),
        shard=np.array([place[0] for place in places]),
        columns=np.array([place[1] for place in places]),
        images=np.concatenate(images),
    )


def _records(path: pathlib.Path) -> Iterator[tuple[int, bytes]]:
    """Each record's first byte in the file, and its data."""
    with open(path, "rb") as file:
        while header := file.read(HEADER):
            begin = file.tell()
            length = struct.unpack("<Q", header[:8])[0] if len(header) == HEADER else -1
            record = file.read(length) if 0 <= length <= path.stat().st_size else b""
            if len(record) != length or len(file.read(FOOTER)) != FOOTER:
                raise errors.UserError(f"{path} is damaged; remove its folder and prepare it again")
            yield begin, record


def _scan(record: bytes, begin: int, shard: int, held_out: bool) -> tuple[Any, ...]:
    """Find in one record what RecordIndex notes down: any equal bytes will do."""
    features = host_tensorflow.load().train.Example.FromString(record).features.feature
    values = {name: features[name].bytes_list.value[0] for name in dataset_index.COLUMNS}
    columns = {
        name: np.frombuffer(values[name], own.dtype).reshape(-1, *own.shape)
        for name, own in dataset_index.COLUMNS.items()
    }
    jpegs, at, places = features["frames"].bytes_list.value, 0, []
    for jpeg in jpegs:
        at = record.index(jpeg, at)
        places.append((begin + at, len(jpeg)))
        at += len(jpeg)
    entry = manifest.Entry(
        name=features["name"].bytes_list.value[0].decode(),
        person=features["person"].bytes_list.value[0].decode(),
        held_out=held_out,
        frames=len(jpegs),
        audio=bool(values["audio"]),
        in_sync=bool(features["in_sync"].int64_list.value[0]),
        offset=features["offset"].float_list.value[0],
    )
    side = len(np.asarray(cv2.imdecode(np.frombuffer(jpegs[0], np.uint8), cv2.IMREAD_COLOR)))
    known = dataset_index.summarise({name: columns[name] for name in KNOWN_BY})
    return entry, known, side, (shard, [begin + record.index(value) for value in values.values()]), places


def _save(path: pathlib.Path, index: RecordIndex) -> None:
    fields = {f"catalog_{name}": value for name, value in index.catalog._asdict().items()}
    fields |= {name: value for name, value in index._asdict().items() if name != "catalog"}
    with atomic_write.writing(path) as temporary:
        np.savez(temporary, version=VERSION, **fields)


def _load(path: pathlib.Path) -> RecordIndex | None:
    """Read an index; None where it is missing, damaged, or of another version."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if int(file["version"]) != VERSION:
                return None
            fields = {name: file[name] for name in file.files}
            own = {name: fields[f"catalog_{name}"] for name in dataset_index.Catalog._fields}
            rest = {name: fields[name] for name in RecordIndex._fields if name != "catalog"}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    people = tuple(own["people"].tolist())
    known = dataset_index.Catalog(**{**own, "people": people, "size": int(own["size"])})
    return RecordIndex(known, **{**rest, "shards": tuple(rest["shards"].tolist())})
