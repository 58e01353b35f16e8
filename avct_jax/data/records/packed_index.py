"""All clips of a folder as one catalog of mapped arrays: to open it takes no memory of their length."""

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from avct_jax import errors
from avct_jax.data.clips import manifest
from avct_jax.data.dataset import dataset_index, frame_cache
from avct_jax.data.media import video_io
from avct_jax.data.records import column_shards, shard_plan
from avct_jax.files import atomic_write

FILE, ARRAYS = "index.json", "index-"
VERSION = 2
MARKED = (manifest.FILE, "mean_face.npy")  # where these are as they were, so are the clips
IN_JSON = ("people", "size")  # fields of a catalog; all others are arrays
WHERE = ("shard", "frame", "step", "block")  # of column_shards.ShardRows, by clip
REMEDY = column_shards.REMEDY

Progress = Callable[[int, int], None]


class PackedClips(NamedTuple):
    """A folder's clips.

    Attributes:
      speaker: whose speech is learned.
      where: their rows in the shards.
    """

    catalog: dataset_index.Catalog
    speaker: str
    where: column_shards.ShardRows

    def files(self, folder: pathlib.Path) -> column_shards.ColumnFiles:
        """Open the columns of the folder that this is of."""
        return column_shards.ColumnFiles(folder / shard_plan.FOLDER, self.where)


def speaker_of(folder: str | os.PathLike) -> str:
    """Whose speech is learned, without a look at every clip where they are packed.

    Raises:
      UserError: there are no clips.
    """
    folder = pathlib.Path(folder)
    found = _read(folder)
    return found["speaker"] if found else manifest.read(folder, least=1).speaker


def open_clips(folder: str | os.PathLike, *, progress: Progress | None = None) -> PackedClips:
    """Open a folder's clips; what is not packed yet, or has changed, is packed first.

    Several processes may call at once; one packs, the others wait. A folder that has `packed/` alone, and no
    manifest, is opened as it is: copies to train from need no more.

    Args:
      progress: called with shards that are packed and all that are to be.

    Raises:
      UserError: no clips, one that is missing or damaged, or the disk is full.
    """
    folder = pathlib.Path(folder)
    found = _read(folder)
    if not found:
        # Told before a folder is made in a place that has no clips.
        known = manifest.read(folder, least=1)
        with packing(folder):
            found = _read(folder) or _make(folder, known, progress)
    return _load(folder, found)


@contextlib.contextmanager
def packing(folder: pathlib.Path) -> Iterator[None]:
    """Make the folder of what is packed, and keep others waiting meanwhile.

    Raises:
      UserError: it cannot be made.
    """
    packed = folder / shard_plan.FOLDER
    with contextlib.ExitStack() as held:
        try:
            packed.mkdir(exist_ok=True)
            held.enter_context(frame_cache.locked(packed / ".lock"))
        except OSError as error:
            raise errors.UserError(
                f"cannot write {packed} ({error.strerror}); clips are packed there: let it be written to"
            ) from None
        yield


def plan(
    folder: pathlib.Path, entries: Iterable[manifest.Entry], mean_face: np.ndarray
) -> list[shard_plan.ShardPlan]:
    """The shards of columns that a folder's clips make."""
    content = [
        column_shards.VERSION,
        [list(own) for own in dataset_index.COLUMNS.values()],
        mean_face.tolist(),
    ]
    return shard_plan.plan(folder, entries, ".npz", content)


def _make(folder: pathlib.Path, known: manifest.Manifest, progress: Progress | None) -> dict[str, Any]:
    """Pack what is not packed, and write the index."""
    entries = known.clips
    found, packed = mark(folder), folder / shard_plan.FOLDER
    mean_face = dataset_index.read_mean_face(folder)
    plans = plan(folder, entries, mean_face)
    todo = [each for each in plans if not column_shards.is_packed(packed, each.name)]
    for done, each in enumerate(todo, 1):
        column_shards.pack(folder, each, mean_face)
        if progress:
            progress(done, len(todo))
    arrays = packed / f"{ARRAYS}{atomic_write.token()}"
    arrays.mkdir()
    said = dataset_index.of_entries(entries)
    sizes = _join(packed, arrays, plans, said)
    first = video_io.probe(folder / f"{entries[0].name}.mp4")
    index = {
        "version": VERSION,
        "mark": found,
        "arrays": arrays.name,
        "speaker": known.speaker,
        "people": said["people"],
        "size": first.size[0],
        "shards": [[each.name, *size] for each, size in zip(plans, sizes, strict=True)],
    }
    atomic_write.write(packed / FILE, json.dumps(index).encode())
    _remove_others(packed, index)
    return index


