"""Convolution blocks: what is computed in a cheaper way equals the plain way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.layers import activation, blocks, norm
from avct_jax.layers.convolution import conv, cpu_conv

# batch, height, width, channels in and out
DOUBLED = {
    "square": (2, 6, 6, 5, 4),
    "not square": (1, 5, 8, 3, 7),
    "fewer pixels than channels": (1, 2, 3, 9, 8),
}


def draw(shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape, np.float32))


def plain(x, kernel):
    doubled = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
    pads = [(1, 1), (1, 1)]
    return jax.lax.conv_general_dilated(doubled, kernel, (1, 1), pads, dimension_numbers=conv.DIMENSIONS)


@pytest.mark.parametrize("case", DOUBLED)
def test_doubled_convolution_and_its_gradients_are_those_of_the_doubled_image(case):
    b, h, w, c, d = DOUBLED[case]
    x, kernel = draw((b, h, w, c)), draw((3, 3, c, d), 1)
    loss = lambda f: lambda x, k: jnp.sin(f(x, k)).sum()
    np.testing.assert_allclose(conv.convolve_doubled(x, kernel), plain(x, kernel), atol=2e-5)
    found, expected = (jax.grad(loss(f), (0, 1))(x, kernel) for f in (conv.convolve_doubled, plain))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_doubled_convolution_has_four_ninths_of_the_products():
    x, kernel = draw((2, 32, 32, 8)), draw((3, 3, 8, 8), 1)
    flops = [
        jax.jit(f).lower(x, kernel).compile().cost_analysis()["flops"] for f in (conv.convolve_doubled, plain)
    ]
    assert flops[0] < 0.55 * flops[1]


def test_doubled_convolution_can_be_mapped_over_kernels():
    x, kernels = draw((1, 4, 4, 3)), draw((5, 3, 3, 3, 2), 1)
    found = jax.vmap(conv.convolve_doubled, (None, 0))(x, kernels)
    expected = jnp.stack([plain(x, k) for k in kernels])
    np.testing.assert_allclose(found, expected, atol=2e-5)


JOINED = (draw((2, 6, 5, 4)), draw((2, 6, 5, 3), 1), draw((2, 6, 5, 2), 2))


def joined_plainly(a, b, c, kernel):
    x = jnp.concatenate([a, b, c], -1)
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), [(1, 1)] * 2, dimension_numbers=conv.DIMENSIONS)


def joined(a, b, c, kernel):
    return conv.convolve_joined([a, b, c], kernel, (1, 1))


@pytest.mark.parametrize("asked", [(3,), (1,), (0, 2), (0, 1, 2, 3)], ids=str)
def test_joined_convolution_and_the_gradients_asked_for_are_those_of_the_joined_image(asked):
    given = (*JOINED, draw((3, 3, 9, 4), 3))
    loss = lambda f: lambda *given: jnp.sin(f(*given)).sum()
    np.testing.assert_allclose(joined(*given), joined_plainly(*given), atol=2e-5)
    found, expected = (jax.grad(loss(f), asked)(*given) for f in (joined, joined_plainly))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_joined_convolution_has_second_derivatives_and_can_be_mapped_over_kernels():
    kernels = draw((3, 3, 3, 9, 2), 3)
    found, expected = (jax.vmap(lambda k, f=f: f(*JOINED, k))(kernels) for f in (joined, joined_plainly))
    np.testing.assert_allclose(found, expected, atol=2e-5)
    slope = lambda f: lambda a: jax.grad(lambda a: jnp.sin(f(a, *JOINED[1:], kernels[0])).sum())(a)
    turned = [jax.jvp(slope(f), JOINED[:1], (jnp.ones_like(JOINED[0]),))[1] for f in (joined, joined_plainly)]
    np.testing.assert_allclose(*turned, atol=1e-4)


def test_joined_convolution_works_on_no_channels_whose_gradient_is_not_asked_for():
    given = (*JOINED, draw((3, 3, 9, 4), 3))
    of_two = jax.make_jaxpr(jax.grad(lambda c: joined(*given[:2], c, given[3]).sum()))(given[2])
    widths = [e.outvars[0].aval.shape[-1] for e in of_two.eqns if e.primitive is cpu_conv.convolution_p]
    assert 2 in widths and 9 not in widths


@pytest.mark.parametrize("train", [True, False])
def test_shift_told_to_the_normalisation_is_a_bias_added_before_it(train):
    x, bias = draw((4, 3, 3, 6)), draw((6,), 1)
    layer = norm.BatchNorm()
    variables = layer.init(jax.random.key(0), x)
    stats = {"mean": draw((6,), 2), "var": draw((6,), 3) ** 2 + 1}
    variables = {**variables, "batch_stats": stats}

    def told(bias):
        return layer.apply(variables, x, train=train, shift=bias, mutable=["batch_stats"])

    def added(bias):
        return layer.apply(variables, x + bias.reshape(1, 1, 1, -1), train=train, mutable=["batch_stats"])

    for a, b in zip(jax.tree.leaves(told(bias)), jax.tree.leaves(added(bias)), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)
    gradients = [jax.grad(lambda bias, f=f: jnp.sin(f(bias)[0]).sum())(bias) for f in (told, added)]
    np.testing.assert_allclose(*gradients, atol=1e-5)
    if train:
        assert (gradients[0] == 0).all()


def test_deferred_bias_is_left_out_and_handed_over():
    x = draw((1, 4, 4, 3))
    make = lambda **options: conv.Conv(2, padding=1, bias_init=jax.nn.initializers.ones, **options)
    variables = make().init(jax.random.key(0), x)
    y, bias = make(defer_bias=True).apply(variables, x)
    np.testing.assert_array_equal(y + bias.reshape(1, 1, 1, -1), make().apply(variables, x))


@pytest.mark.parametrize(("block", "side"), [("SameBlock", 8), ("DownBlock", 4), ("UpBlock", 16)])
def test_block_makes_images_of_its_resolution(block, side):
    x = draw((1, 8, 8, 3))
    result, _ = getattr(blocks, block)(5).init_with_output(jax.random.key(0), x)
    assert result.shape == (1, side, side, 5) and (result >= 0).all() and result.max() > 0


def test_relu_is_jaxs():
    x = jnp.array([-2.0, -0.0, 0.0, 3.0, jnp.inf, -jnp.inf, jnp.nan])
    np.testing.assert_array_equal(activation.relu(x), jax.nn.relu(x))
    for order in (jax.grad, lambda f: jax.grad(jax.grad(f))):
        found, expected = (
            jax.vmap(order(lambda v, f=f: f(v) ** 2))(x[:4]) for f in (activation.relu, jax.nn.relu)
        )
        np.testing.assert_array_equal(found, expected)
    assert activation.relu(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_doubled_convolution_refuses_other_kernels():
    with pytest.raises(ValueError, match="3x3 kernels"):
        conv.Conv(2, (5, 5), padding=2, doubled=True).init(jax.random.key(0), draw((1, 4, 4, 3)))
