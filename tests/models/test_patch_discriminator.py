"""Patch discriminator: the reference's numbers, spectral norm, and frames as channels."""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from avct_jax.convert import parity
from avct_jax.layers.convolution import spectral_norm
from avct_jax.models import patch_discriminator

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
TINY = patch_discriminator.PatchDiscriminatorConfig(block_expansion=4, num_blocks=2, max_features=16)


def test_patch_discriminator_matches_the_reference():
    golden = np.load(GOLDENS / "training.npz")
    shapes = json.loads((GOLDENS / "training_state_shapes.json").read_text())["discriminator"]
    variables = parity.stand_in_variables("discriminator", shapes, parity.TRAINING_SEED)
    frames = jnp.asarray(golden["frames"], jnp.float32) / 255
    prediction, features = jax.jit(patch_discriminator.PatchDiscriminator().apply)(variables, frames)
    found = {"prediction": prediction.transpose(0, 3, 1, 2)}
    found |= {f"feature_mean_{i}": f.mean((1, 2)) for i, f in enumerate(features)}
    for name, value in found.items():
        expected = golden[f"discriminator/{name}"]
        assert np.abs(value - expected).max() < 1e-4 * np.abs(expected).max(), name


def test_patch_discriminator_takes_a_sequence_stacked_in_channels():
    clip = jax.ShapeDtypeStruct((2, 24, 256, 256, 3), jnp.float32)
    network = patch_discriminator.PatchDiscriminator()
    stacked = jax.eval_shape(patch_discriminator.stack_frames, clip)
    (prediction, features), _ = jax.eval_shape(network.init_with_output, jax.random.key(0), stacked)
    assert stacked.shape == (2, 256, 256, 72) and prediction.shape == (2, 26, 26, 1)
    assert [f.shape[-1] for f in features] == [64, 128, 256, 512]


def test_patch_discriminator_without_spectral_norm_has_plain_kernels():
    network = patch_discriminator.PatchDiscriminator(dataclasses.replace(TINY, spectral=False))
    variables = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 24, 24, 3)))
    assert set(variables) == {"params"}
    assert variables["params"]["discs_1"]["conv"]["kernel"].shape == (1, 1, 16, 1)


def test_stack_frames_puts_the_first_frames_colours_first():
    clip = jnp.arange(2 * 3 * 3.0).reshape(1, 2, 1, 3, 3)
    stacked = patch_discriminator.stack_frames(clip)
    np.testing.assert_array_equal(stacked[0, 0, 1], [*clip[0, 0, 0, 1], *clip[0, 1, 0, 1]])


def test_patch_discriminator_learns_to_tell_two_textures_apart():
    network = patch_discriminator.PatchDiscriminator(TINY)
    noise = jax.random.uniform(jax.random.key(0), (2, 24, 24, 3))
    smooth = jnp.broadcast_to(noise.mean((1, 2), keepdims=True), noise.shape)
    variables = jax.jit(network.init)(jax.random.key(1), noise)

    def loss(params, stats):
        real, _ = network.apply({"params": params, **stats}, noise)
        fake, _ = network.apply({"params": params, **stats}, smooth)
        return jnp.square(1 - real).mean() + jnp.square(fake).mean()

    params, stats = variables["params"], {k: v for k, v in variables.items() if k != "params"}
    step = jax.jit(lambda p: jax.tree.map(lambda a, g: a - 0.05 * g, p, jax.grad(loss)(p, stats)))
    before = jax.jit(loss)(params, stats)
    for _ in range(20):
        params = step(params)
    assert jax.jit(loss)(params, stats) < 0.5 * before


def test_spectral_conv_finds_the_largest_singular_value():
    module = spectral_norm.SpectralConv(8, (3, 3))
    x = jax.random.normal(jax.random.key(0), (1, 3, 3, 4))
    variables = module.init(jax.random.key(1), x)
    step = jax.jit(lambda v: module.apply(v, x, train=True, mutable=["batch_stats"]))
    for _ in range(100):
        y, updated = step(variables)
        variables = {**variables, **updated}
    weight = np.asarray(variables["params"]["weight_orig"])
    largest = np.linalg.svd(weight.reshape(8, -1), compute_uv=False)[0]
    plain = np.einsum("hwi,oihw->o", np.asarray(x[0]), weight)
    np.testing.assert_allclose(y[0, 0, 0], plain / largest, rtol=1e-3, atol=1e-5)


def test_spectral_conv_begins_near_the_largest_singular_value():
    """Judged with random vectors, kernels are many times too large, and so is the first judgement."""
    module = spectral_norm.SpectralConv(32, (4, 4))
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 16))
    variables = module.init(jax.random.key(1), x)
    weight = np.asarray(variables["params"]["weight_orig"]).reshape(32, -1)
    stats = {name: np.asarray(vector) for name, vector in variables["batch_stats"].items()}
    found = stats["weight_u"] @ weight @ stats["weight_v"]
    assert 0.9 < found / np.linalg.svd(weight, compute_uv=False)[0] <= 1 + 1e-5


def test_spectral_conv_moves_its_vectors_only_in_training():
    network = patch_discriminator.PatchDiscriminator(TINY)
    x = jax.random.uniform(jax.random.key(0), (1, 32, 32, 3))
    variables = jax.jit(network.init)(jax.random.key(1), x)
    changed = {}
    for train in (False, True):
        _, stats = jax.jit(lambda v, t=train: network.apply(v, x, train=t, mutable=["batch_stats"]))(
            variables
        )
        pairs = zip(
            jax.tree.leaves(stats["batch_stats"]), jax.tree.leaves(variables["batch_stats"]), strict=True
        )
        changed[train] = max(float(jnp.abs(a - b).max()) for a, b in pairs)
    assert changed[False] == 0 and changed[True] > 1e-3
