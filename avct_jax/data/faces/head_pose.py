"""Head poses: six numbers a frame, from landmarks or from files."""

import logging
import os
import pathlib
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

from avct_jax import arguments, errors
from avct_jax.data.media import video_io
from avct_jax.files import array_file, text_file

# REFERENCE: the box of the pose image is projected with these; the poses have to be made with them too.
FOCAL_LENGTH = 233.333  # px, of a 256 px crop
CENTRE = 128.0  # px
CAMERA = np.array([[FOCAL_LENGTH, 0, CENTRE], [0, FOCAL_LENGTH, CENTRE], [0, 0, 1]])
# What the network's -1 and 1 stand for: rotation in rad, translation in mm.
LOW = np.array([-0.6, -0.6, -0.6, -128, -128, 128], np.float32)
HIGH = np.array([0.6, 0.6, 0.6, 128, 128, 384], np.float32)

_log = logging.getLogger(__name__)

# A mean head, mm: x right, y down, z away from the camera. Derived for this project from 617 near-frontal
# frames of 125 people: the landmark network's x, y, z, aligned by similarity (Procrustes), median of all,
# made symmetric, scaled to 90 mm between the outer eye corners, turned so that the median frame has no pitch.
# The origin is the mean of Multi-PIE's 68 points, as in OpenFace. Nothing that speech moves is used.
HEAD = {
    10: (0.0, -88.5, -8.7),
    151: (0.0, -73.6, -13.3),
    9: (0.0, -58.3, -16.7),
    8: (0.0, -49.7, -16.1),
    168: (0.0, -42.0, -16.1),
    6: (0.0, -34.1, -21.0),
    197: (0.0, -27.2, -26.4),
    195: (0.0, -20.9, -32.4),
    5: (0.0, -14.1, -38.4),
    4: (0.0, -5.8, -41.3),
    1: (0.0, 0.7, -39.5),
    2: (0.0, 7.7, -24.4),
    33: (-45.0, -35.9, 5.1),
    263: (45.0, -35.9, 5.1),
    133: (-17.3, -34.9, -0.2),
    362: (17.3, -34.9, -0.2),
    234: (-68.0, -16.3, 57.7),
    454: (68.0, -16.3, 57.7),
    127: (-69.0, -30.4, 54.1),
    356: (69.0, -30.4, 54.1),
    162: (-68.0, -45.3, 45.0),
    389: (68.0, -45.3, 45.0),
    54: (-58.9, -69.0, 21.4),
    284: (58.9, -69.0, 21.4),
    67: (-34.7, -84.9, -1.3),
    297: (34.7, -84.9, -1.3),
    129: (-20.7, -0.4, -12.3),
    358: (20.7, -0.4, -12.3),
    98: (-17.0, 6.3, -16.3),
    327: (17.0, 6.3, -16.3),
    117: (-52.3, -19.2, 4.2),
    346: (52.3, -19.2, 4.2),
    50: (-48.2, -3.9, -2.6),
    280: (48.2, -3.9, -2.6),
}
INDICES = np.array(list(HEAD))
POINTS = np.array(list(HEAD.values()))  # mm
FEWEST_POINTS = 6  # of HEAD that must be known for a pose

COLUMNS = ("pose_Rx", "pose_Ry", "pose_Rz", "pose_Tx", "pose_Ty", "pose_Tz")  # OpenFace's csv
SWAY_MEMORY = 50  # frames, 2 s: what moves slower is drift
LONGEST = 24 * 3600.0  # seconds: a time beyond is a mistake, whose poses would fill the memory
POSE_SMOOTHING = 1.0  # frames, standard deviation: tracked heads tremble twice as much as they move
EYES_MM = 90.0  # between the outer eye corners of HEAD
MOST_DISTANCE = 10_000.0  # mm; more is another unit, or a mistake that takes the head out of the picture
SLOWEST = 2.0  # seconds from frame to frame; more is another unit
MOST_ROTATION = np.pi  # rad; more is a file in degrees


