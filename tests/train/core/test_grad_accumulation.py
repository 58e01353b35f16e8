"""Gradients in parts are those of the whole; computed twice they are the same and need less memory."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.layers import blocks, norm
from avct_jax.layers.convolution import cpu_conv
from avct_jax.models import renderer
from avct_jax.train.core import grad_accumulation

BATCH = {"x": np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32), "y": np.arange(8.0)}


def toy(stats, batch, key):
    """A line's squared error; it counts how often it is called, and with which key."""

    def loss(w):
        return jnp.square(batch["x"] @ w - batch["y"]).mean()

    value, gradient = jax.value_and_grad(loss)(jnp.ones(3))
    return {"w": gradient}, stats + 1, {"loss": value, "drawn": jax.random.uniform(key)}


@pytest.mark.parametrize("microbatches", [2, 4, 8])
def test_accumulate_gives_the_gradients_of_the_whole_batch(microbatches):
    def find(parts):
        return jax.jit(
            lambda: grad_accumulation.accumulate(toy, 0, BATCH, jax.random.key(0), microbatches=parts)
        )()

    whole, parts = find(1), find(microbatches)
    np.testing.assert_allclose(parts[0]["w"], whole[0]["w"], rtol=1e-5)
    np.testing.assert_allclose(parts[2]["loss"], whole[2]["loss"], rtol=1e-5)
    assert whole[1] == 1 and parts[1] == microbatches  # statistics pass from part to part


@pytest.mark.parametrize("microbatches", [2, 4])
def test_embeddings_of_parts_are_compared_with_those_of_the_whole_batch(microbatches):
    """Each example must be told from all others: a loss that no part of the batch can know."""

    def embed(params, stats, part):
        return jnp.tanh(part["x"] @ params), stats + 1

    def loss(embedded):
        told = jnp.diagonal(jax.nn.log_softmax(5 * embedded @ embedded.T))
        return -(told * jnp.arange(8)).mean(), {"told": told}

    def find(parts):
        ask = lambda: grad_accumulation.accumulate_embeddings(
            embed, loss, jnp.eye(3) + 0.1, 0, {"x": BATCH["x"]}, microbatches=parts
        )
        return jax.jit(ask)()

    whole, parts = find(1), find(microbatches)
    np.testing.assert_allclose(parts[0], whole[0], atol=1e-5)
    np.testing.assert_allclose(parts[2]["told"], whole[2]["told"], atol=1e-5)
    assert np.abs(whole[0]).max() > 0.1 and parts[1] == microbatches


def test_accumulate_gives_every_part_a_key_of_its_own():
    mean = grad_accumulation.accumulate(toy, 0, BATCH, jax.random.key(0), microbatches=2)[2]["drawn"]
    drawn = [jax.random.uniform(k) for k in jax.random.split(jax.random.key(0), 2)]
    assert float(mean) == pytest.approx(float(np.mean(drawn))) and drawn[0] != drawn[1]


def test_accumulate_refuses_a_batch_that_does_not_divide():
    with pytest.raises(ValueError, match="batch size 8 must be a multiple of microbatches 3"):
        grad_accumulation.accumulate(toy, 0, BATCH, jax.random.key(0), microbatches=3)


def test_accumulate_keeps_every_part_on_all_devices():
    """Eight examples on four devices, in two parts: no example has to move."""
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:4])
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    batch = jax.device_put(BATCH, rows)
    find = jax.jit(
        lambda b: grad_accumulation.accumulate(toy, 0, b, jax.random.key(0), microbatches=2)[0]["w"]
    )
    text = find.lower(batch).compile().as_text()
    assert "all-reduce" in text and not any(word in text for word in ("all-to-all", "all-gather", "permute("))
    whole, _, _ = toy(0, BATCH, jax.random.key(0))
    np.testing.assert_allclose(find(batch), whole["w"], rtol=1e-5)


@pytest.fixture(scope="module")
def tower():
    """Six residual blocks with batch statistics: (loss of params, params)."""
    network = renderer.Bottleneck(6)
    x = jax.random.normal(jax.random.key(0), (2, 32, 32, 16))
    variables = jax.jit(network.init)(jax.random.key(1), x)

    def loss(params, remat):
        with grad_accumulation.rematerialised((blocks.ResBlock,), enabled=remat):
            own = {**variables, "params": params}
            y, updated = network.apply(own, x, train=True, mutable=["batch_stats"])
        return jnp.square(y).mean(), updated

    return loss, variables["params"]


def test_rematerialised_gives_the_same_gradients_in_less_memory(tower):
    loss, params = tower
    found, memory = {}, {}
    for remat in (False, True):
        step = jax.jit(jax.value_and_grad(lambda p, r=remat: loss(p, r), has_aux=True))
        options = grad_accumulation.ComputeConfig(remat=remat).compiler_options("cpu")
        program = step.lower(params).compile(compiler_options=options)
        found[remat], memory[remat] = program(params), program.memory_analysis().temp_size_in_bytes
    chex.assert_trees_all_close(found[False], found[True], atol=1e-5)
    assert memory[True] < 0.5 * memory[False]


def test_rematerialised_leaves_other_modules_and_later_calls_alone(tower):
    loss, params = tower

    def kept(remat):
        """How many arrays wait for the backward pass."""
        backward = jax.eval_shape(lambda p: jax.vjp(lambda q: loss(q, remat)[0], p)[1], params)
        return len(jax.tree.leaves(backward))

    plain = kept(False)
    assert kept(True) < plain and kept(False) == plain
    with grad_accumulation.rematerialised((norm.BatchNorm,)):
        y, _ = nn.Dense(2).init_with_output(jax.random.key(0), jnp.ones((1, 2)))
    assert y.shape == (1, 2)


def test_compute_config_names_the_dtype_of_activations():
    assert grad_accumulation.ComputeConfig().activations is None
    assert grad_accumulation.ComputeConfig(dtype="bfloat16").activations == jnp.bfloat16
    assert grad_accumulation.ComputeConfig(remat=True).compiler_options("gpu") == {}


def test_a_cpu_s_convolutions_are_those_that_take_all_cores():
    convolve = jax.jit(lambda x, kernel: cpu_conv.convolve(x, kernel, (1, 1)))
    lowered = convolve.lower(jnp.ones((4, 32, 48, 40)), jnp.ones((3, 3, 40, 40)))
    assert not grad_accumulation.ComputeConfig().compiler_options("cpu")
    options = grad_accumulation.ComputeConfig().compiler_options("cpu", images=True)
    if not options:
        pytest.skip("needs a version of XLA that may leave convolutions to YNNPACK")
    if "ynn" not in lowered.compile().as_text():
        pytest.skip("needs a version of XLA that leaves convolutions to YNNPACK")
    assert "ynn" not in lowered.compile(compiler_options=options).as_text()


def test_options_that_xla_does_not_know_are_left_out(monkeypatch):
    monkeypatch.setattr(grad_accumulation, "LIBRARY", "xla_cpu_no_such_option")
    assert grad_accumulation.ComputeConfig().compiler_options("cpu", images=True) == {}
