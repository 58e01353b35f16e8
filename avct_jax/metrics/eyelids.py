"""Do eyes blink? How often they shut, and for how long, from the 478 landmarks of a video's frames."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage

from avct_jax.data.faces import face_detector

FRAME_RATE = 25  # frames/s
BLINK = 0.6  # of the usual opening of the eyes around a frame, below which they are shut
BLINK_FRAMES = 12  # about 0.5 s: eyes that are shut for longer sleep, or look down
AROUND = 51  # frames = 2 s, over which the usual opening is sought
USUAL = 75  # percentile of the openings around a frame: half-shut and shut eyes are fewer


def eye_opening(points: Float[np.ndarray, "t 478 3"]) -> Float[np.ndarray, " t"]:
    """The distance of the lids over the width of the eye, mean of both eyes; NaN without a face.

    The eye aspect ratio of Soukupová and Čech (2016), by the middle of the lids. Points of face_detector.py
    follow lids: in 321 clips open eyes have 0.34, and in blinks 0.03 (one speaker; medians) to 0.05 (others).
    """
    flat = points[..., :2].astype(np.float64)
    apart = lambda a, b: np.linalg.norm(flat[:, a] - flat[:, b], axis=-1)
    lids = (face_detector.LEFT_EYELIDS, face_detector.RIGHT_EYELIDS)
    corners = zip(face_detector.OUTER_EYE_CORNERS, face_detector.INNER_EYE_CORNERS, strict=True)
    eyes = [apart(*lid) / np.maximum(apart(*ends), 1e-6) for lid, ends in zip(lids, corners, strict=True)]
    return (eyes[0] + eyes[1]) / 2


def blinks(opening: Float[np.ndarray, " t"]) -> Int[np.ndarray, " n"]:
    """Return how many frames each blink of a video lasts.

    A blink is a run of at most 12 frames below 0.6 of the usual opening, the upper quartile of 2 s around it,
    that begins and ends within the video. Where the face is lost the eyes stay between what is seen before
    and
    after: losing it is no blink.

    Args:
      opening: of `eye_opening`, at 25 frames/s.
    """
    shut = _shut(opening)
    edges = np.flatnonzero(np.diff(shut.astype(np.int8)))
    edges = edges[1:] if len(shut) and shut[0] else edges  # shut from the beginning: since when is not known
    lengths = np.diff(edges[: len(edges) // 2 * 2].reshape(-1, 2)).ravel()
    return lengths[lengths <= BLINK_FRAMES]


def blinks_per_minute(opening: Float[np.ndarray, " t"]) -> float:
    """How often eyes blink, by the video's whole length; NaN of a video without frames."""
    return 60 * FRAME_RATE * len(blinks(opening)) / len(opening) if len(opening) else np.nan


def blink_length(opening: Float[np.ndarray, " t"]) -> float:
    """Median length of a video's blinks, ms, in steps of a frame (40 ms); NaN where there is none."""
    lengths = blinks(opening)
    return float(np.median(lengths)) * 1000 / FRAME_RATE if len(lengths) else np.nan


def _shut(opening) -> Bool[np.ndarray, " t"]:
    seen = np.isfinite(opening)
    if not seen.any():
        return np.zeros(len(opening), bool)
    filled = np.interp(np.arange(len(opening)), np.flatnonzero(seen), opening[seen])
    usual = ndimage.percentile_filter(filled, USUAL, size=AROUND, mode="nearest")
    return np.asarray(filled < BLINK * usual)
