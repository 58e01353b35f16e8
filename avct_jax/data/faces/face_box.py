"""Boxes of faces: which of them are one face."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

OVERLAP = 0.3  # intersection over union above which two boxes are one face, MediaPipe
INSIDE = 0.7  # share of a box in a known face's above which it is no face of its own


class FaceBox(NamedTuple):
    """One detected face.

    Attributes:
      score: the detector's, 0 to 1.
      box: left, top, right, bottom, px.
      keypoints: the image's left eye, right eye, nose tip, mouth, left ear, right ear; x right, y down, px.
    """

    score: float
    box: Float[np.ndarray, "4"]
    keypoints: Float[np.ndarray, "6 2"]

    @property
    def size(self) -> float:
        """The longer side of the box, px."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))


def merge(faces: Sequence[FaceBox]) -> list[FaceBox]:
    """Average the boxes that overlap, weighted by score: BlazeFace's blended non-maximum suppression."""
    remaining = sorted(faces, key=lambda face: -face.score)
    merged = []
    while remaining:
        best = remaining[0]
        same = [face for face in remaining if face is best or overlap(face.box, best.box) > OVERLAP]
        weights = np.array([face.score for face in same], np.float32) / sum(face.score for face in same)
        box = sum(w * face.box for w, face in zip(weights, same, strict=True))
        keypoints = sum(w * face.keypoints for w, face in zip(weights, same, strict=True))
        merged.append(FaceBox(best.score, np.asarray(box), np.asarray(keypoints)))
        kept = {id(face) for face in same}
        remaining = [face for face in remaining if id(face) not in kept]
    return merged


def is_among(face: FaceBox, others: Iterable[FaceBox]) -> bool:
    """Is this one of the others, or (a cheek or a mouth taken for a face) a part of one?"""
    return any(
        overlap(face.box, other.box) > OVERLAP or common_area(face.box, other.box) > INSIDE * area(face.box)
        for other in others
    )


def overlap(a: Float[np.ndarray, "4"], b: Float[np.ndarray, "4"]) -> float:
    """Intersection over union."""
    return common_area(a, b) / (area(a) + area(b) - common_area(a, b))


def common_area(a: Float[np.ndarray, "4"], b: Float[np.ndarray, "4"]) -> float:
    """Area of the intersection, px^2."""
    return float(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod())


def area(box: Float[np.ndarray, "4"]) -> float:
    """Area, px^2."""
    return float((box[2:] - box[:2]).prod())