def from_landmarks(landmarks: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "6"]:
    """Return the head's rotation vector (rad) and translation (mm): x right, y down, z away from the camera.

    Perspective-n-point with the camera above, begun at the pose that the points' own depth gives, so that the
    mirrored solution is never taken and neighbouring frames agree without looking at each other.

    Args:
      landmarks: face_detector.py's points in px of a 256 px crop (crop.to_crop); points may be NaN, as may
    all z. Raises:
      ValueError: too few known points for a pose.
    """
    known = np.isfinite(landmarks[INDICES, :2]).all(1)
    if known.sum() < FEWEST_POINTS:
        raise ValueError(
            f"{known.sum()} of the pose's {len(HEAD)} landmarks are known, {FEWEST_POINTS} are needed"
        )
    seen, head = landmarks[INDICES[known]].astype(np.float64), POINTS[known]
    rotation, translation = _first_guess(seen, head)
    _, rotation, translation = cv2.solvePnP(
        head, seen[:, None, :2].copy(), CAMERA, None, rotation, translation,
        useExtrinsicGuess=True, flags=cv2.SOLVEPNP_ITERATIVE,
    )  # fmt: skip
    return np.concatenate([rotation.ravel(), translation.ravel()]).astype(np.float32)


def track(landmarks: Float[np.ndarray, "t 478 3"]) -> Float[np.ndarray, "t 6"]:
    """Return the pose in every frame; frames without a face (NaN) are filled in from their neighbours.

    Raises:
      UserError: no frame has a face.
    """
    found = np.flatnonzero(np.isfinite(landmarks[:, INDICES, :2]).all(-1).sum(-1) >= FEWEST_POINTS)
    if not len(found):
        raise errors.UserError("no face was found in the video; use one that shows a face from the front")
    poses = np.stack([from_landmarks(landmarks[i]) for i in found])
    frames = np.arange(len(landmarks))
    return np.stack([np.interp(frames, found, column) for column in poses.T], -1).astype(np.float32)


def sway(
    poses: Float[np.ndarray, "t 6"],
    around: Float[np.ndarray, "6"],
    *,
    scale: float = 1.0,
    memory: int | float = SWAY_MEMORY,
) -> Float[np.ndarray, "t 6"]:
    """Move a head as `poses` move, around another pose: what is slower than `memory` frames is taken away.

    The first frame is `around` itself; a head that comes to rest returns to it.

    Args:
      scale: factor on the movement. A regression predicts the mean of what could be meant, which moves less.
    """
    swaying, mean = np.empty_like(poses), poses[0].astype(np.float64)
    for i, now in enumerate(poses):
        mean = mean + (now - mean) / memory
        swaying[i] = around + scale * (now - mean)
    return swaying


def normalise(poses: Float[np.ndarray, "*t 6"]) -> Float[np.ndarray, "*t 6"]:
    """Bring poses (rad, mm) to the networks' range, -1 to 1."""
    return ((poses - LOW) / (HIGH - LOW) * 2 - 1).astype(np.float32)


def denormalise(values: Float[np.ndarray, "*t 6"]) -> Float[np.ndarray, "*t 6"]:
    """Return poses in rad and mm from the networks' range."""
    return ((values + 1) / 2 * (HIGH - LOW) + LOW).astype(np.float32)


def read_poses(
    path: str | os.PathLike, *, frame_rate: int | float = video_io.FRAME_RATE
) -> Float[np.ndarray, "t 6"]:
    """Read poses (rad, mm) from a .npy file of shape (t, 6), or from an OpenFace csv.

    Raises:
      UserError: no such file, another format or shape, values that are no poses.
    """
    name = repr(os.fspath(path))
    suffix = pathlib.Path(path).suffix.lower()
    video_io.check_readable(path)
    if suffix == ".csv":
        return _checked(read_openface_csv(path, frame_rate=frame_rate), name)
    if suffix != ".npy":
        raise errors.UserError(
            f"poses {name} end with {suffix!r}; give a .npy file of shape (t, 6) or an OpenFace csv"
        )
    return _checked(array_file.read_npy(path), name)


