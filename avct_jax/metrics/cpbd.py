"""CPBD: how sharp an image looks (Narvekar and Karam, IEEE TIP 2011)."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

BLOCK = 64  # px
EDGE_SHARE = 0.002  # of a block's pixels that must be edges
BETA = 3.6  # of the probability of seeing blur
JUST_NOTICEABLE = 0.63  # that probability where blur is just noticed
WIDE, NARROW, LOW_CONTRAST = 5, 3, 50  # px: width just noticed up to this contrast, and above it
LONGEST = 100  # px, of each side of an edge
CANNY = (0.1, 0.2)  # thresholds of the published program, of grey levels
CANNY_SCALE = 32  # of the whole numbers that OpenCV takes


def sharpness(grey: UInt8[np.ndarray, "h w"] | Float[np.ndarray, "h w"]) -> float:
    """Cumulative probability of blur detection: the share of edges whose blur is not noticed.

    Vertical edges (Sobel, thinned) have the width over which grey levels rise or fall without a break
    (Marziliano et al. 2004). In blocks of 64 px that hold edges (Canny), a width w is seen as blurred with
    probability 1 - exp(-(w / w_JNB)^3.6), w_JNB after the block's contrast; those of at most 0.63 count.

    Args:
      grey: 0 to 255.

    Returns:
      0 to 1, sharper is higher; 0 where there is no edge, or no whole block.
    """
    image = grey.astype(np.float64)
    widths = _widths(image, _vertical_edges(image))
    edges = _canny(image)
    seen = []
    for top in range(0, image.shape[0] - BLOCK + 1, BLOCK):
        for left in range(0, image.shape[1] - BLOCK + 1, BLOCK):
            block = np.s_[top : top + BLOCK, left : left + BLOCK]
            if np.count_nonzero(edges[block]) > EDGE_SHARE * BLOCK**2:
                seen.append(_probabilities(image[block], widths[block]))
    noticed = np.concatenate(seen) if seen else np.zeros(0)
    # The published program counts whole percents: below 0.64 means up to 0.63.
    return float((np.round(100 * noticed) <= 100 * JUST_NOTICEABLE).mean()) if len(noticed) else 0.0


def _probabilities(block, widths):
    contrast = int(block.max() - block.min())
    least = WIDE if contrast <= LOW_CONTRAST else NARROW
    found = widths[widths > 0]
    return 1 - np.exp(-((found / least) ** BETA))


def _vertical_edges(image: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Ridges of Sobel's horizontal derivative, where it is above twice its root mean square."""
    strength = np.square(cv2.Sobel(image, cv2.CV_64F, 1, 0, borderType=cv2.BORDER_REFLECT) / 8)
    strength[strength <= 2 * np.sqrt(strength.mean())] = 0
    wide = np.pad(strength, 1)
    along = (strength > wide[1:-1, :-2]) & (strength > wide[1:-1, 2:])
    down = (strength > wide[:-2, 1:-1]) & (strength > wide[2:, 1:-1])
    return along | down


def _canny(image: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    smooth = cv2.GaussianBlur(image, (0, 0), 1.0, borderType=cv2.BORDER_REPLICATE)
    right, down = (_slope(smooth, *axes) for axes in ((1, 0), (0, 1)))
    low, high = (CANNY_SCALE * level for level in CANNY)
    return cv2.Canny(right, down, low, high, L2gradient=True) > 0


def _slope(image, x, y):
    """Sobel's derivative in the whole numbers that OpenCV takes."""
    slope = cv2.Sobel(image, cv2.CV_64F, x, y, borderType=cv2.BORDER_REFLECT) * CANNY_SCALE
    return np.clip(np.round(slope), -32768, 32767).astype(np.int16)


def _widths(image, edges: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """Width of each edge whose slope is horizontal within 22.5 degrees or 0, px; 0 elsewhere."""
    down, right = np.gradient(image)
    level = np.round(np.degrees(np.arctan2(down, right)) / 45).astype(np.int64)
    # An edge without any horizontal slope passes for a rise in the published program.
    rises, falls = (level == 0) | (right == 0), abs(level) == 4
    change = np.diff(image, axis=1)
    widths = np.zeros(image.shape, np.int64)
    for where, steps in ((rises, change > 0), (falls, change < 0)):
        # Step j goes from pixel j to j + 1; counted beyond the edge's left and right neighbours.
        left, right_of = _run(steps), _run(steps[:, ::-1])[:, ::-1]
        both = np.zeros(image.shape, np.int64)
        both[:, 1:-1] = 2 + left[:, :-2] + right_of[:, 2:]
        widths = np.where(where & edges, both, widths)
    widths[0] = widths[-1] = 0
    return widths


def _run(steps: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, "h v"]:
    """For each pixel, how many steps to its left hold without a break, at most LONGEST."""
    count = np.cumsum(steps, axis=1)
    broken = np.maximum.accumulate(np.where(steps, 0, count), axis=1)
    return np.minimum(np.pad(count - broken, ((0, 0), (1, 0))), LONGEST)
