"""Released files become one checkpoint; what is missing, extra or misshapen is named."""

import functools
import json
import pathlib
import pickle

import numpy as np
import pytest

from avct_jax import errors, weights_file
from avct_jax.convert import parity
from avct_jax.convert import released as conversion

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"


@functools.cache
def released(part):
    """The tensors of a released network, with stand-in numbers."""
    files = (GOLDENS / f"{kind}_state_shapes.json" for kind in ("inference", "training"))
    shapes = next(s[part] for s in map(json.loads, (f.read_text() for f in files)) if part in s)
    return {name: parity.stand_in(f"{part}/{name}", tuple(shape), 1) for name, (shape, _) in shapes.items()}


def write(path, content):
    """Save as torch does."""
    torch = pytest.importorskip("torch")

    def tensors(value):
        if isinstance(value, dict):
            return {k: tensors(v) for k, v in value.items()}
        return torch.from_numpy(np.asarray(value)) if isinstance(value, np.ndarray) else value

    torch.save(tensors(content), path)
    return path


def test_convert_tells_networks_by_their_tensors_and_says_what_lacks(tmp_path):
    detector = {f"module.{name}": tensor for name, tensor in released("kp_detector").items()}
    optimizer = {"state": {0: {"exp_avg": np.zeros(3)}}, "lr": 1e-4}
    path = write(tmp_path / "any name", {"kp_detector": detector, "epoch": 3, "optimizer": optimizer})
    report = conversion.convert([path], tmp_path / "out.safetensors")
    assert report.problems == () and report.parts == {"keypoint_detector": path}
    assert list(report.lacking) == ["renderer", "avct", "head_motion"]
    system = weights_file.load(report.output)
    kernel = system.variables["keypoint_detector"]["params"]["kp"]["kernel"]
    np.testing.assert_array_equal(kernel, released("kp_detector")["kp.weight"].transpose(2, 3, 1, 0))
    assert "avct: not given; it is in generator.ckpt" in list(report.lines())


def test_convert_reads_bare_state_dicts_of_several_files(tmp_path):
    lipsync = write(tmp_path / "lipsync_expert.pth", {"state_dict": released("syncnet_color")})
    syncnet = write(tmp_path / "syncnet_v2.model", released("syncnet_v2"))
    report = conversion.convert([lipsync, syncnet], tmp_path / "out.safetensors", dtype="float16")
    assert report.parts == {"sync_discriminator": lipsync, "syncnet": syncnet}
    assert set(weights_file.load(report.output).variables) == {"sync_discriminator", "syncnet"}


def test_convert_names_missing_extra_and_misshapen_tensors(tmp_path):
    tensors = dict(released("kp_detector"))
    del tensors["kp.bias"]
    tensors |= {"kp.weight": tensors["kp.weight"][:5], "eyes.weight": np.zeros((1, 2))}
    report = conversion.convert([write(tmp_path / "a", {"kp_detector": tensors})], tmp_path / "out")
    assert report.problems == (
        "kp_detector/kp.bias: missing",
        "kp_detector/eyes.weight: extra",
        "kp_detector/kp.weight: shape (5, 35, 7, 7), must be (10, 35, 7, 7)",
    )
    assert report.output is None and not (tmp_path / "out").exists()


def test_convert_leaves_out_extra_tensors_and_unused_layers(tmp_path):
    tensors = {**released("vgg19"), "classifier.0.weight": np.zeros((4, 5)), "extra.bias": np.zeros(2)}
    report = conversion.convert([write(tmp_path / "a", tensors)], tmp_path / "out")
    assert report.problems == ("vgg19/extra.bias: extra",)
    assert list(weights_file.load(report.output).variables) == ["vgg"]


def test_convert_refuses_the_same_network_twice_and_unknown_files(tmp_path):
    first = write(tmp_path / "a", {"kp_detector": released("kp_detector")})
    second = write(tmp_path / "b", released("kp_detector"))
    with pytest.raises(errors.UserError, match=r"kp_detector is in both .*a and .*b; give only one"):
        conversion.convert([first, second], tmp_path / "out")
    other = write(tmp_path / "c", {"weight": np.zeros(3)})
    with pytest.raises(errors.UserError, match="c holds no network of this system"):
        conversion.convert([other], tmp_path / "out")


def test_convert_runs_nothing_that_a_file_holds(tmp_path):
    path = tmp_path / "evil.pth"
    code = f"cos\nmkdir\n(S'{tmp_path / 'run'}'\ntR."
    path.write_bytes(b"".join(map(pickle.dumps, (conversion.torch_pickle.MAGIC, 1001, {}))) + code.encode())
    with pytest.raises(errors.UserError, match=r"holds os.mkdir, which is not a tensor and is not run"):
        conversion.convert([path], tmp_path / "out")
    assert not (tmp_path / "run").exists() and not (tmp_path / "out").exists()
