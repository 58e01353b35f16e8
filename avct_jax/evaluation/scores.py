"""A film's figures, from what was seen of it and of the real one."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from avct_jax.data import face
from avct_jax.evaluation import film as films
from avct_jax.evaluation import lips, measures
from avct_jax.evaluation import observation as observations
from avct_jax.metrics import identity, landmarks, mouth_opening, picture

NEAR = 1  # frame, by which sound and lips may be apart unnoticed
LEAST = 1e-6  # spread of a mouth's opening below which it does not move

Scores = dict[str, float | None]


def score(
    made: observations.Observation,
    real: observations.Observation,
    pictures: Mapping[str, float],
    judge: lips.Judge,
    *,
    paired: bool = True,
) -> Scores:
    """All measures of one film by key; None where it has none.

    Args:
      pictures: of `compare`. paired: else only sound and mouth are compared with the real film.
    """
    found: dict[str, Any] = dict.fromkeys(measures.KEYS)
    found |= {key: value for key, value in pictures.items() if paired}
    found["cpbd"] = float(made.sharpness.mean())
    found["faces"] = float(landmarks.found(made.points).mean())
    found["jitter"] = landmarks.jitter(made.points / np.float32(max(made.size)))
    found["opening_in_silence"] = landmarks.opening_when_silent(made.opening, made.silent)
    found |= _mouth(made, real) | _sync(made, judge)
    if paired:
        scale = np.float32(max(real.size) / max(made.size))
        found["lmd"] = landmarks.mouth_distance(made.points, real.points)
        if min(len(made.identity), len(real.identity)):
            found["identity"] = identity.identity_distance(made.identity, real.identity)
        found["akd"] = landmarks.keypoint_distance(made.points * scale, real.points, size=max(real.size))
    return {key: _plain(value) for key, value in found.items()}


def _mouth(made, real):
    try:
        correlation = mouth_opening.opening_correlation(_worst_filled(made.opening), real.opening)
    except ValueError:  # too short, or no face
        return {}
    spread = float(np.nanstd(real.opening))
    return {
        "opening_correlation": correlation,
        "opening_spread": float(np.nanstd(_worst_filled(made.opening))) / spread if spread > LEAST else None,
    }


def _worst_filled(opening):
    """A film without any face is a mouth that stays shut; else frames without one stay NaN."""
    return opening if np.isfinite(opening).any() else np.zeros_like(opening)


def _sync(made, judge):
    if not min(len(made.lip), len(made.speech)):
        return {}
    found = judge.compare(made.lip, made.speech)
    return {
        "av_offset": float(found.offset),
        "av_near": float(abs(found.offset) <= NEAR),
        "av_confidence": found.confidence,
        "lse_d": found.distance,
    }


def compare(made: films.Film, real: films.Film, networks: observations.Networks) -> dict[str, float]:
    """Pixel differences of two films of one size, over the frames that both have."""
    blocks = zip(
        films.chunks(made.frames(), observations.CHUNK),
        films.chunks(real.frames(), observations.CHUNK),
        strict=False,
    )
    l1, ssim, squares, distance = [], [], [], []
    for one, other in blocks:
        count = min(len(one), len(other))
        one, other = one[:count], other[:count]
        l1.append(picture.l1(one, other))
        ssim.append(picture.ssim(one, other))
        squares.append(picture.squared_error(one, other))
        if networks.distance:
            pair = (films.filled(x, observations.CHUNK) for x in (one, other))
            distance.append(np.asarray(networks.distance(*pair))[:count])
    if not l1:
        return {}
    error = float(np.concatenate(squares).mean())
    found = {"l1": float(np.concatenate(l1).mean()), "ssim": float(np.concatenate(ssim).mean())}
    found["psnr"] = picture.decibels(error)
    return found | ({"lpips": float(np.concatenate(distance).mean())} if distance else {})


def _plain(value):
    """A number for JSON: neither NaN nor infinite."""
    return float(value) if value is not None and math.isfinite(value) else None


def openings(seen: observations.Observation) -> list[float | None]:
    """The mouth's opening frame by frame, for curves."""
    return [_plain(x) for x in face.mouth_opening(seen.points)]
