"""How far a made face is from the real one's, by a network that tells people apart."""

import numpy as np
from jaxtyping import Float


def identity_distance(made: Float[np.ndarray, "n d"], real: Float[np.ndarray, "m d"]) -> float:
    """Mean distance of face descriptors, frame by frame; FOMM's average Euclidean distance (AED).

    Siarohin et al., NeurIPS 2019, section 4. A made frame without a face (NaN) counts as the video's widest,
    real ones without a face are left out.

    Returns:
      NaN where no frame shows a face in both.
    """
    count = min(len(made), len(real))
    distance = np.linalg.norm(made[:count].astype(np.float64) - real[:count], axis=-1)
    asked = np.isfinite(real[:count]).all(-1)
    if not np.isfinite(distance).any():
        return float("nan")
    return float(np.where(np.isfinite(distance), distance, np.nanmax(distance))[asked].mean())
