"""The kernel's gradient on CPUs against XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.layers.convolution import conv, cpu_conv
from tests import quick

# batch, height, width, channels in and out, kernel, padding
CASES = {
    "channels not in fours": (2, 12, 12, 7, 6, (3, 3), (1, 0)),
    "fewer pixels than channels": (2, 3, 4, 32, 12, (3, 3), (1, 1)),
    "few to many": (2, 12, 10, 3, 8, (3, 3), (1, 1)),
    "many to few": (2, 12, 10, 8, 3, (7, 7), (3, 3)),
    "no padding, odd": (1, 13, 9, 5, 6, (4, 4), (0, 0)),
    "not square": (2, 9, 9, 6, 4, (5, 3), (1, 1)),
    "not square, few to many": (2, 9, 9, 4, 6, (5, 3), (1, 1)),
    "several strips": (2, 64, 48, 4, 4, (3, 3), (1, 1)),
}


def draw(case):
    b, h, w, c, d, size, padding = CASES[case]
    random = np.random.default_rng(0)
    x = random.standard_normal((b, h, w, c), np.float32)
    kernel = random.standard_normal((*size, c, d), np.float32) / np.sqrt(size[0] * size[1] * c)
    return jnp.asarray(x), jnp.asarray(kernel), padding


def loss(convolve):
    return lambda x, kernel, padding: jnp.sin(convolve(x, kernel, padding)).sum()


def gradients(convolve):
    return quick.jit(jax.grad(loss(convolve), (0, 1)), static_argnums=2)


def xla(x, kernel, padding):
    pads = [(p, p) for p in padding]
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=conv.DIMENSIONS)


def assert_equal(found, expected, tolerance=3e-6):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert jnp.abs(a - b).max() < tolerance * jnp.abs(b).max()


@pytest.mark.parametrize("case", CASES)
def test_conv_gradient_is_xlas(case):
    x, kernel, padding = draw(case)
    found, expected = (gradients(f)(x, kernel, padding) for f in (cpu_conv.convolve, xla))
    assert_equal(found, expected)


@pytest.mark.parametrize(
    "case", ["not square", "not square, few to many", "no padding, odd", "several strips"]
)
def test_conv_gradient_is_the_same_by_strips(case, monkeypatch):
    x, kernel, padding = draw(case)
    monkeypatch.setattr(cpu_conv, "STRIP", 2 * len(x) * x.shape[2] * kernel.shape[1] * sum(kernel.shape[2:]))
    found, expected = (gradients(f)(x, kernel, padding) for f in (cpu_conv.convolve, xla))
    assert_equal(found, expected)


def test_conv_on_cpu_has_no_convolution_in_its_kernels_gradient():
    x, kernel, _ = draw("several strips")
    gradient = jax.jit(jax.grad(lambda k: jnp.sin(conv.convolve(x, k, padding=(1, 1))).sum()))
    text = gradient.lower(kernel).as_text()
    assert text.count("stablehlo.convolution") == 1  # the forward pass


def test_conv_gradient_on_other_platforms_is_xlas_own():
    x, kernel, _ = draw("few to many")
    gradient = jax.jit(jax.grad(lambda k: jnp.sin(conv.convolve(x, k, padding=(1, 1))).sum()))
    text = gradient.trace(kernel).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("stablehlo.convolution") == 2 and "dot_general" not in text


@pytest.mark.parametrize("transform", ["forward", "hessian", "vmap", "vmap kernels", "checkpoint"])
def test_conv_gradient_passes_through(transform):
    x, kernel, padding = draw("several strips")

    def of(convolve):
        f = lambda x, kernel: loss(convolve)(x, kernel, padding)
        reverse = jax.grad(f, (0, 1))
        two = lambda a: jnp.stack([a, a * 0.5])
        return {
            "forward": lambda: jax.jvp(f, (x, kernel), (x, kernel)),
            "hessian": lambda: jax.jvp(reverse, (x, kernel), (x, kernel)),
            "vmap": lambda: jax.vmap(reverse, (0, None))(two(x), kernel),
            "vmap kernels": lambda: jax.vmap(reverse)(two(x), two(kernel)),
            "checkpoint": lambda: jax.jit(jax.grad(jax.checkpoint(f), (0, 1)))(x, kernel),
        }[transform]()

    assert_equal(of(cpu_conv.convolve), of(xla))


def test_conv_gradient_of_a_sharded_batch_is_that_of_one_device():
    x, kernel, padding = draw("several strips")
    x = jnp.concatenate([x * scale for scale in (1.0, -0.5, 0.3, 2.0)])
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    by_batch = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    gradient = jax.jit(jax.grad(loss(cpu_conv.convolve), (0, 1)), static_argnums=2)
    found = gradient(jax.device_put(x, by_batch), kernel, padding)
    assert found[0].sharding.is_equivalent_to(by_batch, 4)
    assert_equal(found, gradient(x, kernel, padding))


def test_conv_gradient_in_bfloat16_is_summed_in_float32():
    x, kernel, padding = draw("several strips")
    half = jax.tree.map(lambda a: a.astype(jnp.bfloat16), (x, kernel))
    ones = lambda x, kernel: cpu_conv.convolve(x, kernel, padding).astype(jnp.float32).sum()
    found, expected = jax.grad(ones, 1)(*half), jax.grad(ones, 1)(*jax.tree.map(jnp.float32, half))
    assert found.dtype == jnp.bfloat16
    assert_equal(found.astype(jnp.float32), expected, tolerance=0.005)


def test_conv_with_strides_keeps_xlas_gradient():
    x, kernel, _ = draw("few to many")
    assert not cpu_conv.covers((3, 3), (2, 2), (1, 1))
    found = jax.grad(lambda k: conv.convolve(x, k, (2, 2), (1, 1)).sum())(kernel)
    assert found.shape == kernel.shape and jnp.isfinite(found).all()