def _join(packed, arrays: pathlib.Path, plans, said: dict[str, Any]) -> list[column_shards.ShardSize]:
    """Write the arrays of a catalog, a shard in memory at a time; returns the shards' sizes."""
    frames = np.array([entry.frames for each in plans for entry in each.entries])
    known = {name: value for name, value in said.items() if name not in IN_JSON}
    known["begins"] = np.concatenate([[0], np.cumsum(frames)])
    for name, values in known.items():
        np.save(arrays / f"{name}.npy", values)
    clips, total = len(frames), int(frames.sum())
    made: dict[str, Any] = {}

    def array(name: str, like: np.ndarray) -> np.ndarray:
        if name not in made:
            length = total if name in dataset_index.PER_FRAME else clips
            shape, path = (length, *like.shape[1:]), arrays / f"{name}.npy"
            made[name] = np.lib.format.open_memmap(path, "w+", dtype=like.dtype, shape=shape)
        return made[name]

    clip, frame, sizes = 0, 0, []
    for number, each in enumerate(plans):
        own = column_shards.read_summary(packed, each.name)
        lengths = np.array([entry.frames for entry in each.entries])
        own["faces"] = np.add.reduceat(own["face"], np.cumsum(lengths) - lengths, dtype=np.int64)
        own["shard"] = np.full(len(lengths), number)
        blocks = -(-lengths // column_shards.BLOCK)
        rows = (lengths, own["mel_steps"], blocks)
        own["frame"], own["step"], own["block"] = (np.cumsum(x) - x for x in rows)
        for name, values in own.items():
            first = frame if name in dataset_index.PER_FRAME else clip
            array(name, values)[first : first + len(values)] = values
        sizes.append(column_shards.ShardSize(int(lengths.sum()), int(own["mel_steps"].sum())))
        clip, frame = clip + len(lengths), frame + int(lengths.sum())
    for values in made.values():
        values.flush()
    return sizes


def _load(folder: pathlib.Path, index: dict[str, Any]) -> PackedClips:
    packed = folder / shard_plan.FOLDER
    arrays = packed / index["arrays"]
    read = lambda name: _mapped(arrays / f"{name}.npy")
    fields: dict[str, Any] = {
        name: read(name) for name in dataset_index.Catalog._fields if name not in IN_JSON
    }
    catalog = dataset_index.Catalog(**fields, people=tuple(index["people"]), size=index["size"])
    names, *sizes = zip(*index["shards"], strict=True)
    rows = column_shards.ShardRows(names, np.array(sizes).T, *map(read, WHERE))
    return PackedClips(catalog, index["speaker"], rows)


def _mapped(path: pathlib.Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)  # memmap's own is slower
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)[:100]
        raise errors.UserError(f"{path} cannot be read ({reason}); {REMEDY}") from None


def mark(folder: pathlib.Path) -> list[list[int]] | None:
    """What changes when clips do; None where there is no manifest."""
    if not (folder / manifest.FILE).exists():
        return None
    stats = [(folder / name).stat() for name in MARKED if (folder / name).exists()]
    return [[found.st_size, found.st_mtime_ns] for found in stats]


def _read(folder: pathlib.Path) -> dict[str, Any] | None:
    """The index, where it is of this version and of the clips that are there."""
    try:
        found = json.loads((folder / shard_plan.FOLDER / FILE).read_text(encoding="utf-8"))
        current = found["version"] == VERSION and mark(folder) in (None, found["mark"])
        return found if current else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remove_others(packed: pathlib.Path, index: dict[str, Any]) -> None:
    """Remove arrays and columns of clips as they were; whoever has them open keeps them."""
    kept = {index["arrays"], *(shard[0] for shard in index["shards"])}
    for path in packed.glob(f"{ARRAYS}*"):
        if path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)
    for suffix in (column_shards.DATA, column_shards.SUMMARY):
        for path in packed.glob(f"*{suffix}"):
            if path.stem not in kept:
                path.unlink(missing_ok=True)
