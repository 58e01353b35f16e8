"""Barriers change nothing, and let gradients and maps through."""

import jax
import numpy as np
import pytest

from avct_jax.layers import barrier


@pytest.mark.parametrize("shape", [(2, 5, 7), (2, 8, 16, 3), (1, 5, 5, 3)])
def test_once_changes_nothing(shape):
    values = jax.random.normal(jax.random.key(0), shape)
    np.testing.assert_array_equal(jax.jit(barrier.once)(values), values)
    slope = jax.grad(lambda x: (barrier.once(x) ** 2).sum())(values)
    np.testing.assert_allclose(slope, 2 * values, rtol=1e-6)
    assert jax.vmap(barrier.once)(values).shape == shape
