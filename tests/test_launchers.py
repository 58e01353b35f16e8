"""What starts training on clusters: SLURM's batch script, and the JobSet."""

import os
import pathlib
import shlex
import signal
import subprocess
import time

import pytest
import yaml

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


# A training: says that it is there, and ends with 0 and a word when it is asked to.
TRAINING = """trap 'sleep .2; echo saved >> {0}/log; exit 0' TERM
echo "$@" >> {0}/log
for i in $(seq 2000); do sleep .05; done; exit 9"""


def interrupt(process, number, log):
    while not log.exists():  # written once the training is ready to be asked
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    return process.wait(timeout=60)


def test_sbatch_queues_again_what_was_stopped_and_saved(tmp_path):
    training = TRAINING.format(shlex.quote(str(tmp_path)))
    environment = put_programs(tmp_path, srun=training, scontrol=f'echo "$@" >> {tmp_path}/log')
    process = subprocess.Popen(["bash", SBATCH, "sync", "--run", "a b"], env=environment)
    assert interrupt(process, signal.SIGUSR1, tmp_path / "log") == 0
    said = (tmp_path / "log").read_text().splitlines()
    assert said == ["--kill-on-bad-exit=1 avct train sync --run a b", "saved", "requeue 7"]


@pytest.mark.parametrize("status", [0, 2])
def test_sbatch_ends_as_training_does(status, tmp_path):
    environment = put_programs(tmp_path, srun=f"exit {status}", scontrol=f"touch {tmp_path}/log")
    assert subprocess.run(["bash", SBATCH, "sync"], env=environment).returncode == status
    assert not (tmp_path / "log").exists()


def test_sbatch_tells_its_use():
    done = subprocess.run(["bash", SBATCH], capture_output=True, text=True)
    assert done.returncode == 2 and "usage: sbatch" in done.stderr


@pytest.mark.parametrize("restarts, said", [("0", "requeue 7"), ("20", None)])
def test_sbatch_queues_again_what_the_watchdog_ended(restarts, said, tmp_path):
    environment = put_programs(
        tmp_path, srun=f"exit {watchdog.HUNG}", scontrol=f'echo "$@" >> {tmp_path}/log'
    )
    environment["SLURM_RESTART_COUNT"] = restarts
    assert subprocess.run(["bash", SBATCH, "sync"], env=environment).returncode == watchdog.HUNG
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


def test_jobset_makes_a_failure_of_a_stop_so_that_it_starts_again(tmp_path):
    *_, found = container()
    environment = put_programs(tmp_path, avct=TRAINING.format(shlex.quote(str(tmp_path))))
    process = subprocess.Popen([*found["command"], *found["args"]], env=environment)
    assert interrupt(process, signal.SIGTERM, tmp_path / "log") == 75
    first, last = (tmp_path / "log").read_text().splitlines()
    assert first.startswith("train renderer --preset=paper") and last == "saved"


@pytest.mark.parametrize("status", [0, 2])
def test_jobset_ends_as_training_does(status, tmp_path):
    *_, found = container()
    environment = put_programs(tmp_path, avct=f"exit {status}")
    assert subprocess.run([*found["command"], *found["args"]], env=environment).returncode == status
