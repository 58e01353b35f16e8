"""Does the mouth open when it should? Correlation of the lips' distance in two films of the same words."""

import numpy as np
from jaxtyping import Float


def opening_correlation(generated: Float[np.ndarray, "t"], real: Float[np.ndarray, "u"]) -> float:
    """Pearson's correlation over the frames that both have; 0 for a mouth that does not move.

    Args:
      generated, real: data.face.mouth_opening of every frame, NaN where no face is found.

    Frames without a face count as the mean of the others: losing the face is no way to score.

    Raises:
      ValueError: a film without any face, or fewer than three common frames.
    """
    count = min(len(generated), len(real))
    if count < 3:
        raise ValueError(f"{count} common frames; a correlation needs at least 3")
    a, b = (_filled(x[:count]) for x in (generated, real))
    spread = a.std() * b.std()
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 1e-12 else 0.0


def _filled(x):
    if not np.isfinite(x).any():
        raise ValueError("no frame shows a face; nothing can be compared")
    return np.where(np.isfinite(x), x, np.nanmean(x)).astype(np.float64)
