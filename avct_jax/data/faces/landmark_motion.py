"""Motion read off face landmarks: the teacher of the small keypoint detector.

Unsupervised keypoints take days of training to find the lips; landmarks know them. Ten keypoints stand where
a talking face moves; each one's Jacobian is the affine map that best carries the mean face's points there.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

UPPER_LIP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 191, 80, 81, 82, 13, 312, 311, 310, 415)
LOWER_LIP = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 95, 88, 178, 87, 14, 317, 402, 318, 324)
CHIN = (152, 148, 176, 149, 150, 377, 400, 378, 379, 175, 199, 200)
RIGID = (
    33,
    133,
    263,
    362,
    168,
    6,
    197,
    195,
    5,
    4,
    1,
    98,
    327,
    10,
    338,
    109,
    151,
    9,
    127,
    356,
    234,
    454,
    70,
    300,
)


class Anchor(NamedTuple):
    """A keypoint: the mean of `centre`; its Jacobian is fitted to `around`, leaning on the whole head's."""

    centre: tuple[int, ...]
    around: tuple[int, ...]
    lean: float


ANCHORS = (
    Anchor((82, 13, 312), UPPER_LIP, 0.02),
    Anchor((87, 14, 317), LOWER_LIP, 0.02),
    Anchor((61, 78), UPPER_LIP + LOWER_LIP, 0.02),
    Anchor((291, 308), UPPER_LIP + LOWER_LIP, 0.02),
    Anchor((152, 175, 148, 377), CHIN, 0.1),
    Anchor((4, 5, 195), RIGID, 0.0),
    Anchor((33, 133), RIGID, 0.0),
    Anchor((263, 362), RIGID, 0.0),
    Anchor((10, 151, 109, 338), RIGID, 0.0),
    Anchor((234, 454, 127, 356), RIGID, 0.0),
)
MIRRORED = (0, 1, 3, 2, 4, 5, 7, 6, 8, 9)  # the keypoint each becomes in a mirrored image


def face_motion(
    points: Float[np.ndarray, "t 478 d"], mean_face: Float[np.ndarray, "478 2"]
) -> tuple[Float[np.ndarray, "t 10 2"], Float[np.ndarray, "t 10 2 2"]]:
    """Return keypoints and Jacobians of landmarks given in [-1, 1] (x right, y down).

    Args:
      points: landmarks; more than two coordinates are ignored.
      mean_face: the same landmarks of the mean face, the canonical frame of the Jacobians.
    """
    xy = points[..., :2]
    head = _fit(xy, mean_face, RIGID, np.broadcast_to(np.eye(2), (len(xy), 2, 2)), 0.0)
    keypoints = np.stack([xy[:, list(a.centre)].mean(1) for a in ANCHORS], axis=1)
    jacobians = np.stack([_fit(xy, mean_face, a.around, head, a.lean) for a in ANCHORS], axis=1)
    return keypoints.astype(np.float32), jacobians.astype(np.float32)


def mean_face(points: Float[np.ndarray, "t 478 d"]) -> Float[np.ndarray, "478 2"]:
    """Return the mean of faces in [-1, 1], centred."""
    mean = points[..., :2].mean(0)
    return (mean - mean.mean(0)).astype(np.float32)


def _fit(xy, mean_face, indices, towards, lean):
    """Ridge regression of the affine map mean face -> image, pulled towards another map."""
    index = list(dict.fromkeys(indices))
    canonical = mean_face[index] - mean_face[index].mean(0)
    observed = xy[:, index] - xy[:, index].mean(1, keepdims=True)
    gram = canonical.T @ canonical
    pull = lean * np.trace(gram) / 2
    cross = np.einsum("tni,nj->tij", observed, canonical) + pull * towards
    return cross @ np.linalg.inv(gram + pull * np.eye(2))
