"""Sums over pixels, their transpose, the norms and means that are made of them: as computed plainly."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.layers import norm, pixel_sums
from avct_jax.layers.convolution import pooling
from avct_jax.train.core import sharding


def draw(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (7, 3), (1, 1, 1, 2)], ids=str)
@pytest.mark.parametrize("kept", [0, 1])
def test_total_is_the_sum_over_pixels(shape, kept):
    x = draw(shape)
    found = pixel_sums.total(x, kept)
    np.testing.assert_allclose(found, x.sum(tuple(range(kept, x.ndim - 1))), atol=1e-5)


def test_total_of_halves_is_taken_in_float32():
    x = jnp.full((1, 64, 64, 2), 0.1, jnp.bfloat16)
    found = pixel_sums.total(x)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, 4096 * np.float32(x[0, 0, 0, 0]), rtol=1e-5)


@pytest.mark.parametrize("kept", [0, 1])
def test_spread_has_values_slopes_and_gradients_of_broadcasting(kept):
    shape = (2, 3, 4, 5)
    values, x = draw((*shape[:kept], 5)), draw(shape, 1)
    plain = lambda v: jnp.broadcast_to(v.reshape(*shape[:kept], *[1] * (3 - kept), 5), shape)
    ours = lambda v: pixel_sums.spread(v, shape)
    np.testing.assert_array_equal(ours(values), plain(values))
    loss = lambda f: lambda v: jnp.sin(f(v) * x).sum()
    for derive in (jax.grad, jax.jacfwd, lambda f: jax.hessian(f)):
        np.testing.assert_allclose(derive(loss(ours))(values), derive(loss(plain))(values), atol=1e-5)
    many = draw((3, *values.shape), 2)
    np.testing.assert_array_equal(jax.vmap(ours)(many), jax.vmap(plain)(many))
    np.testing.assert_allclose(
        jax.vmap(jax.grad(loss(ours)))(many), jax.vmap(jax.grad(loss(plain)))(many), atol=1e-5
    )


def test_gradient_of_values_is_a_product_on_cpus():
    """XLA's own sum computes what led to its addends anew for each channel."""
    x = draw((4, 8, 8, 6))
    slope = jax.jit(jax.grad(lambda v: jnp.sin(x + pixel_sums.spread(v, x.shape)).sum()))
    assert "dot(" in slope.lower(draw((6,))).compile().as_text()


def test_sums_over_a_sharded_batch_are_those_of_the_whole():
    mesh = sharding.make_mesh()
    x = draw((8, 4, 4, 3))
    placed = jax.device_put(x, sharding.sliced(mesh))
    assert len(placed.sharding.device_set) == 8
    np.testing.assert_allclose(jax.jit(pixel_sums.total)(placed), x.sum((0, 1, 2)), atol=1e-5)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_instance_norm_is_that_of_each_images_pixels(offset):
    x = draw((3, 5, 4, 6)) + offset
    params = {"scale": draw((6,), 1), "bias": draw((6,), 2)}
    found = norm.InstanceNorm().apply({"params": params}, x)
    wide = np.asarray(x, np.float64)
    m, v = wide.mean((1, 2), keepdims=True), wide.var((1, 2), keepdims=True)
    expected = (wide - m) / np.sqrt(v + 1e-5) * np.asarray(params["scale"]) + np.asarray(params["bias"])
    np.testing.assert_allclose(found, expected, atol=2e-5 if not offset else 2e-3)


def test_instance_norm_has_the_gradients_of_flax():
    x, params = draw((2, 5, 4, 3)), {"scale": draw((3,), 1), "bias": draw((3,), 2)}
    theirs = nn.InstanceNorm(epsilon=1e-5, use_fast_variance=False)
    loss = lambda layer: lambda params, x: jnp.sin(layer.apply({"params": params}, x)).sum()
    found, expected = (jax.grad(loss(f), (0, 1))(params, x) for f in (norm.InstanceNorm(), theirs))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)


@pytest.mark.parametrize("shape", [(2, 4, 6, 3), (1, 5, 7, 2)], ids=str)
def test_halved_images_and_their_gradients_are_a_windows(shape):
    x = draw(shape)
    window = lambda x: nn.avg_pool(x, (2, 2), (2, 2))
    np.testing.assert_allclose(pooling.halve(x), window(x), atol=1e-6)
    loss = lambda f: lambda x: jnp.sin(f(x)).sum()
    np.testing.assert_allclose(jax.grad(loss(pooling.halve))(x), jax.grad(loss(window))(x), atol=1e-6)
