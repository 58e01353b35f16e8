"""How much detail a face shows: the spread of the Laplacian inside its outline, and of its mouth.

The standard deviation of the Laplacian (Pech-Pacheco et al. 2000 take its square), in grey levels. It grows
with the image's scale, its noise and its contrast, so it says something only as a share of that of the same
face at the same scale; noise and torn edges make it larger, so more than 1 is no better than 1.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from avct_jax import face_topology
from avct_jax.metrics import landmarks

MOUTH_MARGIN = 1.2  # the lips' outline is scaled by this: their rim belongs to the mouth's region
REGIONS = ("face", "mouth")


def detail(grey: UInt8[np.ndarray, "h w"], points: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "2"]:
    """Standard deviation of an image's Laplacian inside the face's oval and about the mouth, grey levels.

    Args:
      points: px of the image, x right, y down.

    Returns:
      NaN where the points are, or lie outside the image.
    """
    if not np.isfinite(points[:, :2]).all():
        return np.full(len(REGIONS), np.nan)
    return np.array([_inside(grey, outline) for outline in (_oval(points), _mouth(points))])


def share(made: Float[np.ndarray, "t 2"], real: Float[np.ndarray, "u 2"]) -> Float[np.ndarray, "2"]:
    """Mean detail of a video's face and mouth over the real video's, over the frames where that shows a face.

    Where the generated video lost the face there is none. NaN where nothing can be compared.

    Args:
      made, real: `detail` of each frame, at one scale.
    """
    count = min(len(made), len(real))
    asked = np.isfinite(real[:count]).all(-1)
    base = real[:count][asked].sum(0)
    if not asked.any() or not base.all():
        return np.full(len(REGIONS), np.nan)
    return np.nan_to_num(made[:count])[asked].sum(0) / base


def share_of_image(
    made: Float[np.ndarray, "t 2"], portrait: Float[np.ndarray, "2"]
) -> Float[np.ndarray, "2"]:
    """Mean detail of a video's face and mouth over that of one image, by default its first with a face.

    Args:
      portrait: `detail` of the image at the video's scale; NaN takes the video's own.
    """
    seen = made[np.isfinite(made).all(-1)]
    base = portrait if np.isfinite(portrait).all() else seen[0] if len(seen) else np.zeros(len(REGIONS))
    return np.nan_to_num(made).mean(0) / base if base.all() else np.full(len(REGIONS), np.nan)


def at_scale(
    image: UInt8[np.ndarray, "h w 3"], points: Float[np.ndarray, "478 3"], scale: int | float
) -> Float[np.ndarray, "2"]:
    """`detail` of an image that is scaled first so that its outer eye corners are `scale` px apart.

    Areas are averaged on the way down, so nothing is kept that a smaller image cannot show.
    """
    factor = scale / float(landmarks.face_scale(points[None])[0])
    if abs(factor - 1) > 0.01:
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=method)
        points = points * np.asarray(factor, points.dtype)
    return detail(np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)), points)


def _oval(points):
    return points[list(face_topology.FACE_OVAL), :2]


def _mouth(points):
    lips = points[list(landmarks.OUTER_LIPS), :2]
    centre = lips.mean(0)
    return centre + MOUTH_MARGIN * (lips - centre)


def _inside(grey, outline):
    """Spread of the Laplacian inside a polygon."""
    low = np.maximum(np.floor(outline.min(0)).astype(int) - 2, 0)
    high = np.ceil(outline.max(0)).astype(int) + 3
    patch = grey[low[1] : max(0, high[1]), low[0] : max(0, high[0])]
    if min(patch.shape) < 3:
        return np.nan
    mask = np.zeros(patch.shape, np.uint8)
    cv2.fillPoly(mask, [np.rint(outline - low).astype(np.int32)], 1)
    values = cv2.Laplacian(np.ascontiguousarray(patch), cv2.CV_32F)[mask > 0]
    return float(values.std()) if len(values) else np.nan
