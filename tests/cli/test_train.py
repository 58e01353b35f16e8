"""`avct train`: presets, options, refusals, what is kept of a run and what is refused when it goes on."""

import dataclasses
import importlib
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from avct_jax import errors, weights_file
from avct_jax.cli import main, training_options
from avct_jax.cli.commands import train
from avct_jax.data.dataset import frame_cache
from avct_jax.models import system_config
from avct_jax.presets import avct, head_motion, renderer, sync
from avct_jax.train import ablations, mesh_run, run, run_weights
from avct_jax.train.core import loop, run_record
from tests import made_clips

MODULES = {"renderer": renderer, "sync": sync, "avct": avct, "head-motion": head_motion}
CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
NEED = ["--clips", "clips", "--run", "runs"]


def parse(stage, *words):
    return training_options.parse(stage, [*NEED, *words])


@pytest.mark.parametrize("stage", run.KINDS)
def test_every_stage_has_presets_that_say_what_they_reproduced(stage):
    presets = training_options.find_presets(MODULES[stage])
    written = training_options.claims(MODULES[stage])
    assert {"paper", "lite", "tiny"} <= set(presets) <= set(written)
    for name in ("paper", "lite"):
        assert f"avct train {stage} --preset {name} --clips DIR" in written[name]
    assert len(run.KINDS) == 4 and all(isinstance(p, run.TrainingConfig) for p in presets.values())
    for preset in presets.values():
        run.check(run.complete(preset, "somebody"))


@pytest.mark.parametrize("stage", train.MESH)
def test_mesh_stages_have_presets_that_say_how_to_run_them(stage, capsys):
    module = importlib.import_module(f"avct_jax.presets.{stage}")
    presets, written = training_options.find_presets(module), training_options.claims(module)
    assert {"lite", "tiny"} <= set(presets) <= set(written)
    assert f"avct train {stage} --preset lite --clips DIR" in written["lite"]
    assert all(isinstance(preset, mesh_run.MeshTraining) for preset in presets.values())
    with pytest.raises(SystemExit):
        main.main(["train", stage, "--help"])
    assert "--speaker-prob" in capsys.readouterr().out


def test_paper_presets_have_the_paper_s_rates():
    rates = [MODULES[stage].PAPER.optimizer.learning_rate for stage in run.KINDS]
    assert rates == [2e-4, 1e-4, 2e-5, 1e-4]
    assert renderer.PAPER.optimizer.betas == (0.5, 0.999)
    assert avct.PAPER.optimizer.weight_decay == 2e-7
    assert avct.PAPER.draw.frames == avct.PAPER.stage.rendered == 24 and avct.PAPER.stage.keypoint == 0


def test_six_ablations_are_presets():
    found = training_options.find_presets(avct)
    others = [
        p for name, p in found.items() if name not in ("paper", "lite", "lite-whole", "lite-sync", "tiny")
    ]
    assert len(others) == len(ablations.ABLATIONS) == 6
    assert len({repr(p) for p in [*others, avct.PAPER]}) == 7


def test_options_change_the_preset_s_fields():
    asked = parse(
        "renderer", "--preset", "tiny", "--stage.perceptual", "5", "--optimizer.learning-rate", "1e-2",
        "--draw.log_scale", "-0.3", "0.1", "--steps", "7", "--compute.dtype", "bfloat16",
        "--system.renderer.max-features", "16", "--init", "embedded",
    )  # fmt: skip
    found = asked.training
    assert (found.stage.perceptual, found.optimizer.learning_rate) == (5.0, 1e-2)
    assert (found.draw.log_scale, found.steps, found.compute.dtype) == ((-0.3, 0.1), 7, "bfloat16")
    assert found.system.renderer.max_features == 16 and asked.where.init == "embedded"
    assert found.batch_size == renderer.TINY.batch_size and found.stage.l1 == renderer.TINY.stage.l1
    assert isinstance(parse("sync").training, run.SyncTraining) and parse("sync").training == sync.LITE


