"""What the engine ray costs beside local processes, and whether a lost machine costs more than time.

python -m scripts.benchmarks.cluster [--jobs 12] [--size 256] [--portraits DIR --voices DIR] [--sheet PNG]

The same videos are made by one process, by two, by two of Ray's actors on this machine, and by Ray on three
nodes of one core each (`ray.cluster_utils`), of which one is killed while it draws. All files are compared
byte for byte with those of the one process. Seconds of processors are those of all processes together, Ray's
own among them, looked at twice a second. Items that do nothing tell what an item costs beside its work.
"""

import argparse
import contextlib
import hashlib
import itertools
import json
import pathlib
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import PIL.Image

from avct_jax import demo
from avct_jax.animator import base
from avct_jax.data.clips import worker_pool
from avct_jax.data.media import video_io
from avct_jax.jobs import animation_job, job_queue
from avct_jax.workers import engine, ray_pool

ITEMS = 500  # that do nothing
NODES = 3
ONE, TWO, RAY, LOST = "one process", "two processes", "ray, two actors", "ray, three nodes, one killed"


def nothing(item: Any, shared: Any, tell: Callable[[int], None]) -> Any:
    """Do nothing."""
    del shared, tell
    return item


class ProcessorTime:
    """Seconds of processors that this process and all below it use while it is entered."""

    def __init__(self):
        self.seconds = 0.0

    def __enter__(self):
        self._known: dict[tuple[int, float], float] = {}
        self._look()
        self._begun = sum(self._known.values())
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._look()
        self.seconds = sum(self._known.values()) - self._begun

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            self._look()

    def _look(self) -> None:
        import psutil

        here = psutil.Process()
        for process in [here, *here.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                used = process.cpu_times()
                self._known[process.pid, process.create_time()] = used.user + used.system


def make_jobs(folder: pathlib.Path, options: argparse.Namespace) -> list[animation_job.AnimationJob]:
    """Name videos of all portraits with all voices in turns; of the demo's where none are given."""
    if options.portraits and options.voices:
        faces = sorted(
            path for path in options.portraits.iterdir() if path.suffix in (".jpg", ".png", ".webp")
        )
        voices = sorted(options.voices.glob("*.wav"))
    else:
        faces, voices = [folder / "portrait.png"], [folder / "sentence.flac"]
        PIL.Image.fromarray(demo.portrait()).save(faces[0])
        with demo.sentence() as path:
            voices[0].write_bytes(path.read_bytes())
    count = range(options.jobs)
    pairs = zip(count, itertools.cycle(faces), itertools.cycle(voices), strict=False)
    return [
        animation_job.AnimationJob(
            str(face),
            str(voice),
            f"{number}.mp4",
            request=base.Request(seed=number, size=options.size, mark=False),
        )
        for number, face, voice in pairs
    ]


@contextlib.contextmanager
def nodes() -> Iterator[Callable[[], None]]:
    """A cluster of three nodes; gives what kills one of them."""
    ray = ray_pool.library()
    from ray import cluster_utils  # pyright: ignore[reportMissingImports]

    quiet = {"include_dashboard": False}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **quiet})
    try:
        workers = [cluster.add_node(num_cpus=1) for _ in range(NODES)]
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield lambda: cluster.remove_node(workers[0], allow_graceful=False)
    finally:
        ray.shutdown()
        cluster.shutdown()


def make(
    jobs: list[animation_job.AnimationJob],
    output: pathlib.Path,
    workers: int,
    by: engine.Engine,
    kill: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Make all videos; kill a node once three are there, and while others are drawn."""
    placed = [job._replace(output=str(output / job.output)) for job in jobs]
    begun, first, made, frames = time.monotonic(), 0.0, 0, 0
    failed = []
    with ProcessorTime() as used:
        for _, answer in job_queue.run(placed, workers=workers, by=by):
            if isinstance(answer, worker_pool.WorkProgress):
                frames += answer.amount
                if kill and made >= 3:
                    kill()
                    kill = None
                continue
            first = first or time.monotonic() - begun
            made += bool(answer.report)
            failed += [answer.failure] if answer.failure else []
    return {
        "seconds": round(time.monotonic() - begun, 1),
        "first": round(first, 1),
        "processor": round(used.seconds, 1),
        "made": made,
        "frames told": frames,
        "failed": failed,
        "killed": kill is None,
    }


def checksums(folder: pathlib.Path) -> dict[str, str]:
    """SHA-256 of the videos."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.mp4"))}


def each(by: engine.Engine) -> dict[str, float]:
    """Seconds to begin, and milliseconds of an item that does nothing, by two workers."""
    begun, times = time.monotonic(), []
    for _ in by.pool()(nothing, range(ITEMS), None, jobs=2):
        times.append(time.monotonic())
    return {
        "begin": round(times[0] - begun, 2),
        "item_ms": round((times[-1] - times[0]) / (ITEMS - 1) * 1000, 2),
    }


def sheet(folder: pathlib.Path, path: pathlib.Path) -> None:
    """A picture of the tenth frame of all videos, 256 px each."""
    shown = []
    for video in sorted(folder.glob("*.mp4")):
        frame = next(itertools.islice(video_io.read_frames(video), 10, None))
        shown.append(np.asarray(PIL.Image.fromarray(frame).resize((256, 256))))
    PIL.Image.fromarray(np.concatenate(shown, 1)).save(path)


def main(words: list[str]) -> None:
    """Measure, and print what came out as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--portraits", type=pathlib.Path)
    parser.add_argument("--voices", type=pathlib.Path)
    parser.add_argument("--sheet", type=pathlib.Path)
    options = parser.parse_args(words)
    ray = engine.parse("ray")
    for name, by in {"local": engine.HERE, "ray": ray}.items():
        print(json.dumps({"empty items": name, **each(by)}), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        jobs = make_jobs(folder, options)
        warm = make(jobs[:1], folder / "warm", 1, engine.HERE)  # programs are kept from here on
        print(json.dumps({"run": "compiling", **warm}), flush=True)
        runs = {ONE: (1, engine.HERE), TWO: (2, engine.HERE), RAY: (2, ray)}
        for run, (workers, by) in runs.items():
            report(run, make(jobs, folder / run, workers, by), folder)
        with nodes() as kill:
            report(LOST, make(jobs, folder / LOST, 0, ray, kill), folder)
        if options.sheet:
            sheet(folder / LOST, options.sheet)


def report(run: str, found: dict[str, Any], folder: pathlib.Path) -> None:
    """Print what came of a run."""
    same = checksums(folder / run) == checksums(folder / ONE)
    left = [path.name for path in (folder / run).iterdir() if path.name.startswith(".avct-")]
    print(json.dumps({"run": run, **found, "same bytes": same, "half-written": left}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
