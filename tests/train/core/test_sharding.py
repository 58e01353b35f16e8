"""What is learned hangs on the global batch alone: on one device, on eight, in two processes."""

import json
import signal
import subprocess
import sys

import chex
import jax
import numpy as np
import optax
import pytest

from avct_jax import errors
from avct_jax.train.core import compilation, loop, sharding
from avct_jax.train.monitoring import metric_log
from tests import toy_stage

SLURM = {"SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "n[1-2]"}
POD = {sharding.JOB_INDEX: "1", sharding.COORDINATOR: "a-0:80", sharding.PROCESS_COUNT: "2"}


def test_gradients_are_the_same_on_one_device_and_on_eight():
    """One step of plain SGD is the gradient."""
    made, after = toy_stage.make_stage(optax.sgd(1.0)), []
    for count in (1, 8):
        mesh = sharding.make_mesh(count)
        step = compilation.compile_stage(made, mesh).step
        batch = sharding.place_batch(toy_stage.Source().batch("", None, seed=0, step=0, batch_size=16), mesh)
        asked = sharding.place_batch(np.zeros(count, np.int32), mesh)
        current = sharding.place(made.initial(), mesh)
        frozen = sharding.place(made.frozen, mesh)
        current, (metrics, _) = step(current, frozen, batch, sharding.make_key(0, mesh), asked)
        after.append(jax.device_get((current.network_states["toy"].params, metrics)))
        assert len(current.step.sharding.device_set) == count
    chex.assert_trees_all_close(*after, atol=1e-6)


def test_batch_is_dealt_out_evenly_or_refused_with_the_remedy():
    mesh = sharding.make_mesh(8)
    sharding.check_batch_size(16, mesh, microbatches=2)
    with pytest.raises(
        errors.UserError, match="12 must be a multiple of the 8 devices; pass --batch-size 16"
    ):
        sharding.check_batch_size(12, mesh)
    with pytest.raises(errors.UserError, match="8 devices times 2 microbatches; pass --batch-size 16"):
        sharding.check_batch_size(8, mesh, microbatches=2)
    placed = sharding.place_batch({"x": np.arange(16.0)}, mesh)["x"]
    assert [shard.data.tolist() for shard in placed.addressable_shards][1] == [2, 3]


def test_mesh_of_more_devices_than_there_are_is_refused():
    with pytest.raises(errors.UserError, match="--devices 9 is more than there are"):
        sharding.make_mesh(9)


@pytest.mark.parametrize(
    "environment, found",
    [
        ({}, None),
        (SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "8"}, None),
        ({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "8"}, None),  # a batch script's own shell
        (SLURM | {"SLURM_STEP_NUM_TASKS": "2"}, sharding.Cluster()),
        (SLURM | {"SLURM_NTASKS": "2"}, sharding.Cluster()),
        (POD, sharding.Cluster("a-0:80", 1, 2)),
        (POD | {sharding.PROCESS_COUNT: "1", sharding.JOB_INDEX: "0"}, None),
    ],
)
def test_cluster_is_found_from_the_environment_and_never_alone(environment, found):
    assert sharding.find_cluster(environment=environment) == found


def test_cluster_of_options_goes_before_the_environment():
    assert sharding.find_cluster("b:1", 0, 3, environment=POD) == sharding.Cluster("b:1", 0, 3)
    assert sharding.find_cluster("b:1", 0, 1, environment=POD) is None


@pytest.mark.parametrize(
    "options, said",
    [
        (("b:1", None, 2), "belong together"),
        (("b:1", 2, 2), "process id 2 is not below"),
        (("b", 0, 2), "names no port"),
    ],
)
def test_wrong_cluster_options_are_refused(options, said):
    with pytest.raises(errors.UserError, match=said):
        sharding.find_cluster(*options, environment={})


def start(folder, process_id, port, devices=1, **options):
    code = f"""
from tests import toy_stage as t; import pathlib
from avct_jax.train.core import sharding
cluster = sharding.find_cluster("127.0.0.1:{port}", {process_id}, 2)
done = t.main(pathlib.Path({str(folder)!r}), cluster=cluster, **{options})
print(done.step, done.stopped)
"""
    flags = f"{toy_stage.FLAGS} --xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=toy_stage.HERE, env=toy_stage.environment(flags=flags), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(processes):
    with processes[0], processes[1]:
        ended = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ended
    # Gloo greets on standard output.
    return [(said.splitlines()[-1], notes) for said, notes in ended]


def test_two_processes_with_a_state_split_over_both_train_as_one_does(tmp_path):
    """And each sees a half of every batch; the first alone writes logs, both the checkpoint."""
    rhythm = {"steps": 3, "eval_every": 3, "image_every": 3}
    with toy_stage.free_port() as port:
        finish([start(tmp_path / "both", i, port, devices=4, parts=8, **rhythm) for i in (0, 1)])
    made = toy_stage.make_stage(optax.sgd(0.1))
    loop.train(toy_stage.make_task(tmp_path / "one", made=made, **rhythm), sharding.make_mesh(1))
    one, both = ([json.dumps(sorted(r)) for r in rows(tmp_path / name)] for name in ("one", "both"))
    assert one == both
    for a, b in zip(rows(tmp_path / "one"), rows(tmp_path / "both"), strict=True):
        np.testing.assert_allclose([a[k] for k in losses(a)], [b[k] for k in losses(a)], rtol=1e-5)
    # A run in two processes goes on in one.
    after = loop.train(toy_stage.make_task(tmp_path / "both", made=made, steps=5), sharding.make_mesh(8))
    whole = loop.train(toy_stage.make_task(tmp_path / "one", made=made, steps=5), sharding.make_mesh(1))
    chex.assert_trees_all_close(*jax.device_get((after.state, whole.state)), atol=1e-5)


def test_stop_of_one_process_stops_both_after_the_same_step(tmp_path):
    with toy_stage.free_port() as port:
        both = [start(tmp_path, i, port, steps=2000, seconds=0.02, report_every=7) for i in (0, 1)]
        assert both[0].stderr is not None
        for line in both[0].stderr:
            if line.startswith("toy 14/"):
                both[1].send_signal(signal.SIGTERM)
                break
        (first, said), (second, _) = finish(both)
    assert first.split()[0] == second.split()[0] and second.split()[1] == "SIGTERM"
    assert f"after step {first.split()[0]} of" in said
    assert (tmp_path / loop.CHECKPOINTS / first.split()[0]).is_dir()


def rows(folder):
    return metric_log.read(folder / metric_log.FILE)


def losses(row):
    return [name for name in row if name in ("loss", "norm", "val/loss")]
