"""How far images are from the ones they should be, pixel by pixel."""

import math

import cv2
import numpy as np
from jaxtyping import Float, UInt8

WINDOW, SIGMA = 11, 1.5  # px, the Gaussian window of SSIM
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # stabilisers of SSIM

Frames = UInt8[np.ndarray, "t h w 3"]


def l1(a: Frames, b: Frames) -> Float[np.ndarray, " t"]:
    """Mean absolute difference of each frame, pixels in [0, 1]: FOMM's L1."""
    return np.stack([cv2.absdiff(x, y).mean() for x, y in zip(a, b, strict=True)]) / 255


def squared_error(a: Frames, b: Frames) -> Float[np.ndarray, " t"]:
    """Mean squared difference of each frame, pixels in [0, 1]."""
    differences = (cv2.absdiff(x, y).astype(np.float32) for x, y in zip(a, b, strict=True))
    return np.stack([np.square(d).mean(dtype=np.float64) for d in differences]) / 255**2


def decibels(error: float) -> float:
    """PSNR of a mean squared error of pixels in [0, 1], dB; infinite where nothing differs.

    A video's is that of its frames' mean error: one perfect frame does not make it infinite.
    """
    return -10 * math.log10(error) if error > 0 else math.inf


def ssim(a: Frames, b: Frames) -> Float[np.ndarray, " t"]:
    """Structural similarity of each frame, mean over its channels and places (Wang et al., TIP 2004).

    Gaussian window of 11 px and sigma 1.5, constants 0.01 and 0.03, population moments, and only places whose
    window lies inside the image: as the authors' program, and scikit-image with `gaussian_weights`.

    Raises:
      ValueError: images smaller than the window, or of two sizes.
    """
    if a.shape != b.shape or min(a.shape[1:3]) < WINDOW:
        raise ValueError(
            f"images of {a.shape[1:3]} and {b.shape[1:3]} px; give one size, at least {WINDOW} px"
        )
    return np.stack([_ssim(x.astype(np.float64), y.astype(np.float64)) for x, y in zip(a, b, strict=True)])


def _ssim(x, y):
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    both = _blur(x * y) - mean_x * mean_y
    similar = (2 * mean_x * mean_y + C1) * (2 * both + C2)
    similar /= (mean_x**2 + mean_y**2 + C1) * (var_x + var_y + C2)
    edge = WINDOW // 2
    return similar[edge:-edge, edge:-edge].mean()


def _blur(x):
    return cv2.GaussianBlur(x, (WINDOW, WINDOW), SIGMA, borderType=cv2.BORDER_REFLECT)
