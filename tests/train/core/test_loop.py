"""The loop on a toy: what it repeats exactly, how it stops, and what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from avct_jax import errors
from avct_jax.train import run_config
from avct_jax.train.core import checkpoint, loop, sharding, stop_request
from avct_jax.train.monitoring import goodput, metric_log, profiler
from tests import toy_stage

IMPORTS = "from tests import toy_stage as t; import pathlib; "


@pytest.fixture(scope="module")
def mesh():
    return sharding.make_mesh(1)


def same(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **({"rtol": 0, "atol": 0} | tolerance)), a, b)


def curve(folder, names=("loss", "gradient_norm")):
    rows = [row for row in metric_log.read(folder / metric_log.FILE) if "loss" in row]
    return [(row["step"], *(row[name] for name in names)) for row in rows]


def test_two_and_two_steps_are_four(mesh, tmp_path):
    whole = loop.train(toy_stage.make_task(tmp_path / "a"), mesh)
    loop.train(toy_stage.make_task(tmp_path / "b", steps=2), mesh)
    halves = loop.train(toy_stage.make_task(tmp_path / "b"), mesh)
    same(whole.state, halves.state)
    assert curve(tmp_path / "a") == curve(tmp_path / "b") and len(curve(tmp_path / "a")) == 4


def test_curve_does_not_show_where_a_run_was_stopped(mesh, tmp_path):
    """Reports every third step, stopped after the fourth: the mean of 4 to 6 is of all three."""
    rhythm = {"report_every": 3, "eval_every": 3}
    loop.train(toy_stage.make_task(tmp_path / "a", steps=6, **rhythm), mesh)
    source = toy_stage.Source(signal_at=3)
    stopped = loop.train(toy_stage.make_task(tmp_path / "b", steps=6, source=source, **rhythm), mesh)
    assert (stopped.step, stopped.stopped) == (4, "SIGTERM")
    ended = metric_log.read(tmp_path / "b" / metric_log.FILE)[-1]
    assert (ended["step"], ended["note"]) == (4, metric_log.END) and "loss" in ended
    loop.train(toy_stage.make_task(tmp_path / "b", steps=6, **rhythm), mesh)
    assert curve(tmp_path / "a") == curve(tmp_path / "b") and [r[0] for r in curve(tmp_path / "a")] == [
        1,
        3,
        6,
    ]


@pytest.mark.parametrize("first, then", [(8, 1), (1, 8)])
def test_run_goes_on_with_another_number_of_devices(first, then, tmp_path):
    """By SGD: Adam makes steps of rounding where a gradient is nothing."""
    made = toy_stage.make_stage(optax.sgd(0.1))
    whole = loop.train(toy_stage.make_task(tmp_path / "a", made=made), sharding.make_mesh(first))
    loop.train(toy_stage.make_task(tmp_path / "b", made=made, steps=2), sharding.make_mesh(first))
    other = loop.train(toy_stage.make_task(tmp_path / "b", made=made), sharding.make_mesh(then))
    assert len(jax.tree.leaves(other.state)[0].sharding.device_set) == then
    same(whole.state, other.state, atol=1e-6)
    np.testing.assert_allclose(curve(tmp_path / "a"), curve(tmp_path / "b"), rtol=1e-5)


def test_run_that_is_done_says_so(mesh, tmp_path, capsys):
    loop.train(toy_stage.make_task(tmp_path, steps=2), mesh)
    assert loop.train(toy_stage.make_task(tmp_path, steps=2), mesh).step == 2
    assert "has taken 2 of 2 steps; nothing to do" in capsys.readouterr().err


def test_nan_names_metric_and_step_and_keeps_the_good_checkpoint(mesh, tmp_path):
    task = toy_stage.make_task(tmp_path, made=toy_stage.make_stage(nan_at=3), report_every=4, save_every=1)
    with pytest.raises(errors.UserError, match="loss is nan at step 3"):
        loop.train(task, mesh)
    assert checkpoint_steps(tmp_path) == [1, 2]


def test_state_that_is_not_finite_is_not_saved_though_its_metrics_are(mesh, tmp_path):
    """The rule's second step spoils the parameters; no metric of that step tells."""
    spoil = optax.scale_by_schedule(lambda count: jnp.where(count == 1, jnp.nan, 1.0))
    rule = optax.chain(optax.sgd(0.1), spoil)
    task = toy_stage.make_task(tmp_path, made=toy_stage.make_stage(rule), save_every=1)
    with pytest.raises(errors.UserError, match="state after step 2 is not finite and is not saved; start"):
        loop.train(task, mesh)
    assert checkpoint_steps(tmp_path) == [1]


