"""The map that tells a decoder where keypoints are and how they have changed."""

import jax
import jax.numpy as jnp
import numpy as np

from avct_jax import motion
from avct_jax.layers.geometry import motion_map


def some_motion(seed, k=4):
    random = np.random.default_rng(seed)
    turns = np.eye(2) + 0.1 * random.standard_normal((2, k, 2, 2))
    return motion.Motion(
        *(jnp.asarray(x, jnp.float32) for x in (random.uniform(-0.5, 0.5, (2, k, 2)), turns))
    )


def drawn(turns, change):
    source = some_motion(0)
    layer = motion_map.MotionMap(3, turns=turns)
    variables = layer.init(jax.random.key(0), source, source, 16, 16)
    return [layer.apply(variables, moved, source, 16, 16) for moved in (source, change(source))]


def test_affine_frames_count_only_where_they_are_read():
    turn = lambda m: m._replace(jacobians=1.2 * m.jacobians)
    before, after = drawn(False, turn)
    np.testing.assert_array_equal(before, after)
    before, after = drawn(True, turn)
    assert jnp.abs(before - after).max() > 1e-3


def test_frames_count_by_their_change_alone():
    both = lambda m, factor: m._replace(jacobians=factor * m.jacobians)
    layer = motion_map.MotionMap(3, turns=True)
    moved, source = some_motion(1), some_motion(0)
    variables = layer.init(jax.random.key(0), moved, source, 16, 16)
    plain, scaled = (layer.apply(variables, both(moved, f), both(source, f), 16, 16) for f in (1.0, 1.5))
    np.testing.assert_allclose(plain, scaled, atol=1e-4)


def test_keypoints_count_either_way():
    shift = lambda m: m._replace(keypoints=m.keypoints.at[:, 0].add(0.05))
    for turns in (False, True):
        before, after = drawn(turns, shift)
        assert jnp.abs(before - after).max() > 1e-3
