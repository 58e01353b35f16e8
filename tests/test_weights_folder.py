"""Weights as hubs keep them: written, read, and asked for at the hub only when named."""

import json
import sys
import types

import jax
import numpy as np
import pytest

import avct_jax
from avct_jax import errors, weights_file, weights_folder
from avct_jax.files import checksum
from avct_jax.models import system_config


@pytest.fixture
def folder(tiny_variables, tmp_path):
    variables = {part: tiny_variables[part] for part in weights_file.PARTS}
    weights_folder.save(tmp_path / "hub" / "tiny", weights_file.System(system_config.TINY, variables))
    return tmp_path / "hub" / "tiny"


def test_folder_gives_back_what_was_written(folder, tiny_variables):
    found = weights_folder.load(folder)
    assert found.config == system_config.TINY
    written = {part: tiny_variables[part] for part in weights_file.PARTS}
    same = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
    jax.tree.map(same, {k: dict(v) for k, v in found.variables.items()}, written)
    known = json.loads((folder / "config.json").read_text())
    assert known["config"]["image_size"] == 64 and known["family"] == "keypoints"
    assert known["weights"]["sha256"] == checksum.sha256(folder / "model.safetensors")
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}


def test_animators_are_saved_and_made_again(folder, tmp_path):
    animator = avct_jax.Animator.from_pretrained(folder)
    animator.save_pretrained(tmp_path / "again")
    again = avct_jax.Animator.from_pretrained(str(tmp_path / "again"))
    assert type(again) is type(animator) and again.config == system_config.TINY
    jax.tree.map(np.testing.assert_array_equal, dict(again.variables), dict(animator.variables))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda d: (d / "config.json").unlink(), r"has no config.json; name a folder"),
        (lambda d: (d / "model.safetensors").unlink(), r"has no model.safetensors"),
        (lambda d: (d / "config.json").write_text("{}"), r"config.json names no weights"),
        (lambda d: (d / "config.json").write_text("["), r"config.json names no weights"),
        (
            lambda d: (d / "model.safetensors").write_bytes((d / "model.safetensors").read_bytes() + b"0"),
            r"its sha256 differs",
        ),
        (
            lambda d: (d / "config.json").write_text(
                (d / "config.json").read_text().replace('"image_size": 64', '"image_size": 128')
            ),
            r"config.json is of other weights",
        ),
    ],
)
def test_folders_that_are_damaged_are_refused_in_a_line(folder, harm, message):
    harm(folder)
    with pytest.raises(errors.UserError, match=message) as caught:
        avct_jax.Animator.from_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_hub_is_asked_only_for_what_is_named_so(folder, monkeypatch):
    asked = []
    give = lambda name, **options: asked.append((name, options)) or str(folder)
    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(snapshot_download=give))
    assert weights_folder.find(folder) == folder and not asked
    assert weights_folder.find("somebody/tiny", revision="v1") == folder
    assert asked == [
        ("somebody/tiny", {"revision": "v1", "allow_patterns": ["model.safetensors", "config.json"]})
    ]
    with pytest.raises(errors.UserError, match="is no folder, and no name of a hub"):
        weights_folder.find("nothing")
    assert len(asked) == 1


def test_hub_that_fails_or_is_not_installed_is_told_in_a_line(monkeypatch):
    def fail(name, **options):
        raise OSError("no route\nto host")

    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(snapshot_download=fail))
    with pytest.raises(errors.UserError, match=r"did not give 'a/b' .no route to host.; check"):
        weights_folder.find("a/b")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(errors.UserError, match=r"pip install 'avct-jax\[hub\]'"):
        weights_folder.find("a/b")
