"""What starts work over machines: SLURM's scripts, Kubernetes' Jobs, KubeRay's RayJob."""

import os
import pathlib
import subprocess

import pytest
import yaml

from avct_jax.cli import option
from avct_jax.cli.commands import animate, preprocess
from avct_jax.workers import engine, shard
from tests.test_launchers import put_programs

SCRIPTS = pathlib.Path(__file__).parent.parent / "scripts"
SHARDS, RAY = (SCRIPTS / "slurm" / f"{name}.sbatch" for name in ("shards", "ray"))
ARRAY = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "8"}
ARRAY |= {"SLURM_ARRAY_TASK_COUNT": "8"}
GONE = ("SLURM_ARRAY_TASK_ID", "AVCT_SHARDS", "AVCT_CACHE_DIR")


def run(script, folder, *words, told=(), **programs):
    """Run it with stand-ins that write down how they are called; returns the lines."""
    programs = {
        name: f'echo {name} "$@" "$AVCT_CACHE_DIR" >> {folder}/log' for name in ("avct", "srun")
    } | programs
    environment = {k: v for k, v in put_programs(folder, **programs).items() if k not in GONE}
    done = subprocess.run(
        ["bash", script, *words], env=environment | dict(told), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return (folder / "log").read_text().splitlines()


def test_a_task_of_an_array_does_its_part(tmp_path):
    (line,) = run(SHARDS, tmp_path, "preprocess", "a b", "--output", "c", told={**ARRAY, "TMPDIR": "/own"})
    words = line.split()
    assert words[:-1] == ["avct", "preprocess", "a", "b", "--output", "c", "--shard", "auto"]
    assert words[-1].startswith("/own/avct-cache-")
    assert shard.parse(words[-2], ARRAY) == (3, 8)


def test_parts_that_failed_are_done_again_by_their_numbers(tmp_path):
    told = {**ARRAY, "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MAX": "7", "AVCT_SHARDS": "8"}
    told["AVCT_CACHE_DIR"] = "/kept"
    (line,) = run(SHARDS, tmp_path, "evaluate", told=told)
    assert line == "avct evaluate --shard auto/8 /kept" and shard.parse("auto/8", told) == (3, 8)


def test_without_an_array_all_is_put_together(tmp_path):
    (line,) = run(SHARDS, tmp_path, "preprocess", "in", told={"AVCT_CACHE_DIR": "/kept", "AVCT_SHARDS": "8"})
    assert line == "avct preprocess in /kept"


def test_ray_is_started_on_all_nodes_for_one_command(tmp_path):
    told = {"SLURM_JOB_NODELIST": "n[1-3]", "SLURM_JOB_NUM_NODES": "3", "SLURM_CPUS_PER_TASK": "8"}
    # More than a pipe holds: who reads the first alone must not end who writes.
    names = 'test "$*" = "show hostnames n[1-3]" && seq -f n%.0f 30000'
    told |= {"AVCT_CACHE_DIR": "/kept", "http_proxy": "http://proxy"}
    known = '"$RAY_ADDRESS" "$RAY_USAGE_STATS_ENABLED" "${http_proxy-none}" "${#RAY_AUTH_TOKEN}"'
    srun = f'echo "$@" {known} >> {tmp_path}/log'
    (line,) = run(RAY, tmp_path, "animate", "--jobs", "j", told=told, scontrol=names, srun=srun)
    wanted = "--kill-on-bad-exit=0 ray symmetric-run --address n1:6379 --min-nodes 3 --num-cpus 8 -- "
    assert line == f"{wanted}avct animate --jobs j --engine ray n1:6379 0 none 64"


@pytest.mark.parametrize("script", [SHARDS, RAY])
def test_scripts_tell_their_use(script):
    done = subprocess.run(["bash", script], capture_output=True, text=True)
    assert done.returncode == 2 and "usage: sbatch" in done.stderr


def read(name):
    """A manifest, and its only container."""
    manifest = yaml.safe_load((SCRIPTS / "k8s" / name).read_text())
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return manifest, container


def test_pods_of_the_indexed_job_do_all_parts_and_the_merge_the_rest():
    job, container = read("shards.yaml")
    spec, (command, *words) = job["spec"], container["args"]
    assert spec["completionMode"] == "Indexed" and (container["command"], command) == (["avct"], "preprocess")
    options = option.parse(preprocess.Options, words, "avct preprocess")
    parts = {
        shard.parse(options.work.shard, {shard.KUBERNETES_INDEX: str(i)}) for i in range(spec["completions"])
    }
    assert (
        parts == {shard.Shard(i + 1, 8) for i in range(8)} and spec["maxFailedIndexes"] == spec["completions"]
    )
    _, merge = read("merge.yaml")
    assert merge["args"] == container["args"][:-1] and merge["image"] == container["image"]


def test_the_rayjob_has_room_for_its_workers():
    job = yaml.safe_load((SCRIPTS / "k8s" / "rayjob.yaml").read_text())["spec"]
    command = job["entrypoint"].removeprefix('sh -c "cd /data && avct animate ').removesuffix('"').split()
    options = option.parse(animate.Options, command, "avct animate")
    (group,) = job["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    assert group["replicas"] * int(container["resources"]["limits"]["cpu"]) == options.many.workers
    assert engine.parse(options.work.engine).address is None  # RAY_ADDRESS, which Ray gives to its jobs
    for pod in (group, job["rayClusterSpec"]["headGroupSpec"]):
        (each,) = pod["template"]["spec"]["containers"]
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in each["env"]
        assert {mount["mountPath"] for mount in each["volumeMounts"]} >= {"/data"}


def test_manifests_are_what_kubernetes_takes():
    pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    from scripts import check_launchers

    for name in ("shards.yaml", "merge.yaml"):
        manifest, container = read(name)
        assert check_launchers.check_manifest(manifest, {}).startswith("Kubernetes 1.33.0")
        container["arguments"] = container.pop("args")
        with pytest.raises(Exception, match="arguments"):
            check_launchers.check_manifest(manifest, {})


def test_scripts_are_what_shellcheck_takes():
    for script in (SHARDS, RAY):
        assert os.access(script, os.R_OK)
        subprocess.run(["bash", "-n", script], check=True)
