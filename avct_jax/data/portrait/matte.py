"""A portrait in two layers: the person, whose colours go on beyond the edge, and what is behind.

Where both share a pixel their colours are chosen so that person over background is the image again.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float

SOFT = 1 / 256  # of the side: so far a person's edge is let out, for hair that the mask missed
MARGIN = 7 / 256  # of the side: so far around the person the background may be hair that the mask missed
SURE = 0.98  # share of the person from which a pixel's colour is all the person's
LEAST = 0.1  # share from which the person's colour can be told from the mixture
# Grain is mirrored at the edge of a filled part: what is finer than the first, of the side, and less than the
# second; the rest goes on smoothly, for mirrored shelves and frames are torn ones.
FINE, FAINT = 2 / 256, 0.04
# A background whose colours vary less than the first within the second, of the side, is plain: its grain goes
# on, and what differs from it beside the person is a sharpened video's rim, or hair.
PLAIN, NEAR = 0.03, 12 / 256
COARSE = 6.0  # px of a blur's standard deviation that are enough


class Matte(NamedTuple):
    """Layers of an image, RGB in [0, 1];

    Attributes:
      cover: share of the person in each pixel.
    """

    person: Float[np.ndarray, "h w 3"]
    background: Float[np.ndarray, "h w 3"]
    cover: Float[np.ndarray, "h w"]


def whole(image: Float[np.ndarray, "h w 3"]) -> Matte:
    """All of it is the person."""
    return Matte(image, image, np.ones(image.shape[:2], np.float32))


def separate(image: Float[np.ndarray, "h w 3"], cover: Float[np.ndarray, "h w"]) -> Matte:
    """Fill what each layer hides; in a pixel of both, the person is what the background leaves to explain."""
    size = len(image)
    cover = cv2.GaussianBlur(cv2.dilate(cover, _disc(SOFT * size)), (0, 0), max(0.5, SOFT * size / 2))
    person = fill(image, (cover >= SURE).astype(np.float32))
    hidden = cover > 1 - SURE
    unsure = cv2.dilate(hidden.astype(np.uint8), _disc(MARGIN * size)) > 0
    background = go_on(image, ~unsure)
    # Beside the person, what is more like the background than like the person, and no less like it than it is
    # itself, is background.
    distance = lambda layer: ((image - layer) ** 2).sum(-1, keepdims=True) + 1e-4
    likely = distance(person) / (distance(person) + distance(background))
    alike = np.exp(-distance(background) / (PLAIN**2 + _variance(image, ~unsure, NEAR * size)))
    kept = np.where(unsure[..., None], likely * alike, 1)
    background = np.where(hidden[..., None], background, background + kept * (image - background))
    a = cover[..., None]
    told = np.clip((image - (1 - a) * background) / np.maximum(a, LEAST), 0, 1)
    person = person + np.clip(a / LEAST - 1, 0, 1) * (told - person)
    return Matte(person.astype(np.float32), background.astype(np.float32), cover)


def go_on(image: Float[np.ndarray, "h w 3"], known: np.ndarray) -> Float[np.ndarray, "h w 3"]:
    """Fill what is not known smoothly, where plain with the grain of what is mirrored at its edge."""
    if not known.any():
        return image
    smooth = fill(image, known.astype(np.float32))
    blurred = cv2.GaussianBlur(np.where(known[..., None], image, smooth), (0, 0), FINE * len(image))
    grain = np.where(known[..., None], np.clip(image - blurred, -FAINT, FAINT), 0)
    _, label = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    label = np.asarray(label, np.int32)
    place = np.zeros((label.max() + 1, 2), np.int64)
    place[label[known]] = np.argwhere(known)
    here = np.moveaxis(np.indices(known.shape), 0, -1)
    mirrored = np.clip(2 * place[label] - here, 0, np.array(known.shape) - 1)
    plain = PLAIN**2 / (PLAIN**2 + _variance(blurred, known, NEAR * len(image)))
    grain = plain * grain[mirrored[..., 0], mirrored[..., 1]]
    return np.where(known[..., None], image, np.clip(smooth + grain, 0, 1))


def _variance(image, known, radius):
    """Of the colours that are known within `radius` (px, standard deviation) of each pixel.

    At a lower resolution, at which nothing of it is lost: wide blurs of all pixels took a tenth of a second.
    """
    weight, size = known.astype(np.float32), known.shape[::-1]
    step = max(1.0, radius / COARSE)
    small = tuple(math.ceil(side / step) for side in size)
    blur = lambda x: cv2.GaussianBlur(
        cv2.resize(x, small, interpolation=cv2.INTER_AREA), (0, 0), radius / step
    )
    share = np.maximum(blur(weight), 1e-3)[..., None]
    mean = blur(image * weight[..., None]) / share
    variance = np.maximum(blur(image**2 * weight[..., None]) / share - mean**2, 0).sum(-1)
    return cv2.resize(variance, size, interpolation=cv2.INTER_LINEAR)[..., None]


def _disc(radius):
    side = 2 * max(1, round(radius)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))


def fill(image: Float[np.ndarray, "h w 3"], known: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
    """Fill what is not known from what is known around, smoother the farther: push and pull of a pyramid.

    Args:
      known: 0 to 1 of each pixel.
    """
    height, width = known.shape
    if max(height, width) == 1:
        return image
    half = ((width + 1) // 2, (height + 1) // 2)
    share = cv2.resize(known, half, interpolation=cv2.INTER_AREA)
    summed = cv2.resize(image * known[..., None], half, interpolation=cv2.INTER_AREA)
    coarse = fill(summed / np.maximum(share, 1e-6)[..., None], np.minimum(1, 4 * share))
    coarse = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return known[..., None] * image + (1 - known[..., None]) * coarse
