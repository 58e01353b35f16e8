"""Learning rates by step, clipping, decay, and the moving average's pace."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from avct_jax.train.core import optimizer

CONFIG = optimizer.OptimizerConfig(learning_rate=1.0, steps=100)


def rates(**fields):
    """By step; without these fields, of 100 steps at a peak of 1."""
    schedule = optimizer.make_schedule(dataclasses.replace(CONFIG, **fields))
    return np.array([schedule(i) for i in range(101)])


def test_schedule_cosine_falls_to_its_final_share():
    found = rates(warmup=10, final_share=0.1)
    assert found[0] == 0 and found[10] == pytest.approx(1) and found[100] == pytest.approx(0.1)
    assert (np.diff(found[:11]) > 0).all() and (np.diff(found[10:]) < 0).all()
    assert rates()[0] == pytest.approx(1)


def test_schedule_multistep_falls_tenfold_at_fomms_milestones():
    found = rates(schedule="multistep", warmup=10)
    assert found[5] == pytest.approx(0.5)
    np.testing.assert_allclose(found[[10, 59, 61, 89, 91]], [1, 1, 0.1, 0.1, 0.01], rtol=1e-5)


@pytest.mark.parametrize("fields", [{"schedule": "constant"}, {"steps": 0}])
def test_schedule_constant_holds(fields):
    np.testing.assert_allclose(rates(**fields), 1)
    found = rates(warmup=10, **fields)
    assert found[5] == pytest.approx(0.5) and (found[10:] == 1).all()


def test_schedule_warms_up_in_at_most_half_of_a_short_run():
    assert rates(steps=10, warmup=50)[5] == pytest.approx(1)


def test_optimizer_steps_by_its_rate_and_scale():
    """Adam's first step is the rate, whatever the gradient."""
    params = {"w": jnp.ones(3)}
    for scale in (1.0, 0.5):
        rule = optimizer.make_optimizer(optimizer.OptimizerConfig(learning_rate=0.01), scale=scale)
        changes, _ = rule.update({"w": jnp.array([1.0, -20.0, 0.1])}, rule.init(params), params)
        np.testing.assert_allclose(changes["w"], 0.01 * scale * np.array([-1, 1, -1]), rtol=1e-4)


def test_optimizer_clips_the_norm_of_the_gradient():
    """Seen where Adam remembers it: the first moment is (1 - b1) times the clipped gradient."""
    for clip, share in ((1.0, 0.2), (0.0, 1.0)):
        rule = optimizer.make_optimizer(optimizer.OptimizerConfig(clip=clip))
        _, memory = rule.update(
            {"w": jnp.array([3.0, 4.0])}, rule.init({"w": jnp.zeros(2)}), {"w": jnp.zeros(2)}
        )
        (moment,) = optax.tree_utils.tree_get_all_with_path(memory, "mu")
        np.testing.assert_allclose(moment[1]["w"], 0.5 * share * np.array([3, 4]), rtol=1e-5)


def test_optimizer_decays_weights_without_a_gradient():
    rule = optimizer.make_optimizer(optimizer.OptimizerConfig(learning_rate=0.1, weight_decay=0.5))
    changes, _ = rule.update({"w": jnp.zeros(1)}, rule.init({"w": jnp.ones(1)}), {"w": jnp.ones(1)})
    np.testing.assert_allclose(changes["w"], -0.05, rtol=1e-5)


def test_average_decay_begins_fast_and_ends_slow():
    found = [float(optimizer.ema_decay_at(0.99, jnp.int32(step))) for step in (0, 80, 10**6)]
    np.testing.assert_allclose(found, [0.1, 0.9, 0.99], rtol=1e-6)


@pytest.mark.parametrize("decay_all", [False, True])
def test_optimizer_decays_as_torchs_adam_does(decay_all):
    """Two steps of torch.optim.Adam, weight_decay in the gradient, written out."""
    rate, decay, (b1, b2), eps = 0.1, 0.5, (0.5, 0.9), 1e-8
    config = optimizer.OptimizerConfig(
        learning_rate=rate, betas=(b1, b2), weight_decay=decay, decoupled=False, decay_all=decay_all, clip=0.0
    )
    rule = optimizer.make_optimizer(config)
    params = {"kernel": jnp.array([[2.0, -1.0]]), "bias": jnp.array([3.0])}
    gradient = {"kernel": jnp.array([[0.3, 0.1]]), "bias": jnp.array([-0.2])}
    found, memory = params, rule.init(params)
    for _ in range(2):
        changes, memory = rule.update(gradient, memory, found)
        found = optax.apply_updates(found, changes)
    for name, x in params.items():
        x, m, v = np.array(x, np.float64), 0.0, 0.0
        own = decay if decay_all or name == "kernel" else 0.0
        for t in (1, 2):
            g = np.array(gradient[name]) + own * x
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
            x = x - rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        np.testing.assert_allclose(found[name], x, rtol=1e-5)


def test_optimizer_of_adamw_is_optax_own():
    config = optimizer.OptimizerConfig(learning_rate=0.1, betas=(0.5, 0.9), weight_decay=0.5, clip=0.0)
    params, gradient = {"w": jnp.array([2.0, -1.0])}, {"w": jnp.array([0.3, 0.1])}
    found = []
    for rule in (optimizer.make_optimizer(config), optax.adamw(0.1, b1=0.5, b2=0.9, weight_decay=0.5)):
        found.append(rule.update(gradient, rule.init(params), params)[0]["w"])
    np.testing.assert_allclose(*found, rtol=1e-6)
