"""Two shards in one folder, killed at random moments and started again; a process of its own, for it forks.

What decides is real: who makes what, what is kept, what bears its name when. Videos are stand-ins of some
bytes that take their time.
"""

import contextlib
import json
import os
import pathlib
import random
import signal
import sys
import time
import traceback

from avct_jax.animator import base
from avct_jax.data.clips import clip_folder, make_clips, manifest, preprocess
from avct_jax.jobs import animation_job, job_queue
from avct_jax.workers import shard
from tests.workers import light

KILLS = 20
LONGEST = 0.06  # s until one is killed; to do its part takes ten times as long
ITEMS = 12


def kill_at_random(seed, work):
    """Run both shards at once and kill them, until there were KILLS, and then once more to the end."""
    lots, kills = random.Random(seed), 0
    while True:
        children = [_start(work, number) for number in (1, 2)]
        for child in lots.sample(children, 2) if kills < KILLS else ():
            time.sleep(lots.uniform(0, LONGEST))
            os.kill(child, signal.SIGKILL)
        ended = [os.waitpid(child, 0)[1] for child in children]
        kills += ended.count(signal.SIGKILL)
        assert set(ended) <= {0, int(signal.SIGKILL)}, ended
        if ended == [0, 0]:
            return kills


def _start(work, number):
    if child := os.fork():
        return child
    code = 1
    with contextlib.suppress(KeyboardInterrupt):
        try:
            work(shard.Shard(number, 2))
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)


class Toy:
    """An animator whose videos are a few bytes of what it is given."""

    def __init__(self, made):
        self.made = made

    def animate(self, image, audio, output, **told):
        """Write it slowly, and note that."""
        content = f"{pathlib.Path(image).read_text()} {told['seed']}".encode()
        light.write_slowly(output, content)
        with open(self.made, "a") as file:
            file.write(f"{pathlib.Path(output).name}\n")
        return base.Report(1, 0.04, [], {}, seed=told["seed"], size=64)


def jobs(folder):
    """Jobs, whole into "one" and by shards into "two"; returns how many were killed."""
    for name in ("face", "voice"):
        (folder / name).write_text(f"{name} {'of somebody ' * 3}")
    animation_job.look = animation_job.make_folder = lambda job: None

    def run(name, part):
        toy = Toy(folder / f"made in {name}")
        for number in part.of(range(ITEMS)):
            request = base.Request(seed=number)
            output = str(folder / name / f"{number}.mp4")
            files = str(folder / "face"), str(folder / "voice")
            job = animation_job.AnimationJob(*files, output, request=request)
            job_queue.do(job, lambda checkpoint, landmarks: toy)

    return _both(folder, run)


class InThisProcess:
    """An engine that starts nothing."""

    def pool(self):
        """What does one after the other."""
        return lambda work, items, shared, **_: ((item, work(item, shared, print)) for item in items)

    def count(self, asked, usual):
        """One."""
        return 1


def clips(folder):
    """Videos, whole into "one" and by shards into "two"; returns how many were killed."""
    (folder / "in").mkdir()
    for number in range(ITEMS):
        (folder / "in" / f"{number}.mp4").write_text("film")
    make_clips.preprocess = _preprocess
    clip_folder._landmarker = lambda: None
    clip_folder.write_mean_face = lambda *_: {"people": 1, "frames": 1}
    clip_folder.check_offsets = lambda *_, **__: None
    call = lambda name, part: preprocess.preprocess(
        folder / "in", folder / name, audio=False, part=part, by=InThisProcess()
    )
    kills = _both(folder, call)
    call("two", shard.WHOLE)
    return kills


def _preprocess(job, folder, options, landmarker, progress):
    """As make_clips.preprocess ends: two clips in a folder of their own, moved, and the record."""
    with manifest.part_folder(folder, job.name) as part:
        entries = []
        for number in (1, 2):
            name = f"{job.name}_{number:02d}"
            light.write_slowly(part / f"{name}.mp4", name.encode() * 5)
            light.write_slowly(part / f"{name}.npz", job.person.encode())
            entries.append(manifest.Entry(name, job.person, 25, False, job.source, 0, 1, len(name) * 5))
        for entry in entries:
            for suffix in (".mp4", ".npz"):
                os.replace(part / f"{entry.name}{suffix}", folder / f"{entry.name}{suffix}")
        made = make_clips.made_with(job, options), tuple(entries), ()
        manifest.write_record(folder, manifest.Record(job.name, job.source, 4, *made))
        with open(folder.parent / f"made in {folder.name}", "a") as file:
            file.write(f"{job.name}\n")
    return manifest.read_records(folder)[job.name]


def _both(folder, run):
    for name in ("one", "two"):
        (folder / name).mkdir()
    run("one", shard.WHOLE)
    return kill_at_random(7, lambda part: run("two", part))


if __name__ == "__main__":
    print(json.dumps({"jobs": jobs, "clips": clips}[sys.argv[1]](pathlib.Path(sys.argv[2]))))