def test_run_goes_on_after_a_gradient_that_was_not_finite(mesh, tmp_path):
    """On the step that is saved, and behind a finite loss: what is kept is of the step before."""
    made = toy_stage.make_stage(nan_gradient_at=2)
    with pytest.raises(errors.UserError, match="gradient_norm is nan at step 2; start again with a lower"):
        loop.train(toy_stage.make_task(tmp_path, made=made, save_every=1), mesh)
    assert checkpoint_steps(tmp_path) == [1]
    assert loop.train(toy_stage.make_task(tmp_path), mesh).step == 4


def test_missing_clip_stops_with_what_was_learned_saved(mesh, tmp_path):
    task = toy_stage.make_task(tmp_path, source=toy_stage.Source(missing_at=3), save_every=100)
    with pytest.raises(errors.UserError, match=r"a\.mp4"):
        loop.train(task, mesh)
    assert checkpoint_steps(tmp_path) == [3]


def test_full_disk_is_one_line_and_keeps_the_good_checkpoint(mesh, tmp_path, monkeypatch):
    task = toy_stage.make_task(tmp_path, steps=2)
    loop.train(task, mesh)
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(checkpoint.Checkpoints, "_begin_save", lambda *_, **__: (_ for _ in ()).throw(full))
    with pytest.raises(errors.UserError, match="is full; free space"):
        loop.train(task._replace(config=run_config.RunConfig(steps=4, save_every=1, eval_every=0)), mesh)
    assert checkpoint_steps(tmp_path) == [2]


def test_best_checkpoint_stays_and_is_exported(mesh, tmp_path):
    told = []
    export = lambda current, best: told.append((int(current.step), best))
    options = {"steps": 8, "keep": 1, "save_every": 1, "eval_every": 2, "export": export}
    loop.train(toy_stage.make_task(tmp_path, **options), mesh)
    rows = metric_log.read(tmp_path / metric_log.FILE)
    evaluated = {row["step"]: row["val/loss"] for row in rows if "val/loss" in row}
    best = min(evaluated, key=evaluated.get)
    assert sorted({best, 8}) == checkpoint_steps(tmp_path)
    assert [step for step, is_best in told if is_best][-1] == best and len(told) == 8


def test_sheets_and_videos_appear(mesh, tmp_path):
    loop.train(toy_stage.make_task(tmp_path, steps=2, image_every=1), mesh)
    names = sorted(path.name for path in (tmp_path / loop.IMAGES).iterdir())
    assert names == ["00000001.mp4", "00000001.png", "00000002.mp4", "00000002.png"]


def test_folder_without_held_out_clips_is_trained_on_and_said(mesh, tmp_path, capsys):
    class Source(toy_stage.Source):
        def batch(self, *args, held_out=False, **options):
            if held_out:
                raise errors.UserError("no clip is held out; add people")
            return super().batch(*args, **options)

    loop.train(toy_stage.make_task(tmp_path, source=Source(), eval_every=1, image_every=1), mesh)
    assert capsys.readouterr().err.count("nothing is judged or shown: no clip is held out") == 1


def test_profile_program_and_utilisation_are_written(mesh, tmp_path):
    options = {"profile": 2, "steps": profiler.WARM_UP + 3, "dump_hlo": True, "peak_tflops": 1.0}
    loop.train(toy_stage.make_task(tmp_path, **options), mesh)
    assert list((tmp_path / loop.PROFILE).rglob("*.xplane.pb"))
    texts = [(tmp_path / "hlo" / name).read_text() for name in ("step.stablehlo.mlir", "step.optimised.hlo")]
    assert "stablehlo.dot_general" in texts[0] and "HloModule" in texts[1]
    assert json.loads((tmp_path / "hlo" / "memory.json").read_text())["argument"] > 0
    for row in metric_log.read(tmp_path / metric_log.FILE):
        # Two layers, (8, 2) to 8 to 1, and the gradients of both, but for that of the examples.
        assert row["mfu"] * row["step_seconds"] * 1e12 == pytest.approx(2 * 8 * (2 * 8 * 2 + 8 * 3))


def test_goodput_counts_over_starts_and_takes_back_what_was_lost(mesh, tmp_path):
    """Three steps of which two are saved, as by a kill; then to the end."""
    with pytest.raises(errors.UserError):
        loop.train(toy_stage.make_task(tmp_path, made=toy_stage.make_stage(nan_at=3)), mesh)
    path = tmp_path / goodput.FILE
    lost = json.loads(path.read_text())
    lost["seconds"]["steps"] += 50  # after the checkpoint
    path.write_text(json.dumps(lost))
    loop.train(toy_stage.make_task(tmp_path), mesh)
    told = json.loads(path.read_text())
    assert told["seconds"]["taken_back"] == pytest.approx(50, abs=0.1) and told["seconds"]["compile"] > 0
    assert sum(told["seconds"].values()) > sum(lost["seconds"].values())
    assert told["goodput"] == pytest.approx(
        told["seconds"]["steps"] / sum(told["seconds"].values()), abs=1e-3
    )
    assert metric_log.read(tmp_path / metric_log.FILE)[-1]["goodput"] == pytest.approx(
        told["goodput"], abs=0.01
    )


