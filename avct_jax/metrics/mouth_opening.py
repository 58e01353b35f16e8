"""Does the mouth open when it should? Correlation of the lips' distance in two videos of the same words."""

import numpy as np
from jaxtyping import Float

REACH = 5  # frames


def opening_correlation(generated: Float[np.ndarray, "t"], real: Float[np.ndarray, "u"]) -> float:
    """Pearson's correlation over the frames that both have; 0 for a mouth that does not move.

    Args:
      generated, real: data.face.mouth_opening of every frame, NaN where no face is found.

    Frames without a face count as the mean of the others: losing the face is no way to score.

    Raises:
      ValueError: a video without any face, or fewer than three common frames.
    """
    count = min(len(generated), len(real))
    if count < 3:
        raise ValueError(f"{count} common frames; a correlation needs at least 3")
    a, b = (_filled(x[:count]) for x in (generated, real))
    spread = a.std() * b.std()
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 1e-12 else 0.0


def best_opening_correlation(
    generated: Float[np.ndarray, "t"], real: Float[np.ndarray, "u"], *, reach: int = REACH
) -> float:
    """The largest `opening_correlation` where one video may come up to `reach` frames before the other.

    Clips of other people are often off by some frames between audio and lips themselves; what follows the
    audio is judged fairly only where each clip's own lag is taken out. Shifts that leave fewer than three
    common frames are not tried.

    Raises:
      ValueError: as `opening_correlation`.
    """
    best = opening_correlation(generated, real)
    for lag in range(1, reach + 1):
        for a, b in ((generated[lag:], real), (generated, real[lag:])):
            if min(len(a), len(b)) >= 3 and np.isfinite(a).any() and np.isfinite(b).any():
                best = max(best, opening_correlation(a, b))
    return best


def _filled(x):
    if not np.isfinite(x).any():
        raise ValueError("no frame shows a face; nothing can be compared")
    return np.where(np.isfinite(x), x, np.nanmean(x)).astype(np.float64)
