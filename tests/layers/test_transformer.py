"""The transformer's own properties; its numbers are held by test_avct's reference arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.layers import transformer
from tests import quick


@pytest.fixture(scope="module")
def small():
    model = transformer.Transformer(2, 16, 1, 2, dropout=0.5)
    source, target = jax.random.normal(jax.random.key(0), (2, 3, 5, 8))
    variables = quick.jit(model.init)(jax.random.key(1), source, target)
    apply = quick.jit(model.apply, static_argnames=("row", "train"))
    return apply, variables, source, target


def test_transformer_row_is_that_row_of_the_whole(small):
    apply, variables, source, target = small
    whole = apply(variables, source, target)
    row = apply(variables, source, target, row=2)
    np.testing.assert_allclose(row[:, 0], whole[:, 2], atol=1e-5)


def test_transformer_ignores_the_order_of_its_source(small):
    apply, variables, source, target = small
    ahead = apply(variables, source, target)
    np.testing.assert_allclose(apply(variables, source[:, ::-1], target), ahead, atol=1e-5)
    assert np.abs(apply(variables, source * 2, target) - ahead).max() > 1e-3


def test_transformer_drops_out_in_training_alone(small):
    apply, variables, source, target = small
    draw = [apply(variables, source, target, train=True, rngs={"dropout": jax.random.key(i)}) for i in (0, 1)]
    assert np.abs(draw[0] - draw[1]).max() > 1e-3


def test_attention_of_equal_keys_is_the_mean_of_the_values():
    model = transformer.Attention(2, 0.0)
    query, values = jax.random.normal(jax.random.key(0), (2, 1, 4, 8))
    params = model.init(jax.random.key(1), query, values)["params"]
    weight = params["in_proj_weight"].at[8:16].set(0.0).at[16:].set(jnp.eye(8))
    out = {"kernel": jnp.eye(8), "bias": jnp.zeros(8)}
    result = model.apply({"params": {**params, "in_proj_weight": weight, "out_proj": out}}, query, values)
    np.testing.assert_allclose(
        result, jnp.broadcast_to(values.mean(1, keepdims=True), result.shape), atol=1e-5
    )


def test_sinusoids_begin_with_sine_and_cosine_of_the_position():
    codes = transformer.sinusoids(20, 512)
    np.testing.assert_allclose(codes[3, :2], [np.sin(3), np.cos(3)], rtol=1e-6)
    assert np.abs(codes[:, -1] - 1).max() < 1e-5  # the longest wave hardly moves
