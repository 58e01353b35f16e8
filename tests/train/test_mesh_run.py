"""`avct train painter | phonemes | speech`: a tiny training of each, gone on with, exported, animated."""

import jax
import numpy as np
import pytest
import skimage.data

from avct_jax import errors, weights_file
from avct_jax.animator import factory
from avct_jax.cli import main
from avct_jax.data.clips import clip, manifest
from avct_jax.data.media import video_io
from avct_jax.models import mesh_system, system_config
from avct_jax.presets import painter as painter_presets
from avct_jax.train import mesh_run, mesh_weights
from avct_jax.train.core import sharding
from avct_jax.train.mesh_stages import mouth_patches
from tests import made_clips
from tests.train.mesh_stages import test_mouth_patches

FRAMES = 48
ALONE = ("--devices", "1", "--quiet")  # eight make-believe devices would only take turns


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Clips of a face that speaks, with audio."""
    made = made_clips.make(tmp_path_factory.mktemp("clips"), people=2, own=3, frames=FRAMES, size=64)
    for entry in manifest.read(made).clips:
        path = made / f"{entry.name}.npz"
        one = clip.load(path)
        clip.save(path, one._replace(points=test_mouth_patches.talking(len(one.points)).astype("f2")))
        audio = 0.1 * np.random.default_rng(1).normal(size=640 * len(one.points)).astype(np.float32)
        frames = made_clips.images(1, len(one.points), 64)
        with video_io.VideoWriter(path.with_suffix(".mp4"), size=64, audio=audio) as writer:
            writer.write(frames)
    return made


@pytest.fixture(scope="module")
def run(clips, tmp_path_factory):
    """Both stages by the command line."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mouth_patches, "FRAMES", 8)  # drawn together; a clip here has few that fit
        for stage in ("painter", "speech"):
            words = ["train", stage, "--preset", "tiny", "--clips", str(clips), "--run", str(folder)]
            assert main.main([*words, *ALONE]) == 0
    return folder


def test_phonemes_are_learned_and_heard_by(clips, tmp_path, monkeypatch):
    """The network learns from hama; then speech is learned from what the network hears, without hama."""
    words = ["--preset", "tiny", "--clips", str(clips), "--run", str(tmp_path), *ALONE]
    hearing = ["train", "speech", *words, "--system.phoneme-source", "network"]
    assert main.main(hearing) == 2  # there is none yet
    assert main.main(["train", "phonemes", *words]) == 0
    monkeypatch.setattr(mesh_run.mesh_features, "posteriors", lambda *_: pytest.fail("hama was asked"))
    assert main.main(hearing) == 0
    system = painter_presets.TINY.system
    zeros = jax.tree.map(lambda x: np.zeros(x.shape), mesh_system.expected(system, "mouth_painter"))
    mesh_weights.save(tmp_path / "painter.safetensors", system, {"mouth_painter": zeros})
    mesh_weights.export(tmp_path, tmp_path / "m.safetensors")
    found = mesh_weights.read(tmp_path / "m.safetensors")
    assert found.config.phoneme_source == "network" and "phoneme_net" in found.variables
    assert len(found.config.mean_motion) == 16 and any(found.config.mean_motion)
    (tmp_path / "phonemes.safetensors").unlink()
    with pytest.raises(errors.UserError, match="no phoneme_net; run `avct train phonemes`"):
        mesh_weights.export(tmp_path, tmp_path / "m.safetensors")


def test_both_stages_leave_weights_curves_and_checkpoints(run):
    for stage in ("painter", "speech"):
        assert (run / stage / "metrics.jsonl").exists()
        assert [p.name for p in sorted((run / stage / "checkpoints").glob("[0-9]*"))] == ["2", "4"]
        assert set(mesh_weights.read(run / f"{stage}.safetensors").variables) == {
            mesh_weights.OF_STAGE[stage]
        }
    assert (run / "painter/images/00000004.png").exists()


def test_export_makes_a_checkpoint_that_animates(run, tmp_path):
    # The two stages' presets are tiny in their own network only: each keeps its own.
    assert main.main(["train", "export", "--run", str(run), "--output", str(tmp_path / "m.safetensors")]) == 0
    animator = factory.load(tmp_path / "m.safetensors")
    audio = np.random.default_rng(0).normal(0, 0.1, 1600).astype(np.float32)
    frames = np.concatenate(list(animator.frames(skimage.data.astronaut(), audio, size=256)))
    assert frames.shape == (3, 256, 256, 3)


def test_run_goes_on_from_its_last_step(run, clips, capsys):
    words = ["train", "painter", "--preset", "tiny", "--clips", str(clips), "--run", str(run), "--steps", "6"]
    words += ALONE[:2]
    assert main.main(words) == 0
    assert "goes on from step 4" in capsys.readouterr().err
    assert (run / "painter/checkpoints/6").exists()


def test_lags_are_sought_where_a_model_is_given(run, clips, tmp_path, monkeypatch):
    asked = []
    found = mesh_run.speech_dataset.with_lags
    monkeypatch.setattr(mesh_run.speech_dataset, "with_lags", lambda *a: asked.append(a) or found(*a))
    words = ["train", "speech", "--preset", "tiny", "--clips", str(clips), "--run", str(tmp_path), *ALONE]
    main.main([*words, "--init", str(run / "speech.safetensors")])
    (known, predicted), *_ = asked
    assert [len(p) for p in predicted] == np.diff(known.begins).tolist()


def test_weights_of_the_other_family_are_refused(tiny_checkpoint, clips, tmp_path):
    mesh = sharding.make_mesh(1)
    with pytest.raises(errors.UserError, match="holds networks of the keypoint family"):
        mesh_run.train("painter", painter_presets.TINY, clips, tmp_path, mesh, init=str(tiny_checkpoint))
    assert isinstance(weights_file.load(tiny_checkpoint).config, system_config.SystemConfig)


def test_export_names_the_stage_that_is_missing(run, tmp_path):
    (tmp_path / "painter.safetensors").write_bytes((run / "painter.safetensors").read_bytes())
    with pytest.raises(errors.UserError, match="has no speech_motion; run `avct train speech` first"):
        mesh_weights.export(tmp_path, tmp_path / "out.safetensors")