def read_openface_csv(
    path: str | os.PathLike, *, frame_rate: int | float = video_io.FRAME_RATE
) -> Float[np.ndarray, "t 6"]:
    """Read OpenFace's pose columns, resampled to `frame_rate` where the csv's timestamps have another one.

    OpenFace's Euler angles are taken as the rotation vector, as the released system took them in training;
    run OpenFace on the 256 px crop with fx = fy = 233.333. Frames it marks as failed are filled in from their
    neighbours, rows are sorted by time, and of several faces the one that is seen longest and most surely
    is taken, which is logged.

    Raises:
      UserError: a column is missing, a value is no number, or no frame succeeded.
    """
    name = repr(os.fspath(path))
    header, rows = _read_table(path, name)
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise errors.UserError(f"{name} lacks the column {missing[0]}; write it with OpenFace's -pose option")
    column = lambda other, otherwise: rows[:, header.index(other)] if other in header else otherwise
    poses = rows[:, [header.index(one) for one in COLUMNS]]
    good = np.isfinite(poses).all(1) & (column("success", np.ones(len(rows))) > 0)
    trust = np.nan_to_num(column("confidence", np.ones(len(rows)))) * good
    good &= _of_one_face(column("face_id", np.zeros(len(rows))), trust, name)
    if not good.any():
        raise errors.UserError(f"{name} has no frame in which OpenFace found a face; use another video")
    counted = column("frame", np.arange(len(rows)))
    times = _times(column("timestamp", np.zeros(len(rows))), counted / frame_rate, name)
    seconds, at = np.ptp(times), np.argsort(times[good], kind="stable")
    step = seconds / max(len(np.unique(times)) - 1, 1) or 1 / frame_rate
    if step > SLOWEST:
        raise errors.UserError(f"{name} has a frame every {step:.4g} s; timestamps must be in seconds")
    wanted = np.arange(max(1, round((seconds + step) * frame_rate))) / frame_rate
    known = times[good][at] - times.min()  # of all rows: a face that comes in late does so here
    found = [np.interp(wanted, known, values[at]) for values in poses[good].T]
    with np.errstate(over="ignore"):  # which is refused
        return np.stack(found, -1).astype(np.float32)


def _read_table(path: str | os.PathLike, name: str) -> tuple[list[str], np.ndarray]:
    try:
        first, *lines = [line for line in text_file.read(path).splitlines() if line.strip()]
        mark = text_file.separator(first)
        header = [column.strip() for column in first.split(mark)]
        rows = np.array([[_number(v, comma=mark != ",") for v in line.split(mark)] for line in lines])
        rows = rows.astype(np.float64).reshape(len(lines), len(header))
    except errors.UserError:
        raise
    except ValueError:
        raise errors.UserError(f"{name} is no OpenFace csv: a header and rows of as many numbers") from None
    if not len(rows):
        raise errors.UserError(f"{name} has no rows; it needs one for each frame")
    return header, rows


def _number(text: str, *, comma: bool) -> float:
    """Read a number; a C++ program on Windows writes -nan(ind), and some spreadsheets 0,5."""
    if "nan" in text.lower():
        return float("nan")
    return float(text.replace(",", ".") if comma else text)


def _of_one_face(faces: np.ndarray, trust: np.ndarray, name: str) -> np.ndarray:
    """Which rows are of the face that is seen longest, and most surely."""
    known, index = np.unique(faces[np.isfinite(faces)], return_inverse=True)
    if len(known) < 2:
        return np.ones(len(faces), bool)
    chosen = known[np.argmax(np.bincount(index, trust[np.isfinite(faces)]))]
    _log.warning("%s follows %d faces: that of face_id %g is taken", name, len(known), chosen)
    return faces == chosen


def _times(times: np.ndarray, counted: np.ndarray, name: str) -> np.ndarray:
    """When each row is, in seconds: by its timestamp, else by its frame's number, else by its place."""
    for found in (times, counted):
        if np.isfinite(found).all() and np.ptp(found) > 0:
            times = found
            break
    else:
        times = np.zeros(1) if len(times) == 1 else np.arange(len(times)) / video_io.FRAME_RATE
    if np.ptp(times) > LONGEST:
        raise errors.UserError(f"{name} lasts {np.ptp(times):.4g} s by its timestamps; a day is the most")
    if (np.diff(times) < 0).any():
        _log.warning("%s is not in order of time: it is sorted", name)
    return times


