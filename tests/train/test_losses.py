"""Losses: the reference's numbers, zeros where they belong, and gradients that push the right way."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax import motion
from avct_jax.convert import parity
from avct_jax.models.frozen import vgg
from avct_jax.train import losses
from avct_jax.train.augmentation import random_warps

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(GOLDENS / "training.npz"))


@pytest.fixture(scope="module")
def small_network():
    """A VGG of two narrow blocks: enough for properties."""
    config = vgg.VGGConfig(blocks=(1, 2), channels=(4, 6))
    variables = jax.jit(lambda: vgg.VGG(config).init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), (1, 2)))()
    return vgg.torchvision_network(variables["params"])


def test_pyramid_matches_the_reference(golden):
    levels = losses.pyramid(jnp.asarray(golden["frames"], jnp.float32) / 255)
    for factor, name in ((2, "0.5"), (4, "0.25"), (8, "0.125")):
        np.testing.assert_allclose(levels[factor], golden[f"pyramid/{name}"], atol=1e-5)


def test_perceptual_loss_matches_the_reference(golden):
    shapes = json.loads((GOLDENS / "training_state_shapes.json").read_text())["vgg19"]
    variables = parity.stand_in_variables("vgg19", shapes, parity.TRAINING_SEED)
    frames = jnp.asarray(golden["frames"], jnp.float32) / 255
    network = vgg.torchvision_network(variables["params"])
    found = jax.jit(losses.perceptual)(network, frames, jnp.roll(frames, 7, axis=2))
    assert float(found) == pytest.approx(float(golden["vgg/perceptual_loss_roll7"]), rel=1e-4)


def test_equivariance_losses_match_the_reference(golden):
    g = {name: jnp.asarray(value) for name, value in golden.items() if name.startswith(("tps", "equi"))}
    value = losses.keypoint_equivariance(g["equivariance/kp_driving"], g["tps/warped"])
    assert float(value) == pytest.approx(float(golden["equivariance/value_loss"]), rel=1e-5)
    value = losses.jacobian_equivariance(
        g["equivariance/jac_driving"], g["tps/jacobian"], g["equivariance/jac_transformed"]
    )
    assert float(value) == pytest.approx(float(golden["equivariance/jacobian_loss"]), rel=1e-5)


def test_perceptual_loss_and_its_gradient_are_zero_at_the_target(small_network):
    target = jax.random.uniform(jax.random.key(1), (1, 32, 32, 3))
    loss = lambda x: losses.perceptual(small_network, x, target, layers=(1,), scales=(1,))
    # Not jitted: fused, the two images' features differ by rounding, and an L1 gradient follows its sign.
    step = jax.value_and_grad(loss)
    value, gradient = step(target)
    assert float(value) == 0 and float(jnp.abs(gradient).max()) == 0
    value, gradient = step(target + 0.1)
    assert float(value) > 0 and float((gradient * 0.1).sum()) > 0


def test_perceptual_loss_teaches_only_the_prediction(small_network):
    images = jax.random.uniform(jax.random.key(1), (2, 1, 32, 32, 3))
    loss = lambda a, b: losses.perceptual(small_network, a, b, layers=(1,), scales=(1,))
    to_prediction, to_target = jax.jit(jax.grad(loss, argnums=(0, 1)))(*images)
    assert float(jnp.abs(to_prediction).max()) > 0 and float(jnp.abs(to_target).max()) == 0


def test_perceptual_loss_adds_its_layers_and_scales(small_network):
    a, b = jax.random.uniform(jax.random.key(1), (2, 1, 32, 32, 3))
    loss = jax.jit(losses.perceptual, static_argnames=("layers", "scales"))
    parts = [loss(small_network, a, b, layers=(n,), scales=(s,)) for n in (1, 2) for s in (1, 2)]
    whole = loss(small_network, a, b, layers=(1, 2), scales=(1, 2))
    assert float(whole) == pytest.approx(float(sum(parts)), rel=1e-5)


def test_l1_pyramid_of_a_constant_shift_counts_every_scale():
    image = jax.random.uniform(jax.random.key(0), (1, 64, 64, 3))
    # The blur's zero padding darkens borders, so smaller scales count a little less.
    found = float(losses.l1_pyramid(image + 0.1, image, scales=(1, 2)))
    assert 0.19 < found < 0.2
    assert float(losses.l1_pyramid(image, image)) == 0


def test_gan_losses_push_real_and_fake_apart():
    real, fake = jnp.full((2, 3, 3, 1), 0.4), jnp.full((2, 3, 3, 1), 0.6)
    up, down = jax.grad(losses.gan_discriminator, argnums=(0, 1))(real, fake)
    assert float(up.max()) < 0 < float(down.min())
    assert float(jax.grad(losses.gan_generator)(fake).max()) < 0
    assert float(losses.gan_discriminator(jnp.ones(4), jnp.zeros(4))) == 0


def test_feature_matching_teaches_only_the_fake():
    real, fake = [jnp.ones((1, 2, 2, 3))], [jnp.zeros((1, 2, 2, 3))]
    to_real, to_fake = jax.grad(losses.feature_matching, argnums=(0, 1))(real, fake)
    assert float(jnp.abs(to_real[0]).max()) == 0 and float(to_fake[0].max()) < 0
    assert float(losses.feature_matching(real, fake, weight=10.0)) == 10


def test_equivariance_losses_vanish_when_motion_follows_the_warp():
    warp = random_warps.random_warp(jax.random.key(0), 2)
    in_warped = jax.random.uniform(jax.random.key(1), (2, 10, 2), minval=-0.9, maxval=0.9)
    jacobians = jnp.eye(2)[None, None] + 0.1 * jax.random.normal(jax.random.key(2), (2, 10, 2, 2))
    in_original = random_warps.warp_points(warp, in_warped)
    grads = random_warps.warp_jacobian(warp, in_warped)
    assert float(losses.keypoint_equivariance(in_original, in_original)) == 0
    assert float(losses.jacobian_equivariance(grads @ jacobians, grads, jacobians)) < 1e-5
    assert float(losses.jacobian_equivariance(jacobians, grads, jacobians)) > 1e-3


@pytest.mark.parametrize("value", [0.0, 1.0, 1.0000001])
def test_sync_loss_is_finite_and_has_a_gradient_at_the_ends(value):
    for label in (0.0, 1.0):
        loss = lambda c: losses.sync(c, jnp.full(1, label))  # noqa: B023
        found, gradient = jax.value_and_grad(loss)(jnp.full(1, value))
        assert np.isfinite(found) and np.isfinite(gradient).all()
    assert float(jax.grad(losses.sync)(jnp.zeros(1))[0]) < 0


def test_sync_loss_is_the_cross_entropy_of_the_cosine():
    cosine, label = jnp.asarray([0.2, 0.7]), jnp.asarray([0.0, 1.0])
    assert float(losses.sync(cosine, label)) == pytest.approx(-(np.log(0.8) + np.log(0.7)) / 2, rel=1e-3)
    assert float(losses.sync(jnp.full(3, 0.5))) == pytest.approx(np.log(2), rel=1e-3)


def test_motion_l1_measures_both_parts():
    one = motion.Motion(jnp.zeros((2, 10, 2)), jnp.zeros((2, 10, 2, 2)))
    two = motion.Motion(jnp.full((2, 10, 2), 0.5), jnp.full((2, 10, 2, 2), 0.25))
    found = losses.motion_l1(one, two)
    assert float(found.keypoints) == 0.5 and float(found.jacobians) == 0.25


def test_pose_l1_counts_the_first_pose_twice():
    target = jnp.zeros((1, 4, 6))
    first = target.at[:, 0].set(1.0)
    assert float(losses.pose_l1(first, target)) == pytest.approx(0.25 + 1)
    assert float(losses.pose_l1(target.at[:, 2].set(1.0), target)) == pytest.approx(0.25)
