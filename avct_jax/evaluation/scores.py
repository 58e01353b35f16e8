"""A video's figures, from what was seen of it and of the real one."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from avct_jax.data.faces import face_detector
from avct_jax.evaluation import measures
from avct_jax.evaluation import video_features as observations
from avct_jax.evaluation import video_files as videos
from avct_jax.evaluation.scorers import sync_scorers
from avct_jax.metrics import (
    eyelids,
    head_rotation,
    identity,
    image_similarity,
    landmarks,
    lip_motion,
    mouth_opening,
    sharpness,
)

NEAR = 1  # frame, by which audio and lips may be apart unnoticed
LEAST = 1e-6  # spread of a mouth's opening below which it does not move

Scores = dict[str, float | None]


def score(
    made: observations.Observation,
    real: observations.Observation,
    images: Mapping[str, float],
    sync_scorer: sync_scorers.SyncScorer,
    *,
    paired: bool = True,
) -> Scores:
    """All measures of one video by key; None where it has none.

    Args:
      images: of `compare`.
      paired: else only audio and mouth are compared with the real video, and sharpness with the portrait.
    """
    found: dict[str, Any] = dict.fromkeys(measures.KEYS)
    found |= {key: value for key, value in images.items() if paired}
    found["cpbd"] = float(made.sharpness.mean())
    found["faces"] = float(landmarks.found(made.points).mean())
    found["jitter"] = landmarks.jitter(made.points / np.float32(max(made.size)))
    found["opening_in_silence"] = landmarks.opening_when_silent(made.opening, made.silent)
    found |= _mouth(made, real) | _lips(made, real) | _head(made) | _sync(made, sync_scorer)
    found |= _sharpness(made, real if paired else None)
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
        "opening_best_correlation": mouth_opening.best_opening_correlation(
            _worst_filled(made.opening), real.opening
        ),
        "opening_spread": float(np.nanstd(_worst_filled(made.opening))) / spread if spread > LEAST else None,
    }


def _lips(made, real):
    """How far lips part and round in this video alone, beside the real one, and where they should meet."""
    widths = [lip_motion.mouth_width(seen.points) for seen in (made, real)]
    found = {
        "opening_std": lip_motion.spread(made.opening),
        "opening_std_eyes": lip_motion.spread(lip_motion.lip_gap(made.points)),
        "open_share": lip_motion.open_share(made.opening),
        "width_std": lip_motion.spread(widths[0]),
        "closure": lip_motion.closure(
            lip_motion.lip_gap(made.points), made.phonemes if len(made.phonemes) else real.phonemes
        ),
    }
    base = lip_motion.spread(widths[1])
    if min(map(len, widths)) >= 3 and base > LEAST:
        found["width_correlation"] = mouth_opening.opening_correlation(_worst_filled(widths[0]), widths[1])
        found["width_spread"] = found["width_std"] / base
    return found


def _head(made):
    """Blinks and turns of the head."""
    eyes = eyelids.eye_opening(made.points)
    turns = head_rotation.head_turns(made.points)
    found = {f"head_{axis}": degrees for axis, degrees in turns._asdict().items()}
    return found | {"blinks": eyelids.blinks_per_minute(eyes), "blink_length": eyelids.blink_length(eyes)}


def _sharpness(made, real):
    """Of face and mouth, as a share of the real video's, or of the portrait's where there is none."""
    if real is None:
        found = sharpness.share_of_image(made.detail, made.portrait)
    else:
        found = sharpness.share(made.detail, real.detail)
    return {f"{region}_sharpness": value for region, value in zip(sharpness.REGIONS, found, strict=True)}


def _worst_filled(opening):
    """A video without any face is a mouth that stays shut; else frames without one stay NaN."""
    return opening if np.isfinite(opening).any() else np.zeros_like(opening)


def _sync(made, sync_scorer):
    if not min(len(made.lip), len(made.speech)):
        return {}
    found = sync_scorer.compare(made.lip, made.speech)
    return {
        "av_offset": float(found.offset),
        "av_near": float(abs(found.offset) <= NEAR),
        "av_confidence": found.confidence,
        "lse_d": found.distance,
    }


def compare(made: videos.Video, real: videos.Video, networks: observations.Scorers) -> dict[str, float]:
    """Pixel differences of two videos of one size, over the frames that both have."""
    blocks = zip(
        videos.chunks(made.frames(), observations.CHUNK),
        videos.chunks(real.frames(), observations.CHUNK),
        strict=False,
    )
    l1, ssim, squares, distance = [], [], [], []
    for one, other in blocks:
        count = min(len(one), len(other))
        one, other = one[:count], other[:count]
        l1.append(image_similarity.l1(one, other))
        ssim.append(image_similarity.ssim(one, other))
        squares.append(image_similarity.squared_error(one, other))
        if networks.distance:
            pair = (videos.filled(x, observations.CHUNK) for x in (one, other))
            distance.append(np.asarray(networks.distance(*pair))[:count])
    if not l1:
        return {}
    error = float(np.concatenate(squares).mean())
    found = {"l1": float(np.concatenate(l1).mean()), "ssim": float(np.concatenate(ssim).mean())}
    found["psnr"] = image_similarity.decibels(error)
    return found | ({"lpips": float(np.concatenate(distance).mean())} if distance else {})


def _plain(value):
    """A number for JSON: neither NaN nor infinite."""
    return float(value) if value is not None and math.isfinite(value) else None


def openings(seen: observations.Observation) -> list[float | None]:
    """The mouth's opening frame by frame, for curves."""
    return [_plain(x) for x in face_detector.mouth_opening(seen.points)]
