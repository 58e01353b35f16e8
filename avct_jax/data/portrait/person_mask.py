"""Where a portrait shows the person: MediaPipe's selfie segmentation, drawn to the image's edges.

The network's mask has 256 px a side. A guided filter (He, Sun and Tang, TPAMI 2013; its coefficients at the
mask's size, as in He and Sun, arXiv 1505.00996) brings it to the hair and ears of a larger image.
"""

import logging

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from avct_jax import face_topology as topology
from avct_jax.data.faces import litert

log = logging.getLogger(__name__)

SIZE = 256  # px, what the network sees
RADIUS, EPSILON = 4, 1e-3  # of the guided filter, px of SIZE and squared brightness
CONTRAST = (0.15, 0.85)  # what the filter leaves below is none of the person, above all of it
LEAST_FACE = 0.97  # share of the face's oval that must be the person's
MOST_PERSON = 0.97  # share of the image: one without background needs no mask
# Mean of 4 m (1 - m) over the network's mask m, from the image's top to the chin. Of first frames of 178
# clips 12 have more, and most of these take some wall, chair or hand for hair (2026-11-27).
MOST_UNSURE = 0.07


def find(
    image: UInt8[np.ndarray, "s s 3"], points: Float[np.ndarray, "478 3"]
) -> Float[np.ndarray, "s s"] | None:
    """Return how much of each pixel is the person, 0 to 1; None where that is not sure.

    Args:
      image: a square that shows a head.
      points: its landmarks, px.
    """
    small = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    try:
        mask = segment(small)
    except RuntimeError:  # one of its operations is XNNPACK's, which needs /proc
        log.warning("the person's outline cannot be found (is /proc mounted?): the background moves along")
        return None
    oval = points[list(topology.FACE_OVAL), :2] * (SIZE - 1) / (len(image) - 1)
    inside = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(inside, [np.round(oval).astype(np.int32)], 1)
    if not is_sure(mask, inside > 0):
        return None
    return refine(attached(mask, inside > 0), image)


def segment(image: UInt8[np.ndarray, "256 256 3"]) -> Float[np.ndarray, "256 256"]:
    """Run the network: how likely each pixel is a person's."""
    network = litert.open_network("selfie_segmentation.tflite", 1)
    (found,) = litert.run(network, image.astype(np.float32) / 255)
    return found[0, ..., 0]


def is_sure(mask: Float[np.ndarray, "h w"], face: np.ndarray) -> bool:
    """Does the mask hold the face, leave some background, and hesitate little where a head moves?

    Args:
      face: pixels of the face's oval.
    """
    if not face.any() or mask[face].mean() < LEAST_FACE or mask.mean() > MOST_PERSON:
        return False
    moving = mask[: np.flatnonzero(face.any(1))[-1] + 1]
    return float((4 * moving * (1 - moving)).mean()) <= MOST_UNSURE


def attached(mask: Float[np.ndarray, "h w"], face: np.ndarray) -> Float[np.ndarray, "h w"]:
    """Leave out what does not hang together with the face: other people."""
    _, labels = cv2.connectedComponents((mask > 0.5).astype(np.uint8))
    label = np.bincount(labels[face & (mask > 0.5)]).argmax()
    near = cv2.dilate((labels == label).astype(np.uint8), np.ones((5, 5), np.uint8))
    return mask * near


def refine(mask: Float[np.ndarray, "h w"], image: UInt8[np.ndarray, "s s 3"]) -> Float[np.ndarray, "s s"]:
    """Bring a mask to an image's edges and size by the guided filter."""
    size = len(image)
    guide = image.astype(np.float32) / 255
    slope, offset = _guide(cv2.resize(guide, mask.shape[::-1], interpolation=cv2.INTER_AREA), mask)
    slope, offset = (cv2.resize(x, (size, size), interpolation=cv2.INTER_LINEAR) for x in (slope, offset))
    low, high = CONTRAST
    return np.clip(((slope * guide).sum(-1) + offset - low) / (high - low), 0, 1).astype(np.float32)


def _guide(guide, mask):
    """The mask as a linear function of colour around each pixel: slopes and offsets, averaged."""
    blur = lambda x: cv2.blur(x, (2 * RADIUS + 1, 2 * RADIUS + 1))
    mean, share = blur(guide), blur(mask)
    covariance = blur(guide * mask[..., None]) - mean * share[..., None]
    pair = lambda i, j: blur(guide[..., i] * guide[..., j]) - mean[..., i] * mean[..., j]
    variance = np.stack([pair(i, j) for i in range(3) for j in range(3)], -1).reshape(*mask.shape, 3, 3)
    slope = np.linalg.solve(variance + EPSILON * np.eye(3, dtype=np.float32), covariance[..., None])[..., 0]
    return blur(slope), blur(share - (slope * mean).sum(-1))
