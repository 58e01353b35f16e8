"""The queue, and the process that draws."""

import asyncio
import json

import pytest

from avct_jax.serve import settings
from avct_jax.serve.videos import video_jobs
from tests.serve import serve_parts

REQUEST = {"image": "i.png", "audio": "a.wav", "transcript": None, "size": None}


def working(tmp_path, do, *, queued=2, keep=1000.0):
    """Run `do(jobs, folder)` while a worker without networks draws."""
    (tmp_path / "worker.py").write_text(serve_parts.WORKER)
    chosen = settings.ServerSettings(limits=serve_parts.limits(queued=queued), keep_seconds=keep)
    seen = []

    async def whole():
        jobs = video_jobs.VideoJobs(chosen, tmp_path, seen.append, worker=[str(tmp_path / "worker.py")])
        running = asyncio.create_task(jobs.run())
        try:
            await asyncio.wait_for(
                do(jobs, lambda **more: jobs.submit(jobs.new_folder(), REQUEST | more, "me")), 60
            )
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(whole())
    return seen


async def until(true):
    """Wait for something that happens soon."""
    while not true():
        await asyncio.sleep(0.01)


def test_jobs_are_drawn_in_turn_by_one_process(tmp_path):
    async def do(jobs, ask):
        first, second = ask(size=256), ask(size=512)
        assert (jobs.place(first), jobs.place(second), jobs.waiting) == (0, 1, 2)
        await until(lambda: second.over)
        made = [json.loads(job.video.read_text()) for job in (first, second)]
        assert [m["size"] for m in made] == [256, 512] and made[0]["pid"] == made[1]["pid"]
        assert made[0]["temporary"] == str(first.folder.parent)  # what it leaves goes with the server
        assert (first.state, first.progress, first.seconds) == ("done", (4, 4), 0.16)
        assert first.finished <= second.finished and jobs.place(first) is None
        record = json.loads((first.folder / "request.json").read_text())
        assert record["consent"] == "me" and record["request"]["size"] == 256

    assert [job.state for job in working(tmp_path, do)] == ["done", "done"]


def test_a_refusal_is_the_jobs_and_the_next_goes_on(tmp_path):
    async def do(jobs, ask):
        refused, good = ask(transcript="refuse", image=""), ask()
        refused.request["image"] = f"{refused.folder}/image.png"
        await until(lambda: good.over)
        assert (refused.state, refused.error) == ("failed", "no face was found in image.png")
        assert good.state == "done" and good.notes == ["heard a.wav"]

    working(tmp_path, do)


def test_a_worker_that_dies_fails_its_job_alone(tmp_path):
    async def do(jobs, ask):
        dead, good = ask(transcript="die"), ask()
        await until(lambda: good.over)
        assert dead.state == "failed" and dead.error.startswith("the process that draws ended (")
        assert good.state == "done"

    working(tmp_path, do)


def test_a_running_job_is_cancelled_and_nothing_of_it_stays(tmp_path):
    async def do(jobs, ask):
        endless, good = ask(transcript="last"), ask()
        await until(lambda: endless.progress == (1, 4))
        await jobs.delete(endless)
        assert endless.state == "cancelled" and not endless.folder.exists() and jobs.get(endless.id) is None
        await until(lambda: good.over)
        assert good.state == "done"

    assert [job.state for job in working(tmp_path, do)] == ["cancelled", "done"]


def test_a_waiting_job_is_cancelled_before_it_begins(tmp_path):
    async def do(jobs, ask):
        endless, waiting = ask(transcript="last"), ask()
        await until(lambda: endless.progress == (1, 4))
        assert jobs.place(waiting) == 1
        await jobs.delete(waiting)
        assert (waiting.state, jobs.waiting, endless.state) == ("cancelled", 0, "running")

    working(tmp_path, do)


def test_a_job_that_is_deleted_while_the_worker_starts_leaves_no_answer_behind(tmp_path):
    async def do(jobs, ask):
        gone = ask(size=1)
        await until(lambda: gone.state == "running")
        await jobs.delete(gone)
        good = ask(size=2)
        await until(lambda: good.over)
        assert json.loads(good.video.read_text())["size"] == 2

    working(tmp_path, do)


def test_the_queue_is_bounded(tmp_path):
    async def do(jobs, ask):
        endless = ask(transcript="last")
        await until(lambda: endless.state == "running")
        ask(), ask()
        for refused in (jobs.check_room, ask):
            with pytest.raises(video_jobs.Busy, match="2 jobs wait already"):
                refused()

    working(tmp_path, do)


def test_videos_are_removed_when_they_have_been_kept(tmp_path):
    async def do(jobs, ask):
        job = ask()
        await until(lambda: job.over)
        assert job.video.exists()
        await until(lambda: jobs.get(job.id) is None)
        assert not job.folder.exists()

    working(tmp_path, do, keep=0.05)
