"""A folder of clips: made of videos by many processes, checked, and summed up in its manifest."""

import contextlib
import functools
import math
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from avct_jax import errors
from avct_jax.data.clips import av_sync_filter, clip, make_clips, manifest, worker_pool
from avct_jax.data.faces import face_detector, landmark_motion
from avct_jax.files import array_file, atomic_write
from avct_jax.workers import engine

LOCK, MEAN_FACE = ".lock", "mean_face.npy"
MEAN_STEP = 3  # every how many frames count for the mean face


class FolderProgress(NamedTuple):
    """How far a run is: videos done of all, frames looked at, clips made, parts refused."""

    videos: int
    total: int
    frames: int
    clips: int
    refused: int


Show = Callable[[FolderProgress], None]


class Work(NamedTuple):
    """What all processes know."""

    folder: pathlib.Path
    options: make_clips.ClipOptions


def open_folder(path: str | os.PathLike, videos: Sequence[pathlib.Path] = ()) -> pathlib.Path:
    """Make the folder of the clips, and see that it can be written to.

    Raises:
      UserError: it cannot, or it holds the videos themselves, which clips of their names would overwrite.
    """
    folder = pathlib.Path(path).resolve()
    places = (folder, folder / manifest.UNFINISHED)
    if inside := [v for v in videos if v.resolve().parent in places or v.parent.resolve() == folder]:
        raise errors.UserError(
            f"--output {os.fspath(path)!r} holds the video {inside[0].name!r}; name another"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = atomic_write.hidden_beside(folder / "probe.mp4")
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise errors.UserError(
            f"nothing can be written into {os.fspath(path)!r} ({error.strerror}); choose another --output"
        ) from None
    return folder


@contextlib.contextmanager
def locked(folder: pathlib.Path, *, shared: bool = False) -> Iterator[None]:
    """Keep other runs out of the folder; a run that was killed keeps nobody out.

    This only tells people of a mistake, where the disk has locks: nothing is lost without it.

    Args:
      shared: keep only those out that do not share it.

    Raises:
      UserError: another run is in it.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with open(folder / LOCK, "a+") as file:  # NFS shares a lock of what is open for reading alone
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.UserError(
                f"another `avct preprocess` writes into {str(folder)!r}; wait, or choose another --output"
            ) from None
        except OSError:  # a disk without locks
            pass
        yield


def make(
    folder: pathlib.Path,
    jobs: Sequence[make_clips.ClipJob],
    options: make_clips.ClipOptions,
    *,
    processes: int,
    show: Show = lambda state: None,
    by: engine.Engine = engine.HERE,
) -> list[manifest.Refusal]:
    """Make the clips of all videos that are not finished; returns those that failed and may be tried again.

    Args:
      processes: of this machine, or of `by`; 0, with Ray: as many as there is room for.
      by: who works.

    Raises:
      UserError: the folder cannot be written to any more.
    """
    records = manifest.read_records(folder)
    todo = []
    for job in jobs:
        record = records.get(job.name)
        if record is None or not is_current(record, job, options):
            manifest.drop(folder, job.name)
            todo.append(job)
    done = len(jobs) - len(todo)
    state, failed = FolderProgress(done, len(jobs), 0, 0, 0), []
    show(state)
    answers = by.pool()(_preprocess, todo, Work(folder, options), jobs=processes, option="--jobs")
    with contextlib.closing(answers):  # an exception here must stop the processes at once
        for job, answer in answers:
            if isinstance(answer, worker_pool.WorkProgress):
                state = state._replace(frames=state.frames + answer.amount)
            elif isinstance(answer, worker_pool.WorkFailure):
                if answer.error is not None:
                    raise answer.error
                failed.append(manifest.Refusal(job.source, 0.0, 0.0, "failed", answer.text))
                state = state._replace(videos=state.videos + 1, refused=state.refused + 1)
            else:
                clips, refused = (state.clips + answer[0], state.refused + answer[1])
                state = state._replace(videos=state.videos + 1, clips=clips, refused=refused)
            show(state)
    return failed


def is_current(record: manifest.Record, job: make_clips.ClipJob, options: make_clips.ClipOptions) -> bool:
    """Whether a finished video would give the same clips again."""
    try:
        same = os.stat(job.source).st_size == record.source_bytes
    except OSError:  # gone: what was made of it stays, and what could not be read is tried again
        same = bool(record.clips)
    return same and record.made_with == make_clips.made_with(job, options)


@functools.cache
def _landmarker() -> face_detector.FaceLandmarker:
    """Each process opens the networks once."""
    import cv2

    cv2.setNumThreads(1)  # the processes share the cores
    return face_detector.FaceLandmarker()


def _preprocess(job: make_clips.ClipJob, work: Work, progress: Callable[[int], None]) -> tuple[int, int]:
    record = make_clips.preprocess(job, work.folder, work.options, _landmarker(), progress)
    return len(record.clips), len(record.refused)


def check_offsets(folder: pathlib.Path, *, show: Callable[[str], None] = lambda text: None) -> None:
    """Judge whether audio and lips belong together, of all clips, where some have not been judged."""
    records = manifest.read_records(folder)
    if all(record.checked for record in records.values()):
        return
    heard = [entry for record in records.values() for entry in record.clips if entry.audio]
    show(f"comparing sound and lips of {len(heard)} clips")
    names, persons = [entry.name for entry in heard], [entry.person for entry in heard]
    judged = av_sync_filter.estimate(names, persons, functools.partial(_read_sample, folder)) if heard else {}
    for record in records.values():
        entries = []
        for entry in record.clips:
            verdict = (judged or {}).get(entry.name)
            offset = round(verdict.offset, 2) if verdict else math.nan
            # Where nothing is known, a clip with audio passes.
            in_sync = verdict.in_sync if verdict else entry.audio
            _set_offset(folder / f"{entry.name}.npz", offset, in_sync)
            entries.append(entry._replace(offset=offset, in_sync=in_sync))
        new = record._replace(clips=tuple(entries), checked=judged is not None)
        if new != record:
            manifest.write_record(folder, new)


def _read_sample(folder: pathlib.Path, name: str) -> av_sync_filter.SyncSample:
    made = clip.load(folder / f"{name}.npz")
    assert made.audio is not None
    return av_sync_filter.SyncSample(made.audio[..., : av_sync_filter.FEATURES], clip.lip_opening(made))


def _set_offset(path: pathlib.Path, offset: float, in_sync: bool) -> None:
    read = array_file.read_npz(path, {"offset", "in_sync"}.__contains__, remedy=clip.REMEDY)
    known = float(read["offset"]), bool(read["in_sync"])
    same = np.array_equal(np.float32(known[0]), np.float32(offset), equal_nan=True)
    if not same or known[1] != in_sync:
        clip.save(path, clip.load(path)._replace(offset=offset, in_sync=in_sync))


def sum_up(
    folder: pathlib.Path,
    failed: Sequence[manifest.Refusal] = (),
    *,
    speaker: str = "",
    new_mean_face: bool = False,
) -> manifest.Manifest:
    """Write the manifest of all clips in a folder, and the mean face where there is none yet.

    Args:
      failed: videos without a record.
      speaker: "" keeps the one of the folder's manifest.
    """
    records = [*manifest.read_records(folder).values()]
    for refusal in failed:
        records.append(manifest.Record("", refusal.source, 0, {}, (), (refusal,)))
    before = _read_before(folder)
    speaker = speaker or (before.speaker if before else "")
    mean = before.mean_face if before and (folder / MEAN_FACE).exists() else {}
    made = manifest.write(folder, records, speaker=speaker, mean_face=mean)
    people = {entry.person for entry in made.clips if not entry.held_out}
    others = people - {speaker}
    if made.clips and (not mean or new_mean_face or (others and mean.get("of") == "speaker")):
        mean = write_mean_face(folder, made, sorted(others) or sorted({e.person for e in made.clips}))
        mean["of"] = "others" if others else "speaker"
        made = manifest.write(folder, records, speaker=speaker, mean_face=mean)
    return made


def sum_up_part(
    folder: pathlib.Path,
    jobs: Sequence[make_clips.ClipJob],
    failed: Sequence[manifest.Refusal],
    *,
    speaker: str,
) -> manifest.Manifest:
    """Sum up some videos of a folder, and write nothing."""
    known = manifest.read_records(folder)
    records = [known[job.name] for job in jobs if job.name in known]
    records += [manifest.Record("", refusal.source, 0, {}, (), (refusal,)) for refusal in failed]
    return manifest.of_records(records, speaker=speaker, mean_face={})


def _read_before(folder: pathlib.Path) -> manifest.Manifest | None:
    try:
        return manifest.read(folder)
    except errors.UserError:
        return None


def write_mean_face(folder: pathlib.Path, made: manifest.Manifest, people: Sequence[str]) -> dict[str, Any]:
    """Write the mean face of some people's training clips; returns what it is of."""
    total, frames = np.zeros((face_detector.POINTS, 2)), 0
    for entry in made.clips:
        if entry.person in people and (not entry.held_out or len(people) == 1):
            points = clip.load(folder / f"{entry.name}.npz").points[::MEAN_STEP, :, :2]
            total, frames = total + points.sum(0, dtype=np.float64), frames + len(points)
    mean: Float[np.ndarray, "478 2"] = landmark_motion.mean_face((total / frames)[None])
    with atomic_write.writing(folder / MEAN_FACE) as temporary:
        np.save(temporary, mean.astype(np.float32))
    return {"people": len(people), "frames": frames}
