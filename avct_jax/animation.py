"""What every animator shares: what it takes, what it tells, the landmarks it asks for, and its clock."""

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from avct_jax import errors
from avct_jax.data import face

LENGTH_SLACK = (25, 0.1)  # frames, or share, by which given poses may differ from the sound in length

Path = str | os.PathLike
Picture = Path | UInt8[np.ndarray, "h w 3"]
Sound = Path | Float[np.ndarray, "n"]
Poses = Path | Float[np.ndarray, "t 6"]
Phonemes = Path | Int[np.ndarray, "t"]


class Report(NamedTuple):
    """What came of an animation.

    frames: pictures written. seconds: length of the sound. notes: what was decided on the way, a line each.
    timings: seconds of wall clock by part.
    """

    frames: int
    seconds: float
    notes: list[str]
    timings: dict[str, float]


class Clock:
    """Adds up wall-clock seconds by name: `with clock("encode"): ...`."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin


def landmarker(name: str) -> Any:
    """Return who finds faces: "mediapipe" (built in) or "face-alignment" (an extra)."""
    if name == "mediapipe":
        return face.FaceLandmarker()
    if name != "face-alignment":
        raise errors.UserError(f"landmarks {name!r} are not known; choose mediapipe or face-alignment")
    from avct_jax.data import face_alignment_backend

    return face_alignment_backend.FaceAlignmentLandmarker()


def fit_poses(
    poses: Float[np.ndarray, "u 6"], count: int, name: str, notes: list[str]
) -> Float[np.ndarray, "t 6"]:
    """Cut poses to the sound, or hold the last one."""
    difference = abs(len(poses) - count)
    if difference > max(LENGTH_SLACK[0], LENGTH_SLACK[1] * count):
        raise errors.UserError(
            f"{name} holds {len(poses)} poses, the sound {count} frames; give 25 poses a second"
        )
    if difference:
        notes.append(
            f"{len(poses)} poses, {count} frames: the last pose is {'held' if len(poses) < count else 'cut'}"
        )
    return poses[np.minimum(np.arange(count), len(poses) - 1)].astype(np.float32)
