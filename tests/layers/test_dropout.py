"""Dropout: as many values as asked for, each on its own, and the mean kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.layers import dropout


def drop(x, rate, key=0, *, train=True):
    return dropout.Dropout(rate).apply({}, x, train=train, rngs={"dropout": jax.random.key(key)})


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.9])
def test_share_and_size_are_those_asked_for(rate):
    x = jnp.full((400, 7, 101), 2.0)  # an odd last axis
    found = np.asarray(drop(x, rate))
    kept = found != 0
    deviation = (rate * (1 - rate) / kept.size) ** 0.5
    assert abs(kept.mean() - (1 - rate)) < 5 * deviation
    np.testing.assert_allclose(found[kept], 2 / (1 - rate), rtol=1e-4)
    # Every place is as likely as the others, the two that share a draw also.
    assert abs(kept.mean((0, 1)) - (1 - rate)).max() < 5 * (rate * (1 - rate) / 2800) ** 0.5


def test_neighbours_know_nothing_of_each_other():
    kept = np.asarray(drop(jnp.ones((100_000, 4)), 0.5)) != 0
    assert np.abs(np.corrcoef(kept.T) - np.eye(4)).max() < 0.02
    assert np.mean(kept[1:] == kept[:-1]) == pytest.approx(0.5, abs=0.01)


def test_each_key_draws_otherwise_and_the_same_again():
    x = jnp.ones((32, 64))
    np.testing.assert_array_equal(drop(x, 0.5, 1), drop(x, 0.5, 1))
    assert (drop(x, 0.5, 1) != drop(x, 0.5, 2)).mean() > 0.4


def test_nothing_or_everything_is_left_out():
    x = jnp.arange(1.0, 9).reshape(2, 4)
    np.testing.assert_array_equal(drop(x, 0.5, train=False), x)
    np.testing.assert_array_equal(drop(x, 0.0), x)
    np.testing.assert_array_equal(drop(x, 1.0), 0 * x)


def test_narrow_values_stay_narrow_and_gradients_pass_what_is_kept():
    assert drop(jnp.ones((4, 4), jnp.bfloat16), 0.1).dtype == jnp.bfloat16
    x = jnp.ones((8, 8))
    slope = jax.grad(lambda x: drop(x, 0.25).sum())(x)
    np.testing.assert_array_equal(slope, drop(x, 0.25))
