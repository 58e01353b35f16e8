"""What is computed in more bits: bfloat16 in float32, and all of a network in 64 bits where it has them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.layers import blocks, conv_encoder, norm, precision, transformer

IMAGE = (3, 8, 8, 4)  # b, h, w, c


LAYERS = {
    "block": (blocks.SameBlock(4), IMAGE, {"train": True}),
    "batch norm": (norm.BatchNorm(), IMAGE, {"train": True}),
    "batch norm with a shift": (norm.BatchNorm(), IMAGE, {"train": True, "shift": jnp.ones(4)}),
    "instance norm": (norm.InstanceNorm(), IMAGE, {}),
    "tower": (conv_encoder.DownResBlock(4), IMAGE, {"train": True}),
    "attention": (transformer.Attention(2, 0.0), (3, 5, 4), {}),
}


@pytest.mark.parametrize(("given", "found"), [("bfloat16", "float32"), ("float32",) * 2, ("float64",) * 2])
def test_at_least_32_bits(given, found):
    with jax.enable_x64(True):
        wide = precision.widen(jnp.ones(3, given))
    assert wide.dtype == found


@pytest.mark.parametrize("name", LAYERS)
def test_layers_in_64_bits_sum_the_batch_in_any_order(name):
    """Where one number is rounded to 32 bits, both gradients differ by 1e-7 of the largest."""
    layer, shape, given = LAYERS[name]
    see = lambda images: (images, images) if name == "attention" else (images,)
    x = np.random.default_rng(0).standard_normal(shape)
    variables = layer.init(jax.random.key(0), *see(jnp.asarray(x, jnp.float32)), **given)
    variables = jax.tree.map(lambda x: np.asarray(x, np.float64), variables)

    def loss(params, images):
        state = {**variables, "params": params}
        return jnp.sin(3 * layer.apply(state, *see(images), **given, mutable=["batch_stats"])[0]).sum()

    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(loss))
        one, other = (gradient(variables["params"], x[order]) for order in ([0, 1, 2], [2, 0, 1]))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, atol=1e-12 * max(1.0, float(np.abs(b).max())))
