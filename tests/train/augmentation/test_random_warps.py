"""Random warps: the reference's numbers, and frames, points and derivatives that agree with each other."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.layers.geometry import grid
from avct_jax.train.augmentation import random_warps

GOLDENS = pathlib.Path(__file__).parents[2] / "goldens"


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(GOLDENS / "training.npz"))


@pytest.fixture(scope="module")
def reference_warp(golden):
    centres = jnp.asarray(grid.coordinate_grid(5, 5)).reshape(-1, 2)
    params = jnp.asarray(golden["tps/control_params"][:, 0])
    return random_warps.Warp(jnp.asarray(golden["tps/theta"]), centres, params)


@pytest.fixture(scope="module")
def smooth():
    """An image without sharp edges, so that bilinear sampling is nearly exact."""
    places = grid.coordinate_grid(64, 64)
    return jnp.stack([jnp.sin(3 * places[..., 0]), jnp.cos(2 * places[..., 1])], -1)[None]


def test_warp_moves_frames_as_the_reference(golden, reference_warp):
    frames = jnp.asarray(golden["frames"], jnp.float32) / 255
    found = jax.jit(random_warps.warp_frames)(reference_warp, frames)
    np.testing.assert_allclose(found, golden["tps/frame"].astype(np.float32), atol=1e-3)


def test_warp_moves_points_as_the_reference(golden, reference_warp):
    points = jnp.asarray(golden["tps/points"])
    np.testing.assert_allclose(
        random_warps.warp_points(reference_warp, points), golden["tps/warped"], atol=1e-5
    )
    np.testing.assert_allclose(
        random_warps.warp_jacobian(reference_warp, points), golden["tps/jacobian"], atol=1e-5
    )


def test_warp_jacobian_is_the_derivative_of_warp_points():
    warp = random_warps.random_warp(jax.random.key(0), 3, sigma_tps=0.1)
    points = jax.random.uniform(jax.random.key(1), (3, 4, 2), minval=-1, maxval=1)
    whole = jax.jacfwd(lambda p: random_warps.warp_points(warp, p))(points)
    by_point = jnp.einsum("bkibkj->bkij", whole)
    np.testing.assert_allclose(random_warps.warp_jacobian(warp, points), by_point, rtol=1e-4, atol=1e-4)


def test_warp_without_noise_is_the_identity_on_points(smooth):
    warp = random_warps.random_warp(jax.random.key(0), 1, sigma_affine=0.0, sigma_tps=0.0)
    points = jax.random.uniform(jax.random.key(1), (1, 5, 2))
    np.testing.assert_allclose(random_warps.warp_points(warp, points), points, atol=1e-6)
    found = random_warps.warp_frames(warp, smooth, align_corners=True)
    np.testing.assert_allclose(found, smooth, atol=1e-5)


def test_warped_frame_shows_at_each_place_what_the_warped_point_showed(smooth):
    warp = random_warps.random_warp(jax.random.key(2), 1)
    points = jax.random.uniform(jax.random.key(3), (1, 9, 2), minval=-0.7, maxval=0.7)
    frames = jax.jit(random_warps.warp_frames, static_argnames="align_corners")(
        warp, smooth, align_corners=True
    )
    shown = grid.grid_sample(frames, points[:, None], align_corners=True)
    x, y = jnp.moveaxis(random_warps.warp_points(warp, points), -1, 0)
    np.testing.assert_allclose(shown[0, 0], jnp.stack([jnp.sin(3 * x), jnp.cos(2 * y)], -1)[0], atol=4e-3)


def test_warp_reflects_at_the_border():
    theta = jnp.asarray([[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]])  # look half an image further right
    warp = random_warps.Warp(theta, jnp.zeros((1, 2)), jnp.zeros((1, 1)))
    ramp = jnp.broadcast_to(jnp.arange(64.0).reshape(1, 1, 64, 1), (1, 64, 64, 1))
    row = np.asarray(random_warps.warp_frames(warp, ramp))[0, 0, :, 0]
    np.testing.assert_allclose(row, row[::-1], atol=1e-3)
    assert row.max() > 62.9 and row[0] == 31.5


def test_random_warps_differ_between_images_and_keys():
    one, two = (random_warps.random_warp(jax.random.key(i), 2) for i in (0, 1))
    assert float(jnp.abs(one.theta[0] - one.theta[1]).max()) > 1e-3
    assert float(jnp.abs(one.control_params - two.control_params).max()) > 1e-4
