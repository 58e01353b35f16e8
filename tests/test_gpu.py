"""What a GPU computes is what the CPU computes: `JAX_PLATFORMS=cuda,cpu pytest -m gpu`.

AVCT_TEST_DEVICE=cpu tries these tests themselves where there is no GPU.
"""

import os
import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.convert import parity
from avct_jax.layers.convolution import conv
from avct_jax.train.core import sharding
from avct_jax.train.mesh_stages import patch_source
from tests import training_batches
from tests.train.mesh_stages import test_painter_stage
from tests.train.stages import test_head_motion_stage

pytestmark = pytest.mark.gpu
KEY = jax.random.key(0)
GOLDENS = pathlib.Path(__file__).parent / "goldens"


@pytest.fixture(scope="module")
def device():
    try:
        return jax.devices(os.environ.get("AVCT_TEST_DEVICE", "gpu"))[0]
    except RuntimeError:
        pytest.skip("needs a GPU, and JAX_PLATFORMS=cuda,cpu")


@pytest.fixture(scope="module")
def cpu():
    return jax.devices("cpu")[0]


def on(device, function, *arguments):
    """Compute there, products in whole float32."""
    with jax.default_matmul_precision("highest"):
        return jax.device_get(jax.jit(function)(*jax.device_put(arguments, device)))


@pytest.mark.parametrize("padding", [0, 1])
def test_convolution_and_its_gradients_are_the_cpus(device, cpu, padding):
    """The primitive's lowering that is not for the CPU, forward and transposed."""
    rng = np.random.default_rng(padding)
    x = rng.normal(size=(2, 24, 20, 16)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 16, 8)).astype(np.float32)

    def loss(x, kernel):
        return jnp.square(conv.convolve(x, kernel, (1, 1), (padding, padding))).mean()

    found, wanted = (on(d, jax.value_and_grad(loss, (0, 1)), x, kernel) for d in (device, cpu))
    chex.assert_trees_all_close(found, wanted, rtol=1e-3, atol=1e-5)
    text = jax.jit(loss).lower(*jax.device_put((x, kernel), device)).as_text()
    assert device.platform == "cpu" or "stablehlo.convolution" in text


def test_step_in_bfloat16_is_near_the_step_in_float32(device):
    begun = jax.device_get(test_head_motion_stage.make().initial())
    batch = training_batches.poses(b=4, t=6)
    steps = [test_head_motion_stage.make(dtype=dtype).step for dtype in ("float32", "bfloat16")]
    (full, told), (half, said) = (on(device, step, begun, {}, batch, KEY) for step in steps)
    np.testing.assert_allclose(said["pose"], told["pose"], rtol=0.03)
    moved = lambda state: np.concatenate(
        [np.ravel(x) for x in jax.tree.leaves(test_head_motion_stage.first_moments(state))]
    )
    a, b = moved(full), moved(half)
    assert a @ b / np.sqrt((a @ a) * (b @ b)) > 0.95  # the gradients point the same way


def test_patches_held_by_the_device_are_those_of_the_host(device):
    known = test_painter_stage.made_set()
    mesh = jax.sharding.Mesh(np.array([device]), (sharding.AXIS,))
    ask = {"seed": 3, "step": 5, "batch_size": 8}
    made = lambda **where: patch_source.PatchSource(known, speaker="s", speaker_prob=0.3, **where)
    found = made(mesh=mesh).batch("patches", None, **ask)
    assert {d for x in jax.tree.leaves(found) for d in x.devices()} == {device}
    wanted = made().batch("patches", None, **ask)
    chex.assert_trees_all_equal(jax.device_get(found), wanted)


def test_paper_gives_the_reference_systems_numbers(device):
    """The released sizes with stand-in weights, from the audio to the frames."""
    with jax.default_device(device):
        lines = parity.compare(GOLDENS / "inference.npz", GOLDENS / "inference_state_shapes.json")
    assert len(lines) > 10 and not [str(line) for line in lines if line.error > 5 * line.limit]
