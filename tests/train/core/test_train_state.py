"""One step of every network: what it moves, what it averages, and what it tells of itself."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from avct_jax.train.core import run_record, train_state

RULE = optax.sgd(1.0)


def begin():
    variables = {"params": {"w": jnp.ones(2)}, "batch_stats": {"mean": jnp.zeros(2)}}
    return train_state.make_state({"a": variables, "b": {"params": {"w": jnp.ones(3)}}}, RULE)


def advance(current, gradient=0.5, statistic=1.0, ema_decay=0.2):
    gradients = {name: jax.tree.map(lambda p: jnp.full_like(p, gradient), x.params)
                 for name, x in current.network_states.items()}  # fmt: skip
    stats = {"a": {"mean": jnp.full(2, statistic)}, "b": {}}
    return train_state.advance(current, gradients, stats, {"a": RULE, "b": RULE}, ema_decay=ema_decay)


def test_every_network_takes_a_step_and_the_norm_is_of_all():
    after, metrics = advance(begin())
    assert int(after.step) == 1 and set(metrics) == {"gradient_norm"}
    for network_state in after.network_states.values():
        np.testing.assert_allclose(network_state.params["w"], 0.5)
    assert metrics["gradient_norm"] == pytest.approx(0.5 * 5**0.5)


def test_a_state_at_its_beginning_may_be_donated():
    """No buffer is in it twice."""
    leaves = jax.tree.leaves(train_state.make_state({"a": {"params": {"w": jnp.ones(3)}}}, optax.adam(1.0)))
    assert len(leaves) == 6 and len({x.unsafe_buffer_pointer() for x in leaves}) == 6


def test_statistics_are_averaged_at_the_pace_of_the_parameters():
    """A share of 0.1, then 0.9 * 2 / 11 more: the average forgets its random beginning first."""
    current, means = begin(), []
    for _ in range(2):
        current, _ = advance(current, ema_decay=0.9)
        means.append(current.network_states["a"].ema_variables)
    np.testing.assert_allclose(means[0]["batch_stats"]["mean"], 0.9, rtol=1e-6)
    np.testing.assert_allclose(means[0]["params"]["w"], 0.1 * 1 + 0.9 * 0.5, rtol=1e-6)
    share = 2 / 11
    np.testing.assert_allclose(means[1]["batch_stats"]["mean"], share * 0.9 + 1 - share, rtol=1e-6)
    np.testing.assert_array_equal(current.network_states["a"].variables["batch_stats"]["mean"], 1.0)
    assert current.network_states["b"].ema_variables["batch_stats"] == {}


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_one_number_that_is_not_finite_is_seen(bad):
    good, _ = advance(begin())
    assert train_state.is_finite(good) and train_state.is_finite({})
    assert not train_state.is_finite(advance(begin(), statistic=bad)[0])


def test_state_of_another_version_has_another_mark():
    """Orbax reads no checkpoint that lacks a part of the state, be it empty."""
    before = {"params": jnp.ones(2)}
    assert run_record.digest({**before, "ema_batch_stats": {}}) != run_record.digest(before)
    assert run_record.digest(jax.eval_shape(begin)) == run_record.digest(begin())