def test_ctrl_c_once_ends_the_step_and_twice_ends_at_once(mesh, tmp_path):
    class Source(toy_stage.Source):
        def batch(self, *args, step, **options):
            for _ in range(presses if step == 1 else 0):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
            return super().batch(*args, step=step, **options)

    presses = 1
    before = signal.getsignal(signal.SIGINT)
    assert loop.train(toy_stage.make_task(tmp_path / "a", source=Source()), mesh).stopped == "SIGINT"
    assert checkpoint_steps(tmp_path / "a") == [2] and signal.getsignal(signal.SIGINT) is before
    presses = 2
    with pytest.raises(KeyboardInterrupt, match="nothing was kept yet"):
        loop.train(toy_stage.make_task(tmp_path / "b", source=Source()), mesh)
    with pytest.raises(KeyboardInterrupt, match="the last checkpoint is kept") as ended:
        loop.train(toy_stage.make_task(tmp_path / "c", source=Source(), save_every=1), mesh)
    assert ended.value.code == 130


def test_batch_that_cannot_fit_is_refused_before_it_is_made(mesh, tmp_path):
    size = 2**50  # of 12 bytes each
    with pytest.raises(errors.UserError, match=r"needs 12582912\.0 GiB for its .*; pass --batch-size \d+ or"):
        loop.train(toy_stage.make_task(tmp_path, batch_size=size), mesh)
    assert not (tmp_path / loop.CHECKPOINTS).exists()


def test_kill_in_the_middle_costs_at_most_one_interval(mesh, tmp_path):
    """A process that saves every second step is killed; the run goes on as if it had not been."""
    options = {"steps": 200, "save_every": 2, "report_every": 1}
    folder, kill = str(tmp_path / "b"), {"signal_at": 21, "number": int(signal.SIGKILL)}
    code = IMPORTS + f"t.main(pathlib.Path({folder!r}), **{options | kill})"
    killed = subprocess.run([sys.executable, "-c", code], cwd=toy_stage.HERE, env=toy_stage.environment())
    assert killed.returncode == -signal.SIGKILL
    log = tmp_path / "b" / metric_log.FILE
    steps, seen = checkpoint_steps(tmp_path / "b"), len(log.read_bytes().splitlines())
    assert 10 < seen <= 21
    assert seen - 4 <= max(steps, default=0)  # one interval, and one more that was being written
    options["steps"] = max(steps, default=0) + 2
    after = loop.train(toy_stage.make_task(tmp_path / "b", **options), mesh)
    whole = loop.train(toy_stage.make_task(tmp_path / "a", **options), mesh)
    same(whole.state, after.state)
    assert curve(tmp_path / "a") == curve(tmp_path / "b")


def test_sigterm_ends_a_process_with_0_and_a_checkpoint(tmp_path):
    code = IMPORTS + f"t.main(pathlib.Path({str(tmp_path)!r}), steps=2000, seconds=.02)"
    command, environment = [sys.executable, "-c", code], toy_stage.environment()
    with subprocess.Popen(
        command, cwd=toy_stage.HERE, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("toy 3/"):
                process.terminate()
                break
        said = process.stderr.read()
    assert process.returncode == 0 and "stopped by SIGTERM after step" in said
    (step,) = [int(word.split()[0]) for word in said.split("after step ")[1:]]
    assert step in checkpoint_steps(tmp_path)
    facts = json.loads((tmp_path / loop.CHECKPOINTS / str(step) / "_CHECKPOINT_METADATA").read_text())
    assert facts["custom_metadata"]["position"] == {"seed": 0, "step": step, "batch_size": 8}


def checkpoint_steps(folder):
    """The names are whole checkpoints' alone."""
    return sorted(int(p.name) for p in (folder / loop.CHECKPOINTS).glob("*") if p.name.isdigit())


@pytest.mark.parametrize("usual, heard", [(signal.SIG_DFL, "SIGHUP"), (signal.SIG_IGN, "")])
def test_a_closed_terminal_asks_to_stop_unless_nohup_says_no(usual, heard):
    before = signal.signal(signal.SIGHUP, usual)
    try:
        with stop_request.listening() as request:
            signal.raise_signal(signal.SIGHUP)
            assert request.signal == heard
    finally:
        signal.signal(signal.SIGHUP, before)
