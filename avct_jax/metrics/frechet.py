"""The Fréchet distance of two sets of features, taken as normal distributions (FID, Heusel et al. 2017)."""

import numpy as np
from jaxtyping import Float


class Moments:
    """Number, mean and covariance of features, block by block: memory does not grow with their number."""

    def __init__(self, size: int):
        """Begin with no features of `size` values."""
        self.count = 0
        self.mean = np.zeros(size)
        self._scatter = np.zeros((size, size))

    def add(self, features: Float[np.ndarray, "n d"]) -> None:
        """Take in some more features."""
        if not len(features):
            return
        values = features.astype(np.float64)
        mean = values.mean(0)
        centred = values - mean
        self._join(len(values), mean, centred.T @ centred)

    def merge(self, other: "Moments") -> None:
        """Take in all that another has."""
        if other.count:
            self._join(other.count, other.mean, other._scatter)

    def _join(self, count, mean, scatter):
        # Chan et al. 1983: exact whatever the means, unlike sums of squares.
        total = self.count + count
        apart = mean - self.mean
        self._scatter += scatter + np.outer(apart, apart) * (self.count * count / total)
        self.mean = self.mean + apart * (count / total)
        self.count = total

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """As np.cov: over count - 1.

        Raises:
          ValueError: fewer than two features.
        """
        if self.count < 2:
            raise ValueError(f"a covariance of {self.count} features; at least 2 are needed")
        return self._scatter / (self.count - 1)


def distance(a: Moments, b: Moments) -> float:
    """|mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)).

    With C = F F', the trace of the root is the sum of the singular values of F_a' F_b: real and finite also
    where there are fewer features than values, where a general matrix root is neither.

    Raises:
      ValueError: two sizes, or fewer than two features.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features of {len(a.mean)} and {len(b.mean)} values do not compare")
    factors = [_factor(m.covariance) for m in (a, b)]
    shared = np.linalg.svd(factors[0].T @ factors[1], compute_uv=False).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * shared
    # Rounding may leave a trace below 0.
    return float(np.square(a.mean - b.mean).sum() + max(spread, 0.0))


def _factor(matrix: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d r"]:
    """F with F F' = matrix, as narrow as its rank: few features make it small."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > max(values[-1], 0.0) * len(values) * np.finfo(np.float64).eps
    return vectors[:, kept] * np.sqrt(values[kept])
