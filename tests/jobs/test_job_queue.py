"""One job's work, and many in processes: what is made is kept, what fails costs itself alone."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import avct_jax
from avct_jax import errors
from avct_jax.animator import base
from avct_jax.data.clips import worker_pool
from avct_jax.data.media import video_io
from avct_jax.jobs import job_queue, result_record
from tests.jobs import made_jobs

ROOT = pathlib.Path(avct_jax.__file__).parent.parent


@pytest.fixture(autouse=True)
def _cache(monkeypatch):
    """Programs of spawned processes are kept where those of the tests are."""
    monkeypatch.setenv("AVCT_CACHE_DIR", str(ROOT / ".jax_cache"))


def work(job):
    """Do it with the toy; what became of it, and the seeds it was asked for."""
    animator = made_jobs.ToyAnimator()
    return job_queue.do(job, lambda checkpoint, landmarks: animator), animator.seeds


def test_a_job_is_made_once(tmp_path):
    job = made_jobs.job(tmp_path, output=tmp_path / "new" / "one.mp4", seed=40)
    made, seeds = work(job)
    assert seeds == [40] and made.report.frames == 10 and abs(made_jobs.grey(job.output) - 40) < 3
    assert work(job) == (job_queue.JobOutcome(kept=True), [])


def test_a_job_that_is_not_signed_as_asked_fails_and_is_made_again(tmp_path, monkeypatch):
    job = made_jobs.job(tmp_path, seed=40)
    report = base.Report(10, 0.4, [], {}, unsigned="no luck")
    monkeypatch.setattr(made_jobs.ToyAnimator, "animate", lambda *_, **__: report)
    with pytest.raises(errors.UserError, match=r"'.*one\.mp4' is whole and NOT signed as asked: no luck"):
        work(job)
    assert not result_record.path_of(job.output).exists()


CHANGES = {
    "a setting": lambda job: job._replace(request=job.request._replace(blink=0.5)),
    "the seed": lambda job: job._replace(request=job.request._replace(seed=200)),
    "the voice": lambda job: made_jobs.job(pathlib.Path(job.audio).parent, pitch=180.0, seed=40),
    "no record": lambda job: (result_record.path_of(job.output).unlink(), job)[1],
    "half a record": lambda job: (result_record.path_of(job.output).write_text('{"format": '), job)[1],
    "an empty record": lambda job: (result_record.path_of(job.output).write_text(""), job)[1],
    "no video": lambda job: (os.unlink(job.output), job)[1],
    "another video": lambda job: (pathlib.Path(job.output).write_bytes(b"of somebody"), job)[1],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_job_is_made_anew(change, tmp_path):
    job = made_jobs.job(tmp_path, seed=40)
    work(job)
    changed = CHANGES[change](job)
    made, seeds = work(changed)
    assert made.report is not None and seeds == [changed.request.seed]
    assert abs(made_jobs.grey(job.output) - changed.request.seed) < 3 and work(changed)[0].kept


def test_a_job_is_known_where_its_folder_has_moved(tmp_path):
    before, after = tmp_path / "a", tmp_path / "b"
    before.mkdir()
    work(made_jobs.job(before))
    before.rename(after)
    assert work(made_jobs.job(after))[0].kept


def test_a_job_that_fails_leaves_what_was_there(tmp_path):
    job = made_jobs.job(tmp_path, seed=40)
    work(job)
    worse = job._replace(request=job.request._replace(size=100))
    with pytest.raises(errors.UserError, match="from 256 to 1024"):
        work(worse)
    assert work(job)[0].kept


def sums(jobs, workers):
    """What became of jobs by place, and the videos' checksums."""
    found = {}
    for job, answer in job_queue.run(jobs, workers=workers):
        if not isinstance(answer, worker_pool.WorkProgress):
            found[job.place] = answer
    read = {job.place: result_record.read(job.output) for job in jobs}
    return found, {place: record["video"]["sha256"] for place, record in read.items() if record}


def test_two_workers_give_the_bytes_of_one_and_of_the_animator(tmp_path):
    for name in ("one", "two", "here"):
        (tmp_path / name).mkdir()
    # Without marks: no two signatures are the same.
    made = lambda name, pitch: made_jobs.job(tmp_path, name, pitch=pitch, size=256, mark=False)
    jobs = [made("a", 120), made("b", 200)]
    bad = jobs[0]._replace(image=jobs[0].audio, output=str(tmp_path / "bad.mp4"), place="bad")
    into = lambda folder: [
        job._replace(output=str(tmp_path / folder / f"{job.place[-1]}.mp4")) for job in (*jobs, bad)
    ]
    found, one = sums(into("one"), 1)
    assert "is not an image" in found["bad"].failure
    assert [found[job.place].report.frames for job in jobs] == [10, 10]
    found, two = sums(into("two"), 2)
    assert [found[job.place].failure for job in jobs] == ["", ""]
    assert two == one and len(set(one.values())) == 2
    animator = avct_jax.load()
    for job in into("here")[:2]:
        animator.animate(job.image, job.audio, job.output, size=256, mark=False)
        frames = [
            list(video_io.read_frames(tmp_path / name / f"{job.place[-1]}.mp4")) for name in ("one", "here")
        ]
        # Programs are hardly optimised in this process, see conftest.py: a few values round otherwise.
        there, here = (np.stack(shown).astype(int) for shown in frames)
        assert len(here) == 10 and np.abs(there - here).mean() < 0.05


def wait_for(condition, seconds=900.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def hidden(folder):
    return [path for path in folder.iterdir() if path.name.startswith(".avct-")]


@pytest.mark.usefixtures("usual_interrupt")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_jobs_that_were_stopped_go_on(how, tmp_path):
    first, second = made_jobs.job(tmp_path, "a"), made_jobs.job(tmp_path, "b", seconds=6.0)
    rows = [
        {"image": job.image, "audio": job.audio, "output": job.output, "size": 256} for job in (first, second)
    ]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = [sys.executable, "-m", "avct_jax", "animate", "--jobs", "jobs.jsonl"]
    there = {"cwd": tmp_path, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    there["env"] = os.environ | {"PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(command, **there)
    wait_for(lambda: result_record.path_of(first.output).exists() and hidden(tmp_path))
    running.send_signal(how)
    _, said = running.communicate()
    assert running.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130}[how]
    assert not os.path.exists(second.output)
    if how == signal.SIGINT:
        assert "what is finished is kept" in said.splitlines()[-1] and not hidden(tmp_path)
    if how == signal.SIGINT:
        return  # the rest is the same
    done = subprocess.run(command, **there)
    lines = [line for line in done.stderr.splitlines() if line.startswith("avct: line")]
    assert done.returncode == 0 and done.stdout == "2 jobs: 1 made, 1 kept\n", done
    assert lines[0] == f"avct: line 1: {first.output} is made already, and kept"
    assert lines[1].startswith(f"avct: line 2: wrote {second.output}: 150 frames, 6.00 s of sound")
    assert len(list(video_io.read_frames(second.output))) == 150 and not hidden(tmp_path)
