"""One file holds a system: what is written is read, and what does not fit is named."""

import dataclasses
import json
import pickle
import struct

import chex
import jax
import numpy as np
import pytest

from avct_jax import errors, weights_file
from avct_jax.models import keypoint_detector, networks, renderer, system_config

DETECTOR = keypoint_detector.KeypointDetectorConfig(block_expansion=4, num_blocks=2, max_features=8)
CONFIG = dataclasses.replace(system_config.PAPER, image_size=64, keypoint_detector=DETECTOR)


@pytest.fixture(scope="module")
def system():
    """A system of one small network, with random numbers."""
    shapes = networks.expected(CONFIG, "keypoint_detector")
    draw = np.random.RandomState(0)
    variables = jax.tree.map(lambda leaf: draw.standard_normal(leaf.shape).astype(np.float32), shapes)
    return weights_file.System(CONFIG, {"keypoint_detector": variables})


def rewrite(path, change):
    """Change the header of a safetensors file and leave its numbers as they are."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


def test_load_gives_back_what_was_saved(tmp_path, system):
    weights_file.save(tmp_path / "a.safetensors", system, dtype="float32")
    back = weights_file.load(tmp_path / "a.safetensors", required=("keypoint_detector",))
    assert back.config == system.config
    chex.assert_trees_all_equal(back.variables, system.variables)
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_save_as_float16_halves_kernels_and_keeps_statistics(tmp_path, system):
    for dtype in ("float16", "float32"):
        weights_file.save(tmp_path / dtype, system, dtype=dtype)
    assert (tmp_path / "float16").stat().st_size < 0.8 * (tmp_path / "float32").stat().st_size
    back, variables = (
        weights_file.load(tmp_path / "float16").variables["keypoint_detector"],
        system.variables,
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6),
        back,
        dict(variables["keypoint_detector"]),
    )
    jax.tree.map(
        np.testing.assert_array_equal, back["batch_stats"], variables["keypoint_detector"]["batch_stats"]
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(back)} == {np.dtype(np.float32)}


def test_save_keeps_numbers_that_float16_cannot_hold(tmp_path):
    part = {"params": {"weight": np.full((2, 2), 1e6, np.float32)}, "batch_stats": {}}
    stored = weights_file._stored(part["params"]["weight"], np.dtype("float16"))
    assert stored.dtype == np.float32 and (stored == 1e6).all()


def test_load_names_tensors_that_do_not_fit_the_config(tmp_path, system):
    params = {**system.variables["keypoint_detector"]["params"], "other": {"bias": np.zeros(3)}}
    params["kp"] = {"kernel": np.zeros((7, 7, 7, 11)), "more": np.zeros(2)}
    variables = {**system.variables["keypoint_detector"], "params": params}
    weights_file.save(tmp_path / "a", system._replace(variables={"keypoint_detector": variables}))
    with pytest.raises(errors.UserError) as caught:
        weights_file.load(tmp_path / "a")
    message = str(caught.value)
    assert "keypoint_detector/params/kp/bias missing" in message and "\n" not in message
    assert "keypoint_detector/params/kp/more extra" in message and "and 1 more" in message


def test_load_refuses_a_system_of_another_size(tmp_path, system):
    weights_file.save(tmp_path / "a", system._replace(config=system_config.PAPER))
    with pytest.raises(errors.UserError, match=r"does not fit its own config.*convert or train it again"):
        weights_file.load(tmp_path / "a")


def test_load_refuses_a_system_that_lacks_a_part(tmp_path, system):
    weights_file.save(tmp_path / "a", system)
    with pytest.raises(errors.UserError, match=r"lacks avct, head_motion; convert or train a whole system"):
        weights_file.load(tmp_path / "a", required=("keypoint_detector", "avct", "head_motion"))


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_load_refuses_a_truncated_file(tmp_path, system, share):
    weights_file.save(tmp_path / "a", system)
    content = (tmp_path / "a").read_bytes()
    (tmp_path / "a").write_bytes(content[: int(share * len(content))])
    with pytest.raises(errors.UserError, match=r"a is damaged \(.*\); copy or download it again"):
        weights_file.load(tmp_path / "a")


@pytest.mark.parametrize(
    "content, said",
    [
        (b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer, .* run `git lfs pull`"),
        (b"PK\x03\x04" + bytes(60), "is a PyTorch checkpoint; run `avct convert` on it first"),
        (pickle.dumps({"a": list(range(50))}, protocol=2), "is a PyTorch checkpoint; run `avct convert`"),
    ],
)
def test_load_says_what_a_file_is_that_is_no_safetensors(tmp_path, content, said):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(errors.UserError, match=said):
        weights_file.load(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "pt", "is not a checkpoint of this program"),
        ("version", "3", "by an older version of this program .format 3, .* 4.; train or convert it with"),
        ("version", "99", "by another version of this program .format 99, .* 4.; train or convert it with"),
        ("family", "wings", "its family of networks 'wings' is not one of keypoints, mesh"),
        ("config", "{", "has a config that this version does not know"),
        ("config", '{"wings": 2}', r"SystemConfig has no field wings"),
        ("config", '{"image_size": "large"}', r"SystemConfig.image_size is 'large', must be a int"),
        ("config", '{"avct": {"channels": [1, "2"]}}', r"AVCTConfig.channels is '2', must be a int"),
        ("config", '{"avct": 3}', "has a config that this version does not know"),
    ],
)
def test_load_refuses_another_format_version_or_config(tmp_path, system, key, value, message):
    weights_file.save(tmp_path / "a", system)
    rewrite(tmp_path / "a", lambda header: header["__metadata__"].update({key: value}))
    with pytest.raises(errors.UserError, match=message):
        weights_file.load(tmp_path / "a")


def test_load_and_save_refuse_missing_places(tmp_path, system):
    with pytest.raises(errors.UserError, match="no checkpoint at"):
        weights_file.load(tmp_path / "gone")
    with pytest.raises(errors.UserError, match=r"cannot write .*No such file or directory"):
        weights_file.save(tmp_path / "gone" / "a", system)
    (tmp_path / "folder").mkdir()
    with pytest.raises(errors.UserError, match=r"cannot write .*Is a directory"):
        weights_file.save(tmp_path / "folder", system)
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_config_from_dict_rebuilds_nested_dataclasses_and_fills_in_defaults():
    config = dataclasses.replace(CONFIG, renderer=renderer.RendererConfig(blend=True, kernel_size=3))
    text = json.dumps(dataclasses.asdict(config))
    assert weights_file.config_from_dict(system_config.SystemConfig, json.loads(text)) == config
    assert (
        weights_file.config_from_dict(system_config.SystemConfig, {"image_size": 64}).avct
        == system_config.PAPER.avct
    )


def test_the_embedded_file_fits_without_being_looked_at():
    with weights_file.embedded() as path:
        known, checked = weights_file.load(path, known=True), weights_file.load(path, required=None)
    assert known.config == checked.config
    assert jax.tree.all(jax.tree.map(np.array_equal, dict(known.variables), dict(checked.variables)))