@pytest.mark.parametrize(
    "words, said",
    [
        (["--optimizer.learnin-rate", "1"], "--optimizer.learning-rate?"),
        (["--batchsize", "1"], "--batch-size?"),
        (["--clip", "1"], "--clips?"),
        (["--steps", "many"], "--steps"),
        (["--preset", "huge"], "must be one of paper, lite, lite-gpu, lite-game, tiny"),
        (["--compute.dtype", "float8"], "bfloat16"),
        (["--workers", "3"], "give --source grain"),
    ],
)
def test_wrong_options_are_one_line_that_names_the_nearest(words, said, capsys):
    assert main.main(["train", "renderer", *NEED, *words]) == main.REFUSED
    shown = capsys.readouterr()
    assert said in shown.err and shown.err.count("\n") == 1 and not shown.out and "│" not in shown.err


def test_missing_folders_are_named(capsys):
    assert main.main(["train", "sync"]) == main.REFUSED
    said = capsys.readouterr().err
    assert "--clips" in said and said.count("\n") == 1
    assert main.main(["train", "sync", *NEED]) == main.REFUSED
    assert "avct preprocess" in capsys.readouterr().err


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return made_clips.make(tmp_path_factory.mktemp("clips"), people=2, own=2, frames=8)


@pytest.mark.parametrize(
    "stage, words, said",
    [
        ("avct", [], "run `avct train renderer` with the same --preset, --clips and --run first"),
        ("renderer", ["--vgg", "no.npz", "--stage.perceptual", "1"], "no VGG weights at no.npz"),
        ("head-motion", ["--draw.pose-frames", "999"], "has sound and 999 frames"),
        ("sync", ["--draw.hard-negative-min-shift", "99"], "has sound in sync"),
        ("painter", ["--teeth", "nobody"], "nobody of the training is 'nobody'"),
        ("speech", ["--manner", "nobody"], "nobody of the training is 'nobody'"),
        ("speech", ["--system.phoneme-source", "network"], "run `avct train phonemes` first"),
        ("phonemes", ["--recordings", "nowhere"], "no sound file in nowhere"),
        ("phonemes", ["--stage.lips", "1"], "no speech_motion, which the loss of lips needs"),
        (
            "phonemes",
            ["--stage.lips", "1", "--init", "embedded"],
            "8 frames; lips are compared over 11 or more",
        ),
        ("painter", ["--leave-out", ""], "may be used"),
    ],
)
def test_what_a_stage_lacks_is_told_before_clips_are_read(
    stage, words, said, clips, tmp_path, monkeypatch, capsys
):
    late = lambda *_, **__: pytest.fail("clips were read first")
    monkeypatch.setattr(frame_cache, "open_frames", late)
    monkeypatch.setattr(mesh_run.speech_dataset, "build", late)
    if "--leave-out" in words:  # told late, of necessity: still nothing stays
        monkeypatch.setattr(mesh_run.mouth_patches.manifest.Manifest, "without", lambda *_: [])
    else:
        monkeypatch.setattr(mesh_run.mouth_patches, "pack", late)
    folder = tmp_path / "runs" / "mine"
    where = ["--clips", str(clips), "--run", str(folder), "--devices", "1"]
    assert main.main(["train", stage, *where, "--preset", "tiny", *words]) == main.REFUSED
    shown = capsys.readouterr().err
    assert said in shown and shown.count("\n") == 1 and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("stopped", "code"), [("", 0), ("SIGTERM", 75)])
def test_a_training_that_was_stopped_does_not_count_as_done(stopped, code, tmp_path, monkeypatch, capsys):
    """`avct train renderer ... && avct train avct ...`, SLURM's afterok: not on half of a stage."""
    outcome = loop.TrainingOutcome(None, 3, stopped)
    monkeypatch.setattr(run, "train", lambda *_, **__: outcome)
    (tmp_path / "clips").mkdir()
    words = ["--preset", "tiny", "--clips", str(tmp_path / "clips"), "--run", str(tmp_path / "run")]
    assert main.main(["train", "head-motion", *words]) == code
    assert ("wrote" in capsys.readouterr().out) == (not stopped)


def test_contradicting_settings_of_a_stage_are_one_line(capsys):
    assert main.main(["train", "avct", *NEED, "--preset", "tiny", "--stage.rendered", "2"]) == main.REFUSED
    said = capsys.readouterr().err
    assert "rendered 2" in said and said.count("\n") == 1


