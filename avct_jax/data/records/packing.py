"""A whole folder packed by many processes, or by many machines that share it, each of which does a part."""

import pathlib
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from avct_jax import errors
from avct_jax.data.clips import manifest, worker_pool
from avct_jax.data.dataset import dataset_index
from avct_jax.data.media import video_io
from avct_jax.data.records import column_shards, image_shards, packed_index, shard_plan
from avct_jax.workers import engine, shard


class PackProgress(NamedTuple):
    """How far it is: shards that are there, of all; those of columns and those of images count apart."""

    done: int
    total: int


class ShardTask(NamedTuple):
    """A shard to be packed."""

    kind: Literal["columns", "images"]
    plan: shard_plan.ShardPlan


class _Folder(NamedTuple):
    """What all processes know."""

    path: pathlib.Path
    mean_face: Float[np.ndarray, "478 2"]
    size: int


def pack(
    folder: str | pathlib.Path,
    *,
    images: bool = True,
    processes: int = 1,
    part: shard.Shard = shard.WHOLE,
    by: engine.Engine = engine.HERE,
    show: Callable[[PackProgress], None] = lambda state: None,
) -> PackProgress:
    """Pack what is not packed yet; what is finished stays, and a call that was killed goes on from there.

    Processes are spawned: a script has to call it under `if __name__ == "__main__"`.

    Args:
      folder: what `avct preprocess` made.
      images: also JPEGs, for the source "grain"; else columns alone, which the numpy source reads.
      processes: 0, with Ray: as many as there is room for.
      part: of the shards. In the end a call for the whole writes the index, and packs what is missing.
      by: who works, see `workers.engine`.
      show: called with how far it is.

    Returns:
      Shards that are packed, and how many this call, or its part, had to look after.

    Raises:
      UserError: no clips, a damaged one, array-record is not installed, or the disk is full.
    """
    if images:
        image_shards.library()
    known, tasks = _tasks(pathlib.Path(folder), images)
    with packed_index.packing(known.path):
        pass  # the folder is there, and can be written to
    tasks = part.of(tasks)
    todo = [task for task in tasks if not _is_packed(known.path, task)]
    state = PackProgress(len(tasks) - len(todo), len(tasks))
    show(state)
    for task, answer in by.pool()(_pack, todo, known, jobs=processes, option="--jobs"):
        if isinstance(answer, worker_pool.WorkFailure):
            named = f"{task.kind} of {task.plan.entries[0].name} and on: {answer.text}"
            raise answer.error or errors.UserError(f"{named}; start again, what is packed is kept")
        state = state._replace(done=state.done + 1)
        show(state)
    if part.is_whole:
        clips = packed_index.open_clips(known.path)
        if images:
            image_shards.open_images(known.path, clips)
    return state


def _tasks(folder: pathlib.Path, images: bool) -> tuple[_Folder, list[ShardTask]]:
    entries = manifest.read(folder, least=1).clips
    mean_face = dataset_index.read_mean_face(folder)
    size = video_io.probe(folder / f"{entries[0].name}.mp4").size[0]
    tasks = [ShardTask("columns", plan) for plan in packed_index.plan(folder, entries, mean_face)]
    if images:
        tasks += [ShardTask("images", plan) for plan in image_shards.plan(folder, entries, size)]
    return _Folder(folder, mean_face, size), tasks


def _is_packed(folder: pathlib.Path, task: ShardTask) -> bool:
    packed = folder / shard_plan.FOLDER
    there = column_shards.is_packed if task.kind == "columns" else image_shards.is_packed
    return there(packed, task.plan.name)


def _pack(task: ShardTask, known: _Folder, tell: Callable[[int], None]) -> None:
    del tell
    if task.kind == "columns":
        column_shards.pack(known.path, task.plan, known.mean_face)
    else:
        image_shards.pack(known.path, task.plan, known.size)
