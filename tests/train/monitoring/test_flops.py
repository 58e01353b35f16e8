"""Operations are counted as XLA counts them, and in loops as often as they run."""

import types

import jax
import jax.numpy as jnp
import pytest

from avct_jax.layers.convolution import cpu_conv
from avct_jax.train.core import sharding
from avct_jax.train.monitoring import flops

IMAGE = jax.ShapeDtypeStruct((2, 16, 16, 8), jnp.float32)
KERNEL = jax.ShapeDtypeStruct((3, 3, 8, 32), jnp.float32)
PLACES = 2 * 16 * 16


def convolve(x, kernel, stride=1):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), [(1, 1), (1, 1)], dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def of(function, *shapes):
    return flops.of_call(jax.jit(function), *shapes)


def test_products_and_convolutions_are_two_operations_a_multiplication():
    a, b = (jax.ShapeDtypeStruct(s, jnp.float32) for s in ((5, 7, 11), (5, 11, 13)))
    assert of(jnp.matmul, a, b) == 2 * 5 * 7 * 11 * 13
    assert of(convolve, IMAGE, KERNEL) == 2 * PLACES * 9 * 8 * 32
    assert of(lambda x, k: cpu_conv.convolve(x, k, (1, 1)), IMAGE, KERNEL) == 2 * PLACES * 9 * 8 * 32


def test_gradients_cost_as_much_again_for_each_side():
    loss = lambda x, kernel: (convolve(x, kernel) ** 2).sum()
    assert of(jax.grad(loss, (0, 1)), IMAGE, KERNEL) == 3 * of(convolve, IMAGE, KERNEL)
    strided = lambda x, kernel: (convolve(x, kernel, 2) ** 2).sum()
    assert of(jax.grad(strided, (0, 1)), IMAGE, KERNEL) == 3 * of(convolve, IMAGE, KERNEL) / 4


def test_count_is_xlas_but_for_edges_and_sums():
    loss = lambda x, kernel: (convolve(jnp.tanh(convolve(x, kernel)[..., :8]), kernel) ** 2).sum()
    step = jax.jit(jax.grad(loss, (0, 1)))
    theirs = step.lower(IMAGE, KERNEL).cost_analysis()
    assert theirs and flops.of_call(step, IMAGE, KERNEL) == pytest.approx(theirs["flops"], rel=0.15)


def test_loops_count_as_often_as_they_run_and_branches_by_the_largest():
    a = jax.ShapeDtypeStruct((8, 8), jnp.float32)
    many = lambda a: jax.lax.scan(lambda x, _: (x @ a, None), a, None, length=10)[0]
    assert of(many, a) == 10 * 2 * 8**3
    either = lambda a: jax.lax.cond(a[0, 0] > 0, lambda x: x @ x @ x, lambda x: x @ x, a)
    assert of(either, a) == 2 * 2 * 8**3
    assert of(jax.checkpoint(lambda a: a @ a), a) == 2 * 8**3


def test_share_is_of_the_peak_of_all_devices():
    used = flops.Utilisation(sharding.make_mesh(4), "float32", peak_tflops=2.0)
    product = jax.ShapeDtypeStruct((1000, 1000), jnp.float32)
    assert used.row(1.0) == {}
    used.learn(jax.jit(jnp.matmul), product, product)
    assert used.row(1e-3)["mfu"] == pytest.approx(2e9 / 1e-3 / 8e12)


def test_nothing_is_told_where_the_peak_is_not_known():
    used = flops.Utilisation(sharding.make_mesh(4), "float32")
    used.learn(None)
    assert used.row(1.0) == {}


@pytest.mark.parametrize(
    "kind, dtype, tflops",
    [
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989),
        ("NVIDIA H100 80GB HBM3", "float32", 494),
        ("NVIDIA A100-SXM4-80GB", "float32", 156),
        ("TPU v5 lite", "bfloat16", 197),
        ("cpu", "float32", 0),
    ],
)
def test_peak_of_a_kind_of_device(kind, dtype, tflops):
    assert flops.peak(types.SimpleNamespace(device_kind=kind), dtype) == tflops * 1e12