@pytest.mark.parametrize("stage", run.KINDS)
def test_help_of_a_stage_shows_presets_and_options(stage, capsys):
    with pytest.raises(SystemExit) as ended:
        main.main(["train", stage, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    for word in ("paper:", "lite:", "tiny:", "--steps", "--optimizer.learning-rate", "--stage.", "--draw."):
        assert word in said
    assert "--system." not in said.split("options")[-1]


def test_help_all_shows_the_sizes_too(capsys):
    with pytest.raises(SystemExit):
        main.main(["train", "sync", "--help-all"])
    assert "--system.renderer.max-features" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["train"]])
def test_menus_answer_at_once(words):
    code = f"""
import sys
from avct_jax.cli import main
try:
    main.main([*{words}, "--help"])
except SystemExit:
    print({{"jax", "tyro", "flax", "numpy", "rich"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()" and "usage: avct" in done.stdout


def replace(config, **changes):
    return dataclasses.replace(config, **changes)


def test_portraits_of_others_are_refused_where_frames_are_compared():
    draw = replace(avct.TINY.draw, cross_identity_prob=0.5)
    with pytest.raises(errors.UserError, match=r"draw\.cross_identity_prob 0\.5 shows other people"):
        run.check(run.complete(replace(avct.TINY, draw=draw), "s1"))
    with pytest.raises(errors.UserError, match=r"stage\.transfer False do not fit"):
        run.check(run.complete(replace(avct.LITE, stage=replace(avct.LITE.stage, transfer=False)), "s1"))


@pytest.mark.parametrize("field, value", [("steps", 0), ("batch_size", 0), ("report_every", -1)])
def test_impossible_rhythms_are_refused(field, value):
    with pytest.raises(errors.UserError, match=f"--{field.replace('_', '-')} {value} must be"):
        run.check(replace(sync.TINY, **{field: value}))


def test_what_hangs_on_other_fields_is_filled_in():
    found = run.complete(replace(avct.LITE, steps=77), "s1")
    assert (found.optimizer.steps, found.draw.speaker, found.draw.with_frames) == (77, "s1", False)
    assert found.draw.radius == system_config.LITE.avct.window_radius
    assert run.complete(avct.TINY, "s1").draw.with_frames
    own = replace(avct.LITE, draw=replace(avct.LITE.draw, speaker="me"))
    assert run.complete(own, "s1").draw.speaker == "me"
    assert run.complete(avct.TINY, "").optimizer.steps == 0  # a constant rate


STATE = {"w": jax.ShapeDtypeStruct((2, 3), np.float32)}


def facts(config, state=None):
    return {"config": run_record.as_json(config), "state": run_record.digest(state or STATE)}


def test_run_that_goes_on_with_other_networks_is_refused_by_the_field_s_name(tmp_path):
    assert run_record.check(tmp_path, facts(sync.TINY), begun=False) == []
    other = replace(sync.TINY, system=replace(system_config.TINY, image_size=128))
    with pytest.raises(errors.UserError, match=r"system\.image_size was 64 and is 128"):
        run_record.check(tmp_path, facts(other), begun=True)
    stage = replace(sync.TINY.stage, discriminator=replace(sync.TINY.stage.discriminator, width=0.5))
    reshaped = {"w": jax.ShapeDtypeStruct((4, 3), np.float32)}
    with pytest.raises(errors.UserError, match=r"stage\.discriminator\.width was 0\.0625 and is 0\.5"):
        run_record.check(tmp_path, facts(replace(sync.TINY, stage=stage), reshaped), begun=True)
    assert run_record.check(tmp_path, facts(other), begun=False) == []  # nothing to lose


def test_run_record_lets_what_only_use_asks_for_change_and_says_so(tmp_path):
    run_record.check(tmp_path, facts(sync.TINY), begun=False)
    other = replace(sync.TINY, system=replace(sync.TINY.system, mouth_closing=0.5))
    assert "system.mouth_closing 0.5" in run_record.check(tmp_path, facts(other), begun=True)[0]


def test_changes_of_what_is_learned_are_told(tmp_path):
    run_record.check(tmp_path, facts(sync.TINY), begun=False)
    more = replace(sync.TINY, steps=99, optimizer=replace(sync.TINY.optimizer, learning_rate=0.5))
    told = run_record.check(tmp_path, facts(more), begun=True)
    assert told == ["going on with optimizer.learning_rate 0.5, which was 0.001"]
    assert run_record.check(tmp_path, facts(more), begun=True) == []


@pytest.fixture
def trained(tmp_path, tiny_variables):
    """A run folder whose four stages are done."""
    whole = {**tiny_variables, "sync_discriminator": {"params": {"w": np.ones((2, 2))}, "batch_stats": {}}}
    for stage in run.KINDS:
        run_weights.save(tmp_path, stage, system_config.TINY, whole, best=stage == "renderer")
    return tmp_path


def test_export_puts_a_run_s_stages_into_one_checkpoint(trained, tiny_variables, capsys):
    output = trained / "a.safetensors"
    assert main.main(["train", "export", "--run", str(trained), "--output", str(output), "--best"]) == 0
    shown = capsys.readouterr()
    assert "renderer.best.safetensors" in shown.err and "avct.safetensors" in shown.err
    found = weights_file.load(output, required=weights_file.PARTS)
    assert found.config == system_config.TINY and set(found.variables) == set(weights_file.PARTS)
    kernel = lambda v: v["avct"]["params"]["kp"]["kernel"]
    np.testing.assert_allclose(kernel(found.variables), kernel(tiny_variables), atol=1e-3)


def test_export_names_the_stage_that_was_not_run(trained, capsys):
    run_weights.path(trained, "head-motion").unlink()
    words = ["train", "export", "--run", str(trained), "--output", str(trained / "a.safetensors")]
    assert main.main(words) == main.REFUSED
    assert "run `avct train head-motion` first" in capsys.readouterr().err
    assert (
        main.main([*words, "--init", "embedded"]) == 0
    )  # of another size, but that is the file's own matter


def test_stage_takes_earlier_stages_weights_and_refuses_those_of_another_size(trained):
    found = run_weights.gather(trained, "avct", system_config.TINY, None)
    assert set(found) == {"keypoint_detector", "renderer", "sync_discriminator", "head_motion"}
    with pytest.raises(errors.UserError, match=r"system\.keypoint_detector\.block_expansion 4.*16"):
        run_weights.gather(trained, "avct", system_config.LITE, None)
    assert set(
        run_weights.gather(trained, "renderer", system_config.TINY, run_weights.path(trained, "renderer"))
    ) > {"renderer"}


def test_embedded_weights_can_be_begun_from(tmp_path):
    found = run_weights.gather(tmp_path, "renderer", system_config.LITE, run_weights.EMBEDDED)
    assert set(weights_file.PARTS) <= set(found)


@pytest.mark.parametrize("file", sorted(CONFIGS.rglob("*.toml")), ids=lambda file: file.stem)
def test_files_in_configs_say_what_their_own_command_does(file):
    command = re.search(r"avct train (\S+) --config (\S+)", file.read_text())
    assert command and file.match(command[2])
    asked = training_options.parse(command[1], ["--config", str(file), "--clips", "c", "--run", "r"])
    assert asked.training.steps >= 1000


def test_config_file_changes_the_preset_and_is_changed_by_what_is_typed(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        'preset = "tiny"\nsteps = 7\nsource = "numpy"\nseed = 3\n'
        "[optimizer]\nbetas = [0.5, 0.9]\n[system]\nrelative_head_motion = false\n"
    )
    words = ["--config", str(file), "--clips", "c", "--run", "r", "--seed", "4"]
    _, where, training, _ = training_options.parse("renderer", words)
    assert (training.steps, training.seed, where.source) == (7, 4, "numpy")
    assert training.optimizer.betas == (0.5, 0.9) and not training.system.relative_head_motion
    assert training.batch_size == renderer.TINY.batch_size
    assert training_options.parse("renderer", [*words, "--preset", "lite"]).training.report_every == 25


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[stage", r"mine.toml is no TOML"),
        (
            "[stage]\nperceptul = 1",
            r"mine.toml: --stage.perceptul is no option .* mean --stage.perceptual",
        ),
        ('preset = "huge"', r"--preset 'huge' must be one of"),
        ('steps = "many"', r"steps"),
    ],
)
def test_config_files_that_are_wrong_are_refused_in_a_line(tmp_path, text, message):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(errors.UserError, match=message) as caught:
        training_options.parse(
            "renderer", ["--config", str(tmp_path / "mine.toml"), "--clips", "c", "--run", "r"]
        )
    assert "\n" not in str(caught.value)
