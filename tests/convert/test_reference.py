"""Every array that the reference system gave is reproduced; and what is not is said."""

import json
import pathlib

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.convert import parity

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("inference", 15), ("training", 27)])
def test_reference_arrays_are_reproduced(kind, count):
    lines = parity.compare(GOLDENS / f"{kind}.npz", GOLDENS / f"{kind}_state_shapes.json")
    assert len(lines) == count
    assert all(line.ok for line in lines), "\n".join(str(line) for line in lines if not line.ok)


@pytest.fixture
def sync_scores(tmp_path):
    """A reference file that holds the scores of precomputed embeddings alone."""
    with np.load(GOLDENS / "training.npz") as file:
        arrays = {name: file[name] for name in file.files if name.startswith("av/")}
    (tmp_path / "shapes.json").write_text(json.dumps({}))

    def compare(**changes):
        np.savez(tmp_path / "arrays.npz", **(arrays | changes))
        lines = parity.compare(tmp_path / "arrays.npz", tmp_path / "shapes.json")
        return {line.name: line for line in lines}

    return compare


def test_compare_passes_what_is_reproduced(sync_scores):
    assert {name: line.ok for name, line in sync_scores().items()} == {
        "av/offset": True,
        "av/min_dist": True,
        "av/confidence": True,
    }


@pytest.mark.parametrize("change", [{"av/offset": np.int64(2)}, {"av/min_dist": np.float32(2.958)}])
def test_compare_says_what_is_over_its_limit(sync_scores, change):
    lines = sync_scores(**change)
    (name,) = change
    assert not lines[name].ok and "OVER" in str(lines[name])
    assert sum(not line.ok for line in lines.values()) == 1


def test_compare_says_what_it_does_not_compute(sync_scores):
    lines = sync_scores(**{"av/other": np.zeros(2), "av/confidence": np.zeros(3)})
    assert lines["av/other"].note.startswith("not computed") and not lines["av/other"].ok
    assert lines["av/confidence"].note == "shape (), must be (3,)" and not lines["av/confidence"].ok


def test_compare_measures_nan_as_over():
    assert not parity.ParityLine("a", float("nan"), 1e-4).ok


def test_compare_refuses_a_file_that_is_no_npz(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(errors.UserError, match=r"cannot read .*a.npz"):
        parity.compare(tmp_path / "a.npz", GOLDENS / "training_state_shapes.json")


def test_stand_in_depends_on_name_shape_and_seed_alone():
    first = parity.stand_in("vgg19/features.0.weight", (2, 3, 3, 3), 1)
    np.testing.assert_array_equal(first, parity.stand_in("vgg19/features.0.weight", (2, 3, 3, 3), 1))
    assert not np.array_equal(first, parity.stand_in("vgg19/features.0.weight", (2, 3, 3, 3), 2))
    assert not np.array_equal(first, parity.stand_in("vgg19/features.2.weight", (2, 3, 3, 3), 1))
    u = parity.stand_in("discriminator/discs.1.conv.weight_u", (5,), 1)
    assert np.linalg.norm(u) == pytest.approx(1)
    assert (parity.stand_in("kp_detector/norm.running_var", (100,), 1) >= 0.5).all()
