"""Inverses of small matrices."""

import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.layers.geometry import inverse


@pytest.mark.parametrize("size", [2, 3])
def test_inverses_are_those_of_numpy(size):
    matrices = np.random.default_rng(0).normal(size=(5, 4, size, size)).astype(np.float32) + 2 * np.eye(size)
    found = inverse.inverse(jnp.asarray(matrices, jnp.float32))
    np.testing.assert_allclose(found, np.linalg.inv(matrices), rtol=2e-3, atol=2e-4)
    one = jnp.asarray([[2.0, 1.0], [1.0, 1.0]])
    np.testing.assert_array_equal(inverse.inverse(one), [[1, -1], [-1, 2]])


def test_larger_matrices_are_refused():
    with pytest.raises(ValueError, match="4 rows"):
        inverse.inverse(jnp.eye(4))
