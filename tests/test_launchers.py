"""What starts training on clusters: SLURM's batch script, and the JobSet."""

import os
import pathlib
import shlex
import signal
import subprocess
import time

import pytest
import yaml

from avct_jax.cli.commands import train
from avct_jax.train.core import sharding
from avct_jax.train.distributed import watchdog

SCRIPTS = pathlib.Path(__file__).parent.parent / "scripts"
SBATCH = SCRIPTS / "slurm" / "train.sbatch"
JOBSET = SCRIPTS / "k8s" / "train.yaml"


def put_programs(folder, **programs):
    """Stand-ins for programs, ahead in PATH."""
    for name, body in programs.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (folder / name).chmod(0o755)
    (folder / "venv" / "bin").mkdir(parents=True)
    (folder / "venv" / "bin" / "activate").write_text("")
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "AVCT_VENV": str(folder / "venv"), "SLURM_JOB_ID": "7"}


# A training: says that it is there, and ends with 75 and a word when it is asked to.
TRAINING = """trap 'sleep .2; echo saved >> {0}/log; exit 75' TERM
echo "$@" >> {0}/log
for i in $(seq 2000); do sleep .05; done; exit 9"""
# SLURM's, as they are: a signal to srun kills the step, one by scancel reaches all of the step's processes.
SLURM = {
    "srun": """trap 'pkill -KILL -g "$step"; echo killed >> {0}/log; exit 137' TERM
echo "$1" >> {0}/options
shift
setsid "$@" &
step=$!
echo "$step" > {0}/step
wait "$step"; exit "$?\"""",
    "scancel": """test "$*" = "--signal=TERM 7" && kill -TERM -- "-$(cat {0}/step)\"""",
    "scontrol": """echo "$@" >> {0}/log""",
}


def put_slurm(folder, training):
    """Stand-ins for SLURM and a training."""
    own = shlex.quote(str(folder))
    programs = {name: body.format(own) for name, body in SLURM.items()}
    return put_programs(folder, avct=training.format(own), **programs) | {"SECONDS": "100"}


def interrupt(process, number, log):
    while not log.exists():  # written once the training is ready to be asked
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    return process.wait(timeout=60)


def start(environment, *words, cwd):
    return subprocess.Popen(["bash", SBATCH, *words], env=environment, cwd=cwd)


def test_sbatch_queues_again_what_was_stopped_and_saved(tmp_path):
    process = start(put_slurm(tmp_path, TRAINING), "sync", "--run", "a b", cwd=tmp_path)
    assert interrupt(process, signal.SIGUSR1, tmp_path / "log") == 0
    said = (tmp_path / "log").read_text().splitlines()
    assert said == ["train sync --run a b", "saved", "requeue 7"]
    assert (tmp_path / "options").read_text() == "--kill-on-bad-exit=1\n"
    assert not list(tmp_path.glob(".avct*"))


def test_sbatch_queues_again_what_slurm_stopped_in_its_grace_time(tmp_path):
    """Preemption: the signal reaches the step, not the batch script."""
    process = start(put_slurm(tmp_path, TRAINING), "sync", cwd=tmp_path)
    while not (tmp_path / "log").exists():
        time.sleep(0.02)
    os.killpg(int((tmp_path / "step").read_text()), signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "log").read_text().splitlines()[1:] == ["saved", "requeue 7"]


def test_sbatch_leaves_to_slurm_what_slurm_ends(tmp_path):
    """scancel: the signal reaches the batch script and the step."""
    process = start(put_slurm(tmp_path, TRAINING), "sync", cwd=tmp_path)
    while not (tmp_path / "log").exists():
        time.sleep(0.02)
    process.terminate()
    os.killpg(int((tmp_path / "step").read_text()), signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "log").read_text().splitlines()[1:] == ["saved"]


def test_sbatch_tells_of_a_time_limit_that_leaves_no_time(tmp_path):
    environment = put_slurm(tmp_path, TRAINING) | {"SECONDS": "0"}
    assert interrupt(start(environment, "sync", cwd=tmp_path), signal.SIGUSR1, tmp_path / "log") == 1
    assert (tmp_path / "log").read_text().splitlines()[1:] == ["saved"]


@pytest.mark.parametrize("status", [0, 2])
def test_sbatch_ends_as_training_does(status, tmp_path):
    environment = put_slurm(tmp_path, f"exit {status}")
    assert start(environment, "sync", cwd=tmp_path).wait(timeout=60) == status
    assert not (tmp_path / "log").exists()


def test_sbatch_tells_its_use():
    done = subprocess.run(["bash", SBATCH], capture_output=True, text=True)
    assert done.returncode == 2 and "usage: sbatch" in done.stderr


def test_sbatch_tells_that_there_is_no_environment(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "AVCT_VENV"}
    words = ["bash", SBATCH, "sync"]
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "set AVCT_VENV" in done.stderr


@pytest.mark.parametrize("restarts, said", [("0", "requeue 7"), ("20", None)])
def test_sbatch_queues_again_what_the_watchdog_ended(restarts, said, tmp_path):
    environment = put_slurm(tmp_path, f"exit {watchdog.HUNG}")
    environment["SLURM_RESTART_COUNT"] = restarts
    assert start(environment, "sync", cwd=tmp_path).wait(timeout=60) == watchdog.HUNG
    log = tmp_path / "log"
    assert (log.read_text().strip() if log.exists() else None) == said


def container():
    jobset = yaml.safe_load(JOBSET.read_text())
    (workers,) = jobset["spec"]["replicatedJobs"]
    job = workers["template"]["spec"]
    (found,) = job["template"]["spec"]["containers"]
    return jobset, workers["name"], job, found


def test_jobset_tells_each_process_what_it_looks_for():
    jobset, workers, job, found = container()
    given = {entry["name"]: entry["value"] for entry in found["env"]}
    environment = given | {sharding.JOB_INDEX: "1"}
    cluster = sharding.find_cluster(environment=environment)
    assert cluster.process_count == job["parallelism"] == job["completions"] and cluster.process_id == 1
    host, port = cluster.coordinator.split(":")
    name, subdomain = jobset["metadata"]["name"], jobset["spec"]["network"]["subdomain"]
    assert host == f"{name}-{workers}-0-0.{subdomain}" and found["ports"] == [{"containerPort": int(port)}]


def test_jobset_gives_a_training_its_options():
    *_, found = container()
    read, asked = train.read([*found["command"][2:], *found["args"]])
    assert found["command"] == ["avct", "train"] and read is train.run
    assert (asked.stage, str(asked.where.clips), str(asked.where.run)) == (
        "renderer",
        "/data/clips",
        "/data/runs/mine",
    )
