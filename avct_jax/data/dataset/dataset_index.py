"""What is known of all clips of a folder before an image is read: what draws are decided by."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from avct_jax import errors, speech_format
from avct_jax.data.clips import clip, manifest
from avct_jax.data.faces import face_detector as face
from avct_jax.data.faces import landmark_motion
from avct_jax.data.phonemes import symbols
from avct_jax.files import array_file

UPPER_LIP, LOWER_LIP = 0, 1  # among the keypoints of data/faces/landmark_motion.py
WIDE, SHUT = 0.7, 0.5  # quantiles of a clip's lip opening: wide open mouths lie above, shut ones below
LEAST_SILENT = 6  # frames from which a speaker's rest can be told
CALMEST = 0.6  # share of the silent frames, those with the lips closest, that are rest


class Column(NamedTuple):
    """Type and shape of one frame's value; of one step's for "mel"."""

    dtype: str
    shape: tuple[int, ...]


# What training needs of a clip beside its images; landmarks have become motion.
COLUMNS = {
    "keypoints": Column("float32", (10, 2)),
    "jacobians": Column("float32", (10, 2, 2)),
    "poses": Column("float32", (6,)),
    "mouth_boxes": Column("float32", (4,)),
    "score": Column("float32", ()),
    "audio": Column("float32", (speech_format.ROWS, speech_format.COLUMNS)),
    "mel": Column("float16", (80,)),  # steps, clips.mel_steps
    "phonemes": Column("int8", ()),
    "recognised": Column("int8", ()),
    "silent": Column("bool", ()),
}
HEARD = ("audio", "mel", "phonemes", "recognised", "silent")  # of no length without audio

PER_FRAME = ("opening", "face", "silent")  # of a Catalog, n long

Columns = dict[str, Num[np.ndarray, "t *_"] | Bool[np.ndarray, " t"]]


class ClipSummary(NamedTuple):
    """What draws are decided by, of one clip of t frames; see Catalog."""

    opening: Float[np.ndarray, " t"]
    face: Bool[np.ndarray, " t"]
    silent: Bool[np.ndarray, " t"]
    wide: float
    shut: float
    rest_keypoints: Float[np.ndarray, "10 2"]
    rest_jacobians: Float[np.ndarray, "10 2 2"]
    rest_pose: Float[np.ndarray, " 6"]
    mel_steps: int


class Catalog(NamedTuple):
    """c clips in order of name, their n frames one after the other.

    Arrays may be mapped from files, so that a catalog of any length takes hardly any memory.

    Attributes:
      names: of the clips.
      people: everybody's names, sorted.
      person: who is in each clip, a number in `people`.
      held_out: never trained on.
      begins: the first of each clip's frames, and n.
      size: of the images, px.
      opening: of the lips, [-1, 1] units.
      face: found by the tracker, not interpolated.
      silent: nobody speaks.
      faces: how many frames have a face.
      wide, shut: opening above which a clip's mouth is wide open, and below which it is shut. rest_*: mean
        motion and pose while silent, NaN where there is hardly any silence.
      mel_steps: of each clip's mel image; 0 without audio.
    """

    names: np.ndarray
    people: tuple[str, ...]
    person: Int[np.ndarray, " c"]
    held_out: Bool[np.ndarray, " c"]
    audio: Bool[np.ndarray, " c"]
    in_sync: Bool[np.ndarray, " c"]
    begins: Int[np.ndarray, " c_and_1"]
    size: int
    opening: Float[np.ndarray, " n"]
    face: Bool[np.ndarray, " n"]
    silent: Bool[np.ndarray, " n"]
    faces: Int[np.ndarray, " c"]
    wide: Float[np.ndarray, " c"]
    shut: Float[np.ndarray, " c"]
    rest_keypoints: Float[np.ndarray, "c 10 2"]
    rest_jacobians: Float[np.ndarray, "c 10 2 2"]
    rest_pose: Float[np.ndarray, "c 6"]
    mel_steps: Int[np.ndarray, " c"]

    @property
    def frames(self) -> Int[np.ndarray, " c"]:
        """How many frames each clip has."""
        return np.diff(self.begins)

    def length(self, which: int) -> int:
        """How many frames one clip has."""
        return int(self.begins[which + 1] - self.begins[which])

    def of(self, column: np.ndarray, which: int) -> np.ndarray:
        """The part of an n-long column that is of one clip."""
        return column[self.begins[which] : self.begins[which + 1]]


def read_mean_face(folder: str | os.PathLike) -> Float[np.ndarray, "478 2"]:
    """Read the canonical frame of a folder's Jacobians.

    Raises:
      UserError: it is missing or damaged.
    """
    path = pathlib.Path(folder) / "mean_face.npy"
    found = array_file.read_npy(path, remedy="run `avct preprocess` again: it makes it at its end")
    if found.shape != (face.POINTS, 2) or found.dtype.kind != "f":
        raise errors.UserError(f"{path} is no mean face; run `avct preprocess` again: it makes it at its end")
    return found.astype(np.float32)


def read_columns(
    folder: str | os.PathLike, entry: manifest.Entry, mean_face: Float[np.ndarray, "478 2"]
) -> dict[str, Any]:
    """Read a clip's columns (COLUMNS); those of HEARD have no rows where there is no audio.

    silent: by the audio's level, or by transcript.

    Raises:
      UserError: the clip is missing or damaged, or not the one that the manifest lists.
    """
    path = pathlib.Path(folder) / f"{entry.name}.npz"
    made = clip.load(path)
    keypoints, jacobians = landmark_motion.face_motion(made.points.astype(np.float32), mean_face)
    values = {**made._asdict(), "keypoints": keypoints, "jacobians": jacobians}
    if made.audio is not None:
        written = made.recognised if made.phonemes is None else made.phonemes
        values |= {"phonemes": written, "silent": made.silent | (written == symbols.SIL)}
    empty = {name: np.zeros((0, *column.shape), column.dtype) for name, column in COLUMNS.items()}
    columns = {
        name: empty[name] if values[name] is None else np.ascontiguousarray(values[name], column.dtype)
        for name, column in COLUMNS.items()
    }
    lengths = {len(x) for name, x in columns.items() if name != "mel" and (name not in HEARD or entry.audio)}
    if lengths != {entry.frames} or (made.audio is not None) != entry.audio:
        raise errors.UserError(
            f"{path} is not the clip that manifest.json lists; run `avct preprocess` again"
        )
    return columns


def summarise(columns: dict[str, Any]) -> ClipSummary:
    """Sum up a clip for draws, from its columns as read_columns gives them."""
    mouth = columns["keypoints"][:, LOWER_LIP, 1] - columns["keypoints"][:, UPPER_LIP, 1]
    face = columns["score"] > 0
    silent = columns["silent"] if len(columns["silent"]) else np.ones(len(face), bool)
    seen = mouth[face] if face.any() else mouth
    wide, shut = (float(np.quantile(seen, share)) for share in (WIDE, SHUT))
    keypoints, jacobians, pose = _rest(columns, mouth)
    return ClipSummary(mouth, face, silent, wide, shut, keypoints, jacobians, pose, len(columns["mel"]))


def make(entries: Sequence[manifest.Entry], clips: Sequence[ClipSummary], *, size: int) -> Catalog:
    """Put together what is known of clips in order of name.

    Args:
      size: px, side of their images.
    """
    lengths = [len(own.face) for own in clips]
    known: dict[str, Any] = of_entries(entries)
    for i, name in enumerate(ClipSummary._fields):
        values = [own[i] for own in clips]
        known[name] = np.concatenate(values) if name in PER_FRAME else np.array(values)
    begins = np.concatenate([[0], np.cumsum(lengths)])
    return Catalog(**known, begins=begins, size=size, faces=np.array([int(own.face.sum()) for own in clips]))


def of_entries(entries: Sequence[manifest.Entry]) -> dict[str, Any]:
    """The fields of a Catalog that the manifest says."""
    people = sorted({entry.person for entry in entries})
    number = {person: i for i, person in enumerate(people)}
    return {
        "names": np.array([entry.name for entry in entries]),
        "people": tuple(people),
        "person": np.array([number[entry.person] for entry in entries], np.int32),
        "held_out": np.array([entry.held_out for entry in entries]),
        "audio": np.array([entry.audio for entry in entries]),
        "in_sync": np.array([entry.in_sync for entry in entries]),
    }


def _rest(columns: dict[str, Any], mouth: Float[np.ndarray, " t"]) -> list[np.ndarray]:
    """Mean keypoints, Jacobians and pose of the silent frames with the lips closest."""
    parts = [columns[name] for name in ("keypoints", "jacobians", "poses")]
    silent = columns["silent"]
    if silent.sum() < LEAST_SILENT:
        return [np.full(part.shape[1:], np.nan, np.float32) for part in parts]
    rest = silent & (mouth <= np.quantile(mouth[silent], CALMEST))
    return [part[rest].mean(0) for part in parts]
