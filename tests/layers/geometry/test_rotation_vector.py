"""Rotations that follow one another."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import transform

from avct_jax.layers.geometry import rotation_vector


def test_rotations_follow_one_another_at_any_angle():
    first, then = np.random.default_rng(0).uniform(-2.5, 2.5, (2, 50, 4, 3)).astype(np.float32)
    turn = lambda vectors: transform.Rotation.from_rotvec(vectors.reshape(-1, 3))
    found = np.asarray(jax.jit(rotation_vector.compose)(first, then))
    off = (turn(found).inv() * turn(then) * turn(first)).magnitude()
    assert off.max() < 1e-5
    assert np.linalg.norm(found, axis=-1).max() <= np.pi + 1e-5  # the shorter way


def test_no_turn_leaves_a_rotation_as_it_is_and_has_a_gradient():
    vector, zero = jnp.array([[0.3, -0.2, 0.5]]), jnp.zeros((1, 3))
    np.testing.assert_allclose(rotation_vector.compose(vector, zero), vector, atol=1e-6)
    np.testing.assert_allclose(rotation_vector.compose(zero, vector), vector, atol=1e-6)
    grads = jax.jacobian(rotation_vector.compose, (0, 1))(zero, zero)
    np.testing.assert_allclose([x[0, :, 0] for x in grads], [np.eye(3)] * 2, atol=1e-5)
