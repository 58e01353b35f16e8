"""How far a head turns while it speaks, in degrees, from the 478 landmarks of a video's frames."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial import transform

from avct_jax.data.faces import face_basis
from avct_jax.metrics import landmarks

WINDOW = 75  # frames = 3 s
SMOOTHED = 5  # frames that angles are averaged over: what trembles from frame to frame is no turn of the head


class HeadTurns(NamedTuple):
    """Standard deviation of a head's angles within 3 s, degrees: nodding, shaking, leaning to a side."""

    pitch: float
    yaw: float
    roll: float


def head_turns(points: Float[np.ndarray, "t 478 3"]) -> HeadTurns:
    """Measure how a head moves: the median over a video's windows of 3 s.

    Angles are of the rotation that brings the mean head's rigid points (forehead, nose, eye corners, ears) to
    the frame's, by a fit in three dimensions (Umeyama 1991), averaged over 5 frames. Windows follow each
    other; what is left at a video's end is not looked at, and a shorter video is one window. Frames without a
    face are taken between their neighbours: losing the face is no motion. 0 for a video without any face, NaN
    for one without frames.

    Args:
      points: z in the scale of x and y.
    """
    if not len(points):
        return HeadTurns(np.nan, np.nan, np.nan)
    if not landmarks.found(points).any():
        return HeadTurns(0.0, 0.0, 0.0)
    smooth = _smoothed(angles(points))
    last = max(1, len(smooth) - WINDOW + 1)
    spreads = [smooth[begin : begin + WINDOW].std(0) for begin in range(0, last, WINDOW)]
    return HeadTurns(*(float(x) for x in np.median(spreads, axis=0)))


def angles(points: Float[np.ndarray, "t 478 3"]) -> Float[np.ndarray, "t 3"]:
    """Pitch, yaw and roll of each frame's head, degrees, interpolated where no face is found.

    Rotations about the image's axes right, down and away, one after the other in this order.
    """
    seen = np.isfinite(points).all((1, 2))
    fitted = face_basis.align(points[seen].astype(np.float64), face_basis.embedded().canonical)
    turns = transform.Rotation.from_matrix(np.swapaxes(fitted.rotation, 1, 2)).as_euler("xyz", degrees=True)
    turns = np.unwrap(turns, period=360, axis=0)
    frames = np.arange(len(points))
    return np.stack([np.interp(frames, frames[seen], column) for column in turns.T], 1)


def _smoothed(values):
    width = min(SMOOTHED, len(values))
    return np.lib.stride_tricks.sliding_window_view(values, width, axis=0).mean(-1)
