"""Lips by two sets of posteriors: equals do not differ, the last frames count more, ends are still."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.models.mesh import phoneme_net, speech_motion
from avct_jax.train.core import grad_accumulation, optimizer
from avct_jax.train.mesh_stages import heard_lips, phoneme_stage
from tests import quick

SIZES = speech_motion.SpeechMotionConfig(
    window_radius=1, d_model=8, num_heads=2, feedforward=8, symbols=7, components=3, codes=2
)
NET = phoneme_net.PhonemeNetConfig(width=8, dilations=(1, 2), ahead=(1, 1), symbols=7, dropout=0.0)
GAP = np.array([0.1, -0.05, 0.02], np.float32)


@pytest.fixture(scope="module")
def ruler():
    network = speech_motion.SpeechMotion(SIZES)
    zeros = (jnp.zeros((1, 5, 2, 7)), jnp.zeros((1, 5, 6)), jnp.zeros((1, 5, 4, 41)), jnp.zeros(1))
    shapes = jax.eval_shape(network.init, jax.random.key(0), *zeros)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: jnp.asarray(rng.normal(0, 0.3, x.shape), jnp.float32), shapes)
    return heard_lips.Ruler(variables, jnp.asarray(GAP), jnp.float32(0.1))


@pytest.fixture(scope="module")
def given():
    """Log-posteriors, audio, weights and poses of 2 examples of 8 frames; the second ends after 6."""
    rng = np.random.default_rng(1)
    logs = jax.nn.log_softmax(jnp.asarray(rng.normal(0, 2, (2, 8, 2, 7)), jnp.float32))
    audio = jnp.asarray(rng.normal(size=(2, 8, 4, 41)), jnp.float32)
    weight = jnp.ones((2, 8)).at[1, 6:].set(0)
    return logs, audio, weight, jnp.asarray(rng.normal(0, 0.1, (2, 6)), jnp.float32)


@functools.cache
def compiled(name):
    return quick.jit(functools.partial(getattr(heard_lips, name), SIZES))


def test_the_same_posteriors_make_the_same_lips_and_others_do_not(ruler, given):
    goal = compiled("aim")(ruler, *given)
    assert goal.wanted.shape == (2, 6, 3) and float(jnp.abs(goal.wanted).mean()) > 0.1
    assert float(compiled("difference")(ruler, given[0], goal)) == 0
    louder = jax.nn.log_softmax(given[0].at[:, :, :, 3].add(3.0))
    assert float(compiled("difference")(ruler, louder, goal)) > 0.01


def test_openings_and_coefficients_are_weighed_and_the_last_frames_count_as_much_as_all(ruler, given):
    goal = compiled("aim")(ruler, *given)
    other = jax.nn.log_softmax(given[0].at[..., 2].add(4.0))
    off = np.asarray(compiled("predict")(ruler, other, goal) - goal.wanted)
    error = (off @ GAP / 0.05) ** 2 + 0.2 * (off**2).mean(-1)
    weight = np.asarray(given[2])[:, 1:-1]
    mean = [(error[:, i:] * weight[:, i:]).sum() / weight[:, i:].sum() for i in (0, 4)]
    found = compiled("difference")(ruler, other, goal)
    np.testing.assert_allclose(found, np.mean(mean), rtol=1e-4)


def test_after_the_end_it_is_quiet_whatever_is_recognised(ruler, given):
    logs, *rest = given
    goal = compiled("aim")(ruler, *given)
    other = logs.at[1, 6:].set(jnp.log(1 / 7))
    np.testing.assert_array_equal(compiled("aim")(ruler, other, *rest).wanted, goal.wanted)
    assert float(compiled("difference")(ruler, other, goal)) == 0


def make_stage(ruler, **weights):
    config = phoneme_stage.PhonemeStageConfig(
        noise=0.0, bands=0.0, tract=0.0, hidden=0.0, ema_decay=0.5, **weights
    )
    rule = optimizer.OptimizerConfig(learning_rate=1e-2, schedule="constant")
    compute = grad_accumulation.ComputeConfig()
    return phoneme_stage.make_stage(NET, config, rule, compute, sizes=SIZES, ruler=ruler)


def test_the_stage_learns_lips_alone(ruler, given):
    """Without any weight on posteriors lips come near to the teacher's, of both examples."""
    stage = make_stage(ruler, divergence=0.0, logs=0.0, lips=1.0)
    pad = ((0, 0), (NET.frames_back, NET.frames_ahead), (0, 0), (0, 0))
    batch = phoneme_stage.PhonemeBatch(np.pad(given[1], pad), given[0], given[2])
    current, step, eval_step = stage.initial(), jax.jit(stage.step), quick.jit(stage.eval_step)
    before = eval_step(current, stage.frozen, batch, jax.random.key(0))
    for _ in range(60):
        current, told = step(current, stage.frozen, batch, jax.random.key(0))
    after = eval_step(current, stage.frozen, batch, jax.random.key(0))
    assert float(told["total"]) == pytest.approx(float(told["lips"]))
    assert float(after["lips"]) < 0.2 * float(before["lips"])


def test_without_their_weight_lips_are_not_compared(ruler):
    stage = make_stage(ruler)
    assert stage.frozen == {}
    shape = jax.ShapeDtypeStruct
    batch = phoneme_stage.PhonemeBatch(
        shape((2, 8 + NET.frames_back + NET.frames_ahead, 4, 41), jnp.float32),
        shape((2, 8, 2, 7), jnp.float32),
        shape((2, 8), jnp.float32),
    )
    told = jax.eval_shape(stage.eval_step, jax.eval_shape(stage.initial), {}, batch, jax.random.key(0))
    assert "lips" not in told


def test_what_comes_after_an_example_is_hidden_where_a_stream_would_not_know_it():
    features = jnp.ones((2, 9, 4, 41))
    hidden = phoneme_stage.hide_coming(features, 3, jnp.array([True, False]))
    np.testing.assert_array_equal(hidden[0, :, 0, 0], [1] * 6 + [0] * 3)
    np.testing.assert_array_equal(hidden[1], features[1])
