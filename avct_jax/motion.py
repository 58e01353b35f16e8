"""Motion of a face: keypoints with local affine frames, and its transfer between faces."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

# Keypoints of landmark_motion.py that shut a mouth, and how far each goes for one unit of opening: the jaw
# brings the lower lip up, the upper lip gives a little.
SHUTTING = {0: 0.25, 1: -0.75, 4: -0.6}
EYES = (6, 7)
CORNERS = (2, 3)
SHUT_GAP = 0.025  # of the eyes' distance: the mean gap between the lips of GRID's speaker 1 in silence
SHUT_WIDTH = 0.8  # of the eyes' distance: three of four people's mouths are narrower while shut (of 112)


class Motion(NamedTuple):
    """Where k points of a face are and how the image around each is turned and stretched.

    Attributes:
      keypoints: x, y in [-1, 1]: x right, y down, the centres of the corner pixels at +-1.
      jacobians: 2x2 maps from a canonical frame to the image, around each keypoint.
    """

    keypoints: Float[Array, "*b k 2"]
    jacobians: Float[Array, "*b k 2 2"]


def relative_transfer(driving: Motion, driving_first: Motion, source: Motion) -> Motion:
    """Move the source face as the driver has moved since its first frame.

    Equation 3 of Wang et al., AAAI 2022: k' = k - k1 + kr, J' = J J1^-1 Jr.

    Args:
      driving: predicted motion, any leading batch axes.
      driving_first: the motion of the driver's first frame, broadcast against `driving`.
      source: the motion of the portrait, broadcast against `driving`.

    Raises:
      ValueError: the motions differ in number of keypoints.
    """
    counts = {m.keypoints.shape[-2] for m in (driving, driving_first, source)}
    if len(counts) > 1:
        raise ValueError(f"motions have {sorted(counts)} keypoints; all three must have the same number")
    keypoints = driving.keypoints - driving_first.keypoints + source.keypoints
    jacobians = driving.jacobians @ invert_2x2(driving_first.jacobians) @ source.jacobians
    return Motion(keypoints, jacobians)


def shut_mouth(keypoints: Float[Array, "*b k 2"], share: float) -> Float[Array, "*b k 2"]:
    """Bring the lips of a face together by a share of what they are too far apart for a shut mouth.

    Lips that touch are still apart by their landmarks: only what exceeds SHUT_GAP is taken away. Lips that a
    smile has parted are also drawn wide: their corners come together down to SHUT_WIDTH. A smile with shut
    lips stays. For keypoints taught by landmarks.

    Args:
      keypoints: of the face, as `Motion.keypoints`.
      share: 0 leaves the mouth as it is, 1 shuts it; more for a renderer that follows by half.
    """
    opening, across = _between(keypoints, (0, 1)), _between(keypoints, CORNERS)
    eyes = _length(_between(keypoints, EYES))
    gap, touching = _length(opening), SHUT_GAP * eyes
    parted = 1 - touching / jnp.maximum(gap, touching)
    for index, part in SHUTTING.items():
        keypoints = keypoints.at[..., index, :].add(share * part * parted * opening)
    width, shut = _length(across), SHUT_WIDTH * eyes
    drawn = parted * across * (1 - shut / jnp.maximum(width, shut))
    for index, part in zip(CORNERS, (0.5, -0.5), strict=True):
        keypoints = keypoints.at[..., index, :].add(share * part * drawn)
    return keypoints


def _between(keypoints: Float[Array, "*b k 2"], pair: tuple[int, int]) -> Float[Array, "*b 2"]:
    """From the first keypoint of a pair to the second."""
    return keypoints[..., pair[1], :] - keypoints[..., pair[0], :]


def _length(vector: Float[Array, "*b 2"]) -> Float[Array, "*b 1"]:
    """Never 0, where its gradient has no direction."""
    return jnp.sqrt(jnp.square(vector).sum(-1, keepdims=True) + 1e-12)


def invert_2x2(matrix: Float[Array, "*b 2 2"]) -> Float[Array, "*b 2 2"]:
    """Invert by the adjugate: exact, exportable, and free of a batched LU's cost."""
    a, b = matrix[..., 0, 0], matrix[..., 0, 1]
    c, d = matrix[..., 1, 0], matrix[..., 1, 1]
    adjugate = jnp.stack([jnp.stack([d, -b], -1), jnp.stack([-c, a], -1)], -2)
    return adjugate / (a * d - b * c)[..., None, None]
