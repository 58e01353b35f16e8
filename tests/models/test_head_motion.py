"""E_h against the reference's numbers, and in pieces."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.convert import parity
from avct_jax.models import head_motion

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
SMALL = head_motion.HeadMotionConfig(features=8, blocks=(1, 1), widths=(4, 8), audio_encoder="mlp", tanh=True)


@pytest.fixture(scope="module")
def small():
    model = head_motion.HeadMotion(SMALL)
    box = jax.random.uniform(jax.random.key(0), (2, 64, 64)) * 255
    audio = jax.random.normal(jax.random.key(1), (2, 7, 4, 41))
    return model, jax.jit(model.init)(jax.random.key(2), box, audio), box, audio


@pytest.mark.slow
def test_head_motion_gives_the_reference_poses():
    golden = np.load(GOLDENS / "inference.npz")
    shapes = json.loads((GOLDENS / "inference_state_shapes.json").read_text())
    variables = parity.stand_in_variables("audio2pose", shapes["audio2pose"], int(golden["seed"]))
    start = 4 * int(golden["start"])
    audio = golden["audio_features"][start : start + 64].reshape(1, 16, 4, 41)
    model = head_motion.HeadMotion(head_motion.HeadMotionConfig())
    box = golden["first_box"][None].astype(np.float32)
    poses = jax.jit(model.apply)(variables, box, audio)[0]
    for ours, name in ((poses, "poses_raw"), (head_motion.to_real_units(poses), "poses")):
        assert np.abs(ours - golden[name]).max() < 1e-4 * np.abs(golden[name]).max()


def test_head_motion_has_the_released_shapes():
    shapes = json.loads((GOLDENS / "inference_state_shapes.json").read_text())["audio2pose"]
    expected = parity.stand_in_variables("audio2pose", shapes, 0)
    model = head_motion.HeadMotion(head_motion.HeadMotionConfig())
    inputs = jnp.zeros((1, 256, 256)), jnp.zeros((1, 2, 4, 41))
    found = jax.eval_shape(model.init, jax.random.key(0), *inputs)
    assert jax.tree.map(jnp.shape, expected) == jax.tree.map(jnp.shape, found)


def test_head_motion_in_chunks_equals_the_whole(small):
    model, variables, box, audio = small
    whole = jax.jit(model.apply)(variables, box, audio)
    carry, first = model.apply(variables, box, method="initial")
    poses = [first[:, None]]
    for chunk in (audio[:, :3], audio[:, 3:4], audio[:, 4:]):
        carry, more = model.apply(variables, carry, chunk, method="run")
        poses.append(more)
    np.testing.assert_allclose(jnp.concatenate(poses, 1), whole, atol=1e-6)


def test_head_motion_does_not_hear_the_future(small):
    model, variables, box, audio = small
    gradient = jax.jit(jax.grad(lambda a: model.apply(variables, box, a)[0, 3].sum()))(audio)
    heard = np.abs(gradient[0]).max((1, 2)) > 0
    np.testing.assert_array_equal(heard, [True, True, True, False, False, False, False])


def test_head_motion_with_tanh_stays_in_range(small):
    model, variables, box, audio = small
    poses = jax.jit(model.apply)(variables, box, 1000 * audio)
    assert poses.shape == (2, 8, 6) and np.abs(poses).max() <= 1


def test_real_units_and_network_range_undo_each_other():
    poses = jax.random.uniform(jax.random.key(0), (3, 6), minval=-1.0)
    back = head_motion.to_network_range(head_motion.to_real_units(poses))
    np.testing.assert_allclose(back, poses, atol=1e-5)
    ends = head_motion.to_real_units(jnp.stack([-jnp.ones(6), jnp.ones(6)]))
    np.testing.assert_allclose(ends, [head_motion.REAL_MIN, head_motion.REAL_MAX], rtol=1e-6)
