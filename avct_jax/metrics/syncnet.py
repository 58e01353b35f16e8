"""AVOff, AVConf, LSE-D and LSE-C: how late, and how surely, lips fit speech (syncnet_python)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

MAX_SHIFT = (
    15  # frames looked at in either direction: `vshift` of syncnet_python's programs (its function: 10)
)
EPSILON = 1e-6  # added to each difference, as torch's pairwise_distance does


class Sync(NamedTuple):
    """What one video scores.

    Attributes:
      offset: frames by which the lips come after the audio (AVOff); negative: before it.
      distance: smallest mean distance over all shifts (LSE-D when averaged over videos).
      confidence: median minus smallest mean distance (AVConf; LSE-C when averaged over videos).
    """

    offset: int
    distance: float
    confidence: float


def shift_distances(
    lip: Float[np.ndarray, "t d"], speech: Float[np.ndarray, "t d"], *, max_shift: int = MAX_SHIFT
) -> Float[np.ndarray, "t s"]:
    """Distance of each lip window to the speech windows -max_shift .. max_shift around it.

    Speech beyond the clip counts as zeros, as in syncnet_python's calc_pdist.
    """
    padded = np.pad(speech, ((max_shift, max_shift), (0, 0)))
    shifts = range(2 * max_shift + 1)
    return np.stack(
        [np.linalg.norm(lip - padded[s : s + len(lip)] + EPSILON, axis=1) for s in shifts], axis=1
    )


def score(
    lip: Float[np.ndarray, "t d"], speech: Float[np.ndarray, "s d"], *, max_shift: int = MAX_SHIFT
) -> Sync:
    """Find the shift at which lips and speech are nearest on average over the clip.

    Args:
      lip, speech: embeddings of SyncNet, one row per frame; row v is of frames v .. v+4 and of
        MFCC steps 4v .. 4v+19.

    Raises:
      ValueError: no windows, or not as many of lips as of speech.
    """
    if len(lip) != len(speech) or not len(lip):
        raise ValueError(f"{len(lip)} lip and {len(speech)} speech windows; give as many of each, at least 1")
    mean = shift_distances(lip, speech, max_shift=max_shift).mean(0)
    best = int(mean.argmin())
    # The number of shifts is odd, so the median is one of them, as torch's.
    return Sync(max_shift - best, float(mean[best]), float(np.median(mean) - mean[best]))


def window_count(frames: int, samples: int) -> int:
    """Windows that syncnet_python uses of a video: min(frames, samples // 640) - 5, audio at 16 kHz."""
    return max(0, min(frames, samples // 640) - 5)


def average(scores: Sequence[Sync]) -> dict[str, float]:
    """Means over videos: {"av_offset", "lse_d", "lse_c"}."""
    means = np.mean(np.asarray(scores, dtype=np.float64), axis=0)
    return dict(zip(("av_offset", "lse_d", "lse_c"), map(float, means), strict=True))
