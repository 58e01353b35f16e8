"""How far lips part and round, and whether they meet where p, b and m are said.

Lengths are in heights of the face (forehead to chin, points 10 and 152) or in eye distances (from outer eye
corner to outer eye corner). Frames without a face are NaN and win nothing: they count as frames in which the
mouth neither moves, nor is open, nor shuts.
"""

import numpy as np
from jaxtyping import Float, Int

from avct_jax.data.faces import face_detector
from avct_jax.data.phonemes import symbols
from avct_jax.metrics import landmarks

OPEN = 0.04  # of the face's height, above which lips are plainly parted
SHUT = 0.025  # eye distances, below which lips meet
BILABIALS = tuple(symbols.INDEX[phone] for phone in ("B", "M", "P"))
SLACK = 1  # frame before and after a phone, within which its lips may meet

Points = Float[np.ndarray, "t 478 3"]
Course = Float[np.ndarray, " t"]


def lip_gap(points: Points) -> Course:
    """The distance of the inner lips (points 13 and 14), eye distances."""
    return _apart(points, (face_detector.UPPER_INNER_LIP, face_detector.LOWER_INNER_LIP))


def mouth_width(points: Points) -> Course:
    """The distance of the mouth's corners (points 61 and 291), eye distances: rounded lips make it less."""
    return _apart(points, face_detector.OUTER_MOUTH_CORNERS)


def spread(course: Course) -> float:
    """Standard deviation over a video, frames without a face taken as the mean of the others.

    0 for a video without any face, NaN for one without frames.
    """
    if not len(course):
        return np.nan
    seen = course[np.isfinite(course)].astype(np.float64)
    return float(seen.std() * np.sqrt(len(seen) / len(course))) if len(seen) else 0.0


def open_share(opening: Course) -> float:
    """Share of a video's frames in which the lips are parted by more than 0.04 of the face's height.

    Args:
      opening: of data.face.mouth_opening.
    """
    return float((opening > OPEN).mean()) if len(opening) else np.nan  # NaN is above nothing


def closure(gap: Course, labels: Int[np.ndarray, " u"]) -> float:
    """Share of the phones p, b and m for which the lips meet: the gap falls below 0.025 eye distances.

    A phone is a run of frames of one of these labels; one frame of it, or of those just before and after, has
    to show the lips shut. Phones shorter than a frame may have no label, and so are not asked for. A mouth
    that never opens has 1 as well: read it beside the spread of the opening.

    Args:
      gap: of `lip_gap`.
      labels: phonemes.INDEX of each frame; frames beyond the video are not asked for.

    Returns:
      NaN where no such phone is said.
    """
    count = min(len(gap), len(labels))
    shut = np.asarray(gap[:count] < SHUT)
    runs = bilabial_runs(labels[:count])
    met = [shut[max(0, begin - SLACK) : end + SLACK].any() for begin, end in runs]
    return float(np.mean(met)) if met else np.nan


def bilabial_runs(labels: Int[np.ndarray, " t"]) -> list[tuple[int, int]]:
    """First frame, and the one after the last, of each run of one bilabial label."""
    edges = np.flatnonzero(np.diff(labels)) + 1
    begins, ends = [0, *edges.tolist()], [*edges.tolist(), len(labels)]
    pairs = zip(begins, ends, strict=True)
    return [(begin, end) for begin, end in pairs if begin < end and labels[begin] in BILABIALS]


def _apart(points, pair):
    a, b = (points[:, index, :2].astype(np.float64) for index in pair)
    return np.linalg.norm(a - b, axis=-1) / landmarks.face_scale(points)