def from_array(given: Any) -> Float[np.ndarray, "t 6"]:
    """Take poses (rad, mm) that are in memory, one row a frame.

    Raises:
      UserError: another shape, or values that are no poses.
    """
    return _checked(arguments.array(given, "a table of poses"), "given")


def _checked(poses: np.ndarray, name: str) -> Float[np.ndarray, "t 6"]:
    if poses.ndim != 2 or poses.shape[1] != 6 or not len(poses):
        raise errors.UserError(
            f"poses {name} have shape {poses.shape}; (frames, 6) is needed: rotation, translation"
        )
    if poses.dtype.kind in "fiu":  # what is finite in 64 bits need not be in 32
        with np.errstate(over="ignore"):
            poses = poses.astype(np.float32)
    if poses.dtype.kind != "f" or not np.isfinite(poses).all():
        raise errors.UserError(
            f"poses {name} hold values that are no finite numbers; mend or leave out those frames"
        )
    if (most := np.abs(poses[:, :3]).max()) > MOST_ROTATION:
        raise errors.UserError(
            f"poses {name} turn by {most:.4g}, the limit is 3.14 rad; convert degrees to radians"
        )
    if (least := poses[:, 5].min()) <= 0:
        raise errors.UserError(
            f"poses {name} have a depth of {least:.4g} mm, it must be above 0; 128 to 384 is usual"
        )
    if (far := np.abs(poses[:, 3:]).max()) > MOST_DISTANCE:
        raise errors.UserError(
            f"poses {name} are {far:.4g} mm away, the limit is {MOST_DISTANCE:.0f} mm; convert them to mm"
        )
    return poses


def _first_guess(seen: np.ndarray, head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit the head to the points by rotation, scale and shift (Kabsch); place it where it has that scale."""
    centred, model = seen - seen.mean(0), head - head.mean(0)
    if np.isfinite(centred).all():
        u, _, v = np.linalg.svd(centred.T @ model)
        matrix = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))]) @ v
    else:
        matrix = np.eye(3)  # no depth: look at the camera
    turned = model @ matrix.T
    scale = np.sqrt((centred[:, :2] ** 2).sum() / (turned[:, :2] ** 2).sum())  # px/mm
    depth = FOCAL_LENGTH / scale
    middle = np.array([*((seen[:, :2].mean(0) - CENTRE) / scale), depth])
    rotation, _ = cv2.Rodrigues(matrix)
    return rotation, (middle - matrix @ head.mean(0)).reshape(3, 1)


def head_turn(head: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, " 3"]:
    """Return the rotation vector (rad) of a head's matrix, canonical frame to image."""
    from scipy.spatial import transform

    return transform.Rotation.from_matrix(head / np.cbrt(np.linalg.det(head))).as_rotvec()


def since_first(poses: Float[np.ndarray, "t 6"]) -> tuple[Float[np.ndarray, "t 3"], Float[np.ndarray, "t 3"]]:
    """Return how a head has turned (rotation vector, rad) and moved (eye distances) since its first pose,
    without the tracker's trembling.

    Args:
      poses: rotation vector (rad) and translation (mm) in the camera's frame.
    """
    from scipy import ndimage  # which takes longer to import than all else here
    from scipy.spatial import transform

    turns = transform.Rotation.from_rotvec(poses[:, :3])
    moved = (poses[:, 3:] - poses[:1, 3:]) / EYES_MM
    moved[:, 2] = 0
    since = np.concatenate([(turns * turns[0].inv()).as_rotvec(), moved], 1)
    calm = ndimage.gaussian_filter1d(since, POSE_SMOOTHING, axis=0, mode="nearest")
    calm -= calm[:1]
    return calm[:, :3].astype(np.float32), calm[:, 3:].astype(np.float32)
