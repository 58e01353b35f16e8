"""Files of torch.save read without torch, and never run."""

import os
import pickle
import zipfile

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.files import torch_pickle


class Malicious:
    """Unpickling this by the standard library makes the folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("new_format", [True, False])
def test_read_gives_the_numbers_that_torch_saved(tmp_path, new_format):
    torch = pytest.importorskip("torch")
    weight = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    content = {
        "state_dict": {"w": weight.permute(2, 0, 1), "half": weight[1:].half(), "bf": weight.bfloat16()}
    }
    content |= {
        "p": torch.nn.Parameter(weight),
        "n": [1, torch.tensor(7)],
        "sd": torch.nn.Linear(2, 3).state_dict(),
    }
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=new_format)
    found = torch_pickle.read(tmp_path / "a.pth")
    np.testing.assert_array_equal(found["state_dict"]["w"], weight.permute(2, 0, 1).numpy())
    np.testing.assert_array_equal(found["state_dict"]["half"], weight[1:].numpy())
    np.testing.assert_array_equal(found["state_dict"]["bf"], weight.numpy())
    np.testing.assert_array_equal(found["p"], weight.numpy())
    np.testing.assert_array_equal(found["sd"]["bias"], content["sd"]["bias"].numpy())
    assert found["n"][0] == 1 and found["n"][1] == 7


@pytest.mark.parametrize("layout", ["zip", "stream"])
def test_read_refuses_a_malicious_pickle_without_running_it(tmp_path, layout):
    payload = pickle.dumps({"state_dict": Malicious(tmp_path / "run")}, protocol=2)
    path = tmp_path / "evil.pth"
    if layout == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", payload)
    else:
        path.write_bytes(b"".join(map(pickle.dumps, (torch_pickle.MAGIC, 1001, {}))) + payload)
    with pytest.raises(
        errors.UserError, match=r"evil.pth: holds \w+.mkdir, which is not a tensor and is not run"
    ):
        torch_pickle.read(path)
    assert not (tmp_path / "run").exists()
    pickle.loads(payload)
    assert (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "damage", [b"", b"PK\x03\x04 not a zip", b"hello", pickle.dumps(3), pickle.dumps([1])[:-1]]
)
def test_read_refuses_what_is_no_checkpoint(tmp_path, damage):
    path = tmp_path / "bad.pth"
    path.write_bytes(damage)
    with pytest.raises(errors.UserError, match=r"bad.pth"):
        torch_pickle.read(path)


def test_read_refuses_a_truncated_file_at_any_length(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "cut.pth"
    torch.save({"w": torch.zeros(100)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(errors.UserError, match="download it again"):
            torch_pickle.read(path)


def test_read_refuses_a_missing_file(tmp_path):
    with pytest.raises(errors.UserError, match=r"cannot read .*gone.pth: No such file"):
        torch_pickle.read(tmp_path / "gone.pth")
