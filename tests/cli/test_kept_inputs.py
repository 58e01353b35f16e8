"""No command writes over what it reads: told before any work, whatever names lead to a file."""

import contextlib
import os

import jax
import numpy as np
import pytest

from avct_jax import errors, weights_file
from avct_jax.cli import main
from avct_jax.evaluation import protocols
from avct_jax.files import atomic_write
from avct_jax.train import mesh_run, mesh_weights, run_weights
from avct_jax.train import run as training
from tests import test_arguments


@pytest.fixture
def kept(tmp_path):
    """Make a file, and see at the end that it is as it was."""
    made = {}

    def make(name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made.setdefault(path, name.encode()))
        return path

    yield make
    assert made and all(path.read_bytes() == content for path, content in made.items())


@pytest.mark.parametrize("make", [os.symlink, os.link, lambda source, path: None])
def test_an_output_is_no_input_by_any_name(kept, tmp_path, make):
    path, other = kept("a.mp4"), tmp_path / "b.mp4"
    make(path, other)
    atomic_write.refuse_overwriting(tmp_path / "new.mp4", path, None, tmp_path / "gone")
    with pytest.raises(errors.UserError, match="is an input or holds one"):
        atomic_write.refuse_overwriting(other if other.exists() else f"{tmp_path}/./a.mp4", None, path)


def test_a_folder_to_be_filled_holds_no_input(kept, tmp_path):
    path = kept("out/deep/a.mp4")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    atomic_write.refuse_overwriting(tmp_path / "out" / "other", path)
    with pytest.raises(errors.UserError, match=r"'.*link' is an input or holds one"):
        atomic_write.refuse_overwriting(tmp_path / "link", path)


@pytest.mark.parametrize(
    "words",
    [
        "convert {a} {b} --output {b}",
        "animate --image {b} --audio {a} --output {b}",
        "animate --image {a} --audio {b} --output {b}",
        "animate --image {a} --audio {a} --poses {b} --output {b}",
        "animate --image {a} --audio {a} --phonemes {b} --output {b}",
        "animate --image {a} --audio {a} --checkpoint {b} --output {b}",
        "demo --checkpoint {b} --output {b}",
        "evaluate --real {real} --generated {made} --output {out}",
        "evaluate --protocol speech --clips {made} --output {out}",
        "evaluate --protocol strangers --portraits {p} --voices {made} --output {out}",
        "evaluate --real {real} --generated {p} --output {out} --fid {out}/report.json",
        "ablate --clips {made} --run {out}/r --output {out}",
        "preprocess {link} --output {real}",
    ],
)
def test_every_command_keeps_its_inputs(words, kept, tmp_path, capsys):
    kept("real/videos/x.mp4")
    (tmp_path / "link.mp4").symlink_to(kept("real/x.mp4"))
    kept("out/report.json")
    names = {"a": kept("a.mp4"), "b": kept("b.mp4"), "real": tmp_path / "real", "out": tmp_path / "out"}
    names |= {"made": kept("out/generated/x.mp4").parent, "p": kept("p/x.png").parent}
    names |= {"link": tmp_path / "link.mp4"}
    assert main.main([word.format(**names) for word in words.split()]) == main.REFUSED
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and ("is an input" in said or "holds the video" in said), said


def test_videos_of_others_are_not_taken_for_old_ones(kept):
    with pytest.raises(errors.UserError, match="were not made here"):
        protocols._begin(kept("generated/speech/x.mp4").parent, "maker")


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("export, stage", [(run_weights.export, "renderer"), (mesh_weights.export, "speech")])
def test_export_keeps_what_it_is_made_of(export, stage, own, kept):
    run, init = kept(f"run/{stage}.safetensors").parent, kept("init.safetensors")
    output = run / f"{stage}.safetensors" if own else init
    with pytest.raises(errors.UserError, match="is an input"):
        export(run, output, init=str(init))


def test_export_keeps_the_weights_of_this_package(kept, tmp_path, monkeypatch):
    path = kept("own.safetensors")
    monkeypatch.setattr(weights_file, "embedded", lambda name="": contextlib.nullcontext(path))
    with pytest.raises(errors.UserError, match="is an input"):
        mesh_weights.export(tmp_path, path, init=run_weights.EMBEDDED)


@pytest.mark.parametrize("name", ["speech", "renderer"])
def test_a_stage_keeps_the_weights_that_it_begins_with(name, kept, tmp_path):
    run, mesh = kept(f"run/{name}.safetensors").parent, jax.sharding.Mesh(np.array(jax.devices()), "data")
    with pytest.raises(errors.UserError, match=r"the stage's result .* is an input"):
        if name == "speech":
            mesh_run.train(
                name, mesh_run.SpeechTraining(), tmp_path, run, mesh, init=f"{run}/{name}.safetensors"
            )
        else:
            places = training.TrainingPaths(tmp_path, run, init=f"{run}/{name}.safetensors")
            training.train(name, training.RendererTraining(), places, mesh)


def test_the_python_api_keeps_its_inputs(kept, tmp_path):
    path = kept("a.mp4")
    with pytest.raises(errors.UserError, match="is an input"):
        test_arguments.Idle().animate(test_arguments.FACE, str(path), path)
