"""The eyeballs of a portrait made whole: what lids hide of them shows when eyes look aside or open wide."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from avct_jax import face_topology as topology

RIM = 0.006  # eye distances: the lid's edge, whose shade is no eye's colour
CORNERS = (0.15, 0.88)  # of the eye's width from its outer to its inner corner: beyond is no white
WHITE = 1.15  # of the iris' radius from which on there is white
FEWEST = 6  # px from which a colour is told
RINGS = 8  # of one colour in an iris
NEAR, FAR = 0.02, 0.12  # eye distances over which the white is smoothed, and carried on
MARGIN = 0.14  # eye distances around an eye that are made
# A ball is darker towards the lids, the upper one above all: by so much, so many eye distances beyond them.
SHADE, SHADE_WAY, UPPER_SHADE = 0.25, 0.04, 0.15


class WholeEyes(NamedTuple):
    """A portrait whose eyeballs go on behind the lids.

    Attributes:
      image: as it was between the lids.
      irises: x, y and radius of the image's left and right one, in [-1, 1].
    """

    image: UInt8[np.ndarray, "s s 3"]
    irises: Float[np.ndarray, "2 3"]


def complete(image: UInt8[np.ndarray, "s s 3"], points: Float[np.ndarray, "478 3"]) -> WholeEyes:
    """Paint what lids hide: the iris by its rings' colours, the white by what is seen of it.

    Args:
      points: landmarks in [-1, 1].
    """
    half = (len(image) - 1) / 2
    pixels = (points[:, :2] + 1) * half
    unit = float(np.linalg.norm(pixels[topology.EYE_CORNERS[0]] - pixels[topology.EYE_CORNERS[1]]))
    painted, irises = image.astype(np.float32), []
    sides = zip(topology.APERTURES[1:], (topology.LEFT_IRIS, topology.RIGHT_IRIS), (1, -1), strict=True)
    for (upper, lower), iris, outwards in sides:
        rows = [pixels[list(row)] for row in (upper, lower)]
        centre, *rim = pixels[list(iris)]
        radius = float(np.linalg.norm(np.array(rim) - centre, axis=1).mean())
        _complete_one(painted, rows, centre, radius, unit, outwards)
        irises.append((*(centre / half - 1), radius / half))
    return WholeEyes((painted + 0.5).clip(0, 255).astype(np.uint8), np.array(irises, np.float32))


def _complete_one(painted, rows, centre, radius, unit, outwards):
    """Paint one eye.

    Args:
      outwards: 1 where its outer corner is the left one.
    """
    upper, lower = rows
    corners = np.concatenate([upper, lower])
    (left, top), (right, bottom) = (
        np.clip(edge, 0, len(painted) - 1).astype(int)
        for edge in (corners.min(0) - MARGIN * unit, corners.max(0) + MARGIN * unit + 1)
    )
    patch = painted[top : bottom + 1, left : right + 1]
    corner = np.array([left, top])
    depth, beyond = _depth(np.concatenate([upper, lower[::-1]]) - corner, patch.shape)
    y, x = np.mgrid[: patch.shape[0], : patch.shape[1]].astype(np.float32)
    away = np.hypot(x + left - centre[0], y + top - centre[1]) / radius
    across = (x + left - upper[0, 0]) / max(upper[-1, 0] - upper[0, 0], 1.0)
    across = across if outwards > 0 else 1 - across
    seen = depth > RIM * unit
    white = seen & (away > WHITE) & (across > CORNERS[0]) & (across < CORNERS[1])
    ball = _white(patch, white, unit)
    coloured = _iris(patch, seen, away, ball)
    share = np.clip((1 - away) * radius / 1.2 + 0.5, 0, 1)[..., None]
    middle = np.interp(x + left, *np.sort((upper + lower) / 2, 0).T)
    shade = SHADE * np.clip(beyond / (SHADE_WAY * unit), 0, 1) + UPPER_SHADE * (y + top < middle)
    whole = (ball + share * (coloured - ball)) * (1 - cv2.GaussianBlur(shade, (0, 0), 1))[..., None]
    kept = np.clip(depth / max(RIM * unit, 0.7), 0, 1)[..., None]
    patch += (1 - kept) * (whole - patch)


def _depth(outline: Float[np.ndarray, "n 2"], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """How far inside an outline, and how far outside of it, each pixel lies, px; else 0."""
    fine, size = 4, (shape[1], shape[0])
    mask = np.zeros((shape[0] * fine, shape[1] * fine), np.uint8)
    cv2.fillPoly(mask, [np.round((outline + 0.5) * fine - 0.5).astype(np.int32)], 1)
    both = (cv2.distanceTransform(side, cv2.DIST_L2, 5) / fine for side in (mask, 1 - mask))
    inside, outside = (cv2.resize(far, size, interpolation=cv2.INTER_AREA) for far in both)
    return inside, outside


def _white(patch: np.ndarray, white: Bool[np.ndarray, "h w"], unit: float) -> np.ndarray:
    """The white of an eye everywhere: smoothed where it is seen, carried on from there."""
    if white.sum() < FEWEST:
        light = float(np.percentile(patch.mean(-1), 80))
        return np.broadcast_to(np.array([0.95, 0.92, 0.9], np.float32) * light, patch.shape)
    bright = patch.mean(-1)
    white = white & (bright >= np.percentile(bright[white], 15))  # without lashes and their shade
    found = np.median(patch[white], 0) * np.ones_like(patch)
    for spread in (FAR, NEAR):
        weight = cv2.GaussianBlur(white.astype(np.float32), (0, 0), spread * unit)[..., None]
        mean = cv2.GaussianBlur(patch * white[..., None], (0, 0), spread * unit) / np.maximum(weight, 1e-6)
        trust = np.clip(weight / 0.05, 0, 1)
        found += trust * (mean - found)
    return found


def _iris(patch, seen, away, otherwise):
    """The colours of an iris' rings everywhere, as the median of each is where it is seen."""
    middles = (np.arange(RINGS) + 0.5) / RINGS
    known, colours = [], []
    for ring, middle in enumerate(middles):
        inside = seen & (away >= ring / RINGS) & (away < (ring + 1) / RINGS)
        if inside.sum() >= 2:
            known.append(middle)
            colours.append(np.median(patch[inside], 0))
    if len(known) < 2:
        return 0.35 * otherwise
    return np.stack([np.interp(away, known, column) for column in np.array(colours).T], -1)
