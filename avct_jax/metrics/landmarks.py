"""What the 478 landmarks of a video say: where mouth and face go, and how they tremble.

Points may be in any unit, x right, y down; frames without a face are NaN. Losing the face is no way to
score: where the real video shows one and the generated does not, the frame counts as the worst there is.
NaN comes out only where nothing can be compared.
"""

import numpy as np
from jaxtyping import Bool, Float

from avct_jax.data.faces import face_detector

# The lips of MediaPipe's face mesh: two rings, each from the image's left corner on below, back above.
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
LIPS = OUTER_LIPS + INNER_LIPS
IMAGE_SIZE = 256  # px, of the images that FOMM gives its distances of keypoints for

Points = Float[np.ndarray, "t 478 3"]


def found(points: Points) -> Bool[np.ndarray, " t"]:
    """Which frames show a face."""
    return np.asarray(np.isfinite(points[..., :2]).all((1, 2)))


def face_scale(points: Points) -> Float[np.ndarray, " t"]:
    """The scale that distances are divided by: from outer eye corner to outer eye corner, as in 300-W.

    Speech leaves it alone, unlike the height of the face: in 58 clips its standard deviation is 1.2% of its
    mean. A face turned by 40 degrees makes it a quarter less.
    """
    left, right = (points[:, corner, :2].astype(np.float64) for corner in face_detector.OUTER_EYE_CORNERS)
    return np.maximum(np.linalg.norm(right - left, axis=-1), 1e-6)


def mouth_distance(generated: Points, real: Float[np.ndarray, "u 478 3"]) -> float:
    """LMD, normalised and relative: how far the lips' 40 points are from where they should be.

    In each frame the lips' centroid is taken off and the rest divided by the frame's `face_scale`; then the
    distances of the points are averaged, and these over the frames that both have. 0 is best; a shift of the
    face or another size of the images changes nothing. A frame that lost the face counts as a mouth that
    is one point, or as the video's worst, whichever is more. The definition is Chen et al.'s (2018) in units
    of the face; papers that normalise in other ways give other numbers.
    """
    made, true = _common(generated, real)
    mouth = _mouth(true)
    distance = np.linalg.norm(_mouth(made) - mouth, axis=-1).mean(-1)
    return _mean(distance, lost=np.linalg.norm(mouth, axis=-1).mean(-1))


def keypoint_distance(generated: Points, real: Float[np.ndarray, "u 478 3"], *, size: int | float) -> float:
    """AKD: mean distance of all 478 points from where they should be, px of an image of 256 px.

    FOMM's average keypoint distance with this mesh in the place of its 68 points: compare only with itself.
    A frame that lost the face counts as points that all lie in the face's centre, or as the video's worst.

    Args:
      size: side of the images in the points' unit: px, or 2 for points in [-1, 1].
    """
    made, true = (x[..., :2].astype(np.float64) * (IMAGE_SIZE / size) for x in _common(generated, real))
    distance = np.linalg.norm(made - true, axis=-1).mean(-1)
    return _mean(distance, lost=np.linalg.norm(true - true.mean(1, keepdims=True), axis=-1).mean(-1))


def jitter(points: Points) -> float:
    """How much a face trembles: mean length of its points' acceleration, per frame^2, over the face's scale.

    Speaking faces accelerate too: the real video's value is right, not 0. Points in px of 16 bits add their
    own rounding, 0.0013 where the eyes are 77 px apart (a quarter of calm speech); give float32.
    """
    acceleration = _acceleration(points)
    return _mean_or_worst(acceleration, np.ones(len(acceleration), bool))


def jitter_ratio(generated: Points, real: Float[np.ndarray, "u 478 3"]) -> float:
    """Jitter over that of the real video, over the frames where that one shows a face: 1 is right."""
    made, true = (_acceleration(x) for x in _common(generated, real))
    asked = np.isfinite(true)
    base = _mean_or_worst(true, asked)
    return _mean_or_worst(made, asked) / base if base > 0 else np.nan


def opening_when_silent(opening: Float[np.ndarray, " t"], silent: Bool[np.ndarray, " u"]) -> float:
    """Mean opening of the lips in the frames in which nobody speaks, where it should be about 0.

    A frame without a face counts as the video's widest. NaN where there is no silence, or no face at all.

    Args:
      opening: data.face.mouth_opening of every frame, NaN where no face is found.
      silent: data.speech.voice.silent_frames of the audio.
    """
    count = min(len(opening), len(silent))
    if not np.isfinite(opening).any() or not silent[:count].any():
        return np.nan
    filled = np.where(np.isfinite(opening), opening, np.nanmax(opening)).astype(np.float64)
    return float(filled[:count][silent[:count]].mean())


def _common(generated, real):
    count = min(len(generated), len(real))
    return generated[:count], real[:count]


def _mouth(points):
    """The lips' points around their centroid in units of the face, (t 40 2)."""
    lips = points[:, LIPS, :2].astype(np.float64)
    return (lips - lips.mean(1, keepdims=True)) / face_scale(points)[:, None, None]


def _acceleration(points):
    """Mean over the points in each frame that has two neighbours, (t - 2,); NaN where a face is missing."""
    if len(points) < 3 or not (seen := found(points)).any():
        return np.full(max(0, len(points) - 2), np.nan)
    change = np.diff(points[..., :2].astype(np.float64), n=2, axis=0)
    return np.linalg.norm(change, axis=-1).mean(-1) / np.median(face_scale(points)[seen])


def _mean(values, *, lost):
    """Mean over the frames in which `lost` is known.

    Where a value is not, it is what `lost` says, or the largest value, whichever is more.
    """
    asked, known = np.isfinite(lost), np.isfinite(values)
    if not asked.any():
        return np.nan
    worst = values[asked & known].max(initial=0)
    return float(np.where(known, values, np.maximum(lost, worst))[asked].mean())


def _mean_or_worst(values, asked):
    """Mean over the frames asked for; where no value is known, the largest; NaN where none is at all."""
    known = values[asked & np.isfinite(values)]
    return float(np.where(np.isfinite(values), values, known.max())[asked].mean()) if len(known) else np.nan
