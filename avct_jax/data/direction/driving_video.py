"""Head motion of a video: another person's head, followed through it."""

import itertools
import os
import pathlib
from typing import Any, TypeGuard

import numpy as np
from jaxtyping import Float

from avct_jax import arguments, errors
from avct_jax.data.faces import crop, face_detector, head_motion_bank, head_pose
from avct_jax.data.media import container, video_io

TABLES = (".csv", ".npy")
LEAST_SHARE = 0.5  # of the frames that must show a face
# Pitch, yaw and roll to either side that a portrait bears; farther turns are bent to stay within.
MOST = np.radians([18.0, 22.0, 25.0])
KINDS = "give a .npy file of shape (t, 6), an OpenFace csv, or a video"


def is_video(given: Any) -> TypeGuard[str | os.PathLike[str]]:
    """Whether poses are given as a video's path: every file but a table."""
    return arguments.is_path(given) and pathlib.Path(given).suffix.lower() not in TABLES


def check(path: str | os.PathLike) -> None:
    """Refuse what is no video, before the work starts.

    Raises:
      UserError: so it is.
    """
    name = repr(os.fspath(path))
    video_io.check_readable(path)
    try:
        seen = container.probe(path).has_video
    except errors.UserError:
        seen = False
    if not seen:
        raise errors.UserError(f"poses {name} end with {pathlib.Path(path).suffix!r}; {KINDS}")


def read(path: str | os.PathLike, count: int, notes: list[str]) -> Float[np.ndarray, "t 6"]:
    """Follow the largest face of a video, at 25 frames/s.

    Where no face is found the pose is interpolated; a video that is too short goes back and forth. Both is
    noted.

    Args:
      count: frames that are needed.
      notes: gets a line for each.

    Returns:
      Rotation vectors (rad) and translations (mm) of `count` frames.

    Raises:
      UserError: it cannot be read, or shows no face in half of its frames.
    """
    check(path)
    name = repr(os.fspath(path))
    size: list[tuple[int, ...]] = []

    def frames():
        for frame in itertools.islice(video_io.read_frames(path), count):
            size[:] = [frame.shape]
            yield frame

    points, score = face_detector.FaceLandmarker().track(frames())
    lost = int((score == 0).sum())
    if lost > (1 - LEAST_SHARE) * len(score):
        raise errors.UserError(
            f"no face was found in {lost} of {len(score)} frames of {name}; use a video of one face"
        )
    if lost:
        notes.append(f"no face in {lost} of {len(score)} frames of {name}: the pose is interpolated there")
    poses = head_pose.track(crop.to_crop(points, crop.clip_square(points, size[0])))
    if len(poses) < count:
        notes.append(f"{name} has {len(poses)} frames, {count} are needed: its motion goes back and forth")
    return poses[back_and_forth(len(poses), count)]


def back_and_forth(length: int, count: int) -> np.ndarray:
    """Return which of `length` frames to show in each of `count`: to the end, back, and so on."""
    turn = max(2 * (length - 1), 1)
    place = np.arange(count) % turn
    return np.minimum(place, turn - place) if length > 1 else np.zeros(count, int)


def bounded(rotation: Float[np.ndarray, "t 3"]) -> Float[np.ndarray, "t 3"]:
    """Bend turns (rotation vectors, rad) to stay within what a portrait bears."""
    return head_motion_bank.soft_limit(rotation, MOST, MOST).astype(np.float32)
