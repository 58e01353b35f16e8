"""What 10, 100 and 1000 hours of clips take of a training process: memory, processor time, and waiting.

python -m scripts.benchmarks.data_scale CLIPS [--hours 10 100 1000] [--workers 0 1 2 4] [--kind pairs]

The hours are simulated: an index of as many clips whose shards are links to those of CLIPS, which are real
records. What is drawn, read and decoded is what a training would; only the disk is not: all shards are the
same few files, and lie in the page cache. The step is a sleep, an accelerator that takes no core. Seconds of
processors are those of all processes, starts left out; they tell more than the clock on a busy machine.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import shutil
import tempfile
import time
from typing import Any

import numpy as np

from avct_jax.data.dataset import batch_types, dataset_index
from avct_jax.data.media import video_io
from avct_jax.data.records import (
    column_shards,
    grain_source,
    image_shards,
    packed_index,
    packing,
    shard_plan,
)

WARM = 4  # batches before anything is measured


def simulate(clips: pathlib.Path, folder: pathlib.Path, hours: float) -> int:
    """Make a folder of so many hours out of a packed one; returns its clips."""
    real = packed_index.open_clips(clips)
    images = image_shards.read_index(clips)
    assert images is not None
    packed = folder / shard_plan.FOLDER
    (packed / "index-simulated").mkdir(parents=True)
    chosen, shard = _spread(real, hours)
    frames = np.diff(real.catalog.begins)[chosen]
    _write_arrays(packed / "index-simulated", real, chosen, shard, frames)
    count, old = int(shard[-1]) + 1, len(real.where.names)
    for number in range(count):
        _link(clips, packed, real.where.names[number % old], images[number % old], number)
    names = [f"{number:06}" for number in range(count)]
    sizes = [real.where.sizes[number % old].tolist() for number in range(count)]
    index = {"version": packed_index.VERSION, "mark": None, "arrays": "index-simulated"}
    index |= {"speaker": real.speaker, "people": real.catalog.people, "size": real.catalog.size}
    index["shards"] = [[name, *size] for name, size in zip(names, sizes, strict=True)]
    (packed / packed_index.FILE).write_text(json.dumps(index))
    listed = {"version": image_shards.VERSION, "mark": None, "shards": names}
    (packed / image_shards.INDEX).write_text(json.dumps(listed))
    return len(chosen)


def _spread(real: packed_index.PackedClips, hours: float) -> tuple[np.ndarray, np.ndarray]:
    """Which real clip each simulated one is, and in which shard it lies."""
    wanted = hours * 3600 * video_io.FRAME_RATE
    own = [np.flatnonzero(real.where.shard == i) for i in range(len(real.where.names))]
    frames = np.diff(real.catalog.begins)
    groups, total = [], 0
    while total < wanted:
        group = np.resize(own[len(groups) % len(own)], shard_plan.CLIPS)
        groups.append(group)
        total += int(frames[group].sum())
    return np.concatenate(groups), np.repeat(np.arange(len(groups)), shard_plan.CLIPS)


def _write_arrays(folder: pathlib.Path, real, chosen, shard, frames) -> None:
    known, where = real.catalog, real.where
    begins = np.concatenate([[0], np.cumsum(frames)])
    arrays = {name: getattr(where, name)[chosen] for name in packed_index.WHERE}
    arrays |= {"shard": shard, "begins": begins}
    arrays["names"] = np.array([f"clip_{number:08}" for number in range(len(chosen))])
    for name in dataset_index.Catalog._fields:
        if name not in (*packed_index.IN_JSON, *arrays, *dataset_index.PER_FRAME):
            arrays[name] = getattr(known, name)[chosen]
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    for name in dataset_index.PER_FRAME:
        column = getattr(known, name)
        parts = [known.of(column, which) for which in range(len(known.names))]
        out: Any = np.lib.format.open_memmap(
            folder / f"{name}.npy", "w+", dtype=column.dtype, shape=(int(begins[-1]),)
        )
        for number, which in enumerate(chosen):
            out[begins[number] : begins[number + 1]] = parts[which]
        out.flush()


def _link(clips: pathlib.Path, packed: pathlib.Path, columns: str, images: str, number: int) -> None:
    for name, suffix in ((columns, column_shards.DATA), (images, image_shards.SUFFIX)):
        (packed / f"{number:06}{suffix}").symlink_to(
            (clips / shard_plan.FOLDER / f"{name}{suffix}").resolve()
        )


def watch(
    folder: str, kind: str, asked: dict[str, Any], workers: int, step: float, batches: int
) -> dict[str, Any]:
    """Take batches as a training does; to be called in a process of its own."""
    import psutil

    begun = time.monotonic()
    opened = grain_source.GrainSource(folder, workers=workers)
    seconds_open = time.monotonic() - begun
    speaker = packed_index.speaker_of(folder)
    config = batch_types.DrawConfig(image_size=asked["size"], speaker=speaker, pose_frames=24)
    made: Any = opened.batches(kind, config, seed=0, batch_size=asked["batch_size"])
    for _ in range(WARM + 2 * workers):
        next(made)
    here = psutil.Process()
    everybody = [here, *here.children(recursive=True)]
    used, begun, waited = _processor(everybody), time.monotonic(), 0.0
    for _ in range(batches):
        asked_at = time.monotonic()
        next(made)
        waited += time.monotonic() - asked_at
        time.sleep(step)
    took, used = time.monotonic() - begun, _processor(everybody) - used
    memory = [
        _memory(process.pid) for process in everybody if "resource_tracker" not in " ".join(process.cmdline())
    ]
    made.close()
    return {
        "clips": len(opened.catalog.names),
        "open_s": seconds_open,
        "examples_per_s": batches * asked["batch_size"] / took,
        "processor_ms_per_example": 1000 * used / batches / asked["batch_size"],
        "waiting_share": waited / took,
        "own_mb": memory[0]["RssAnon"],
        "mapped_mb": memory[0]["RssFile"],
        "workers_own_mb": sum(each["RssAnon"] for each in memory[1:]),
    }


def _processor(processes: list[Any]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _memory(pid: int) -> dict[str, float]:
    """MB by the kernel's names: RssAnon is the process's own, RssFile mapped files, which can be dropped."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    pairs = (line.split(":") for line in lines if line.startswith("Rss"))
    return {name: int(value.split()[0]) / 1024 for name, value in pairs}


def apart(*asked: Any) -> dict[str, Any]:
    """Watch in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1, _not_daemon) as pool:
        return pool.apply(watch, asked)


def _not_daemon() -> None:
    process: Any = multiprocessing.current_process()
    process._config["daemon"] = False  # it has workers of its own


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clips", type=pathlib.Path)
    parser.add_argument("--hours", type=float, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2, 4])
    parser.add_argument("--kind", choices=batch_types.KINDS, default="pairs")
    parser.add_argument("--size", type=int, default=256, help="px")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--step", type=float, nargs="*", default=[0.0, 0.1, 0.4], help="s, of the step")
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    packing.pack(options.clips)
    asked = {"size": options.size, "batch_size": options.batch_size}
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for hours in options.hours:
            folder = pathlib.Path(place) / f"{hours:g}"
            simulate(options.clips, folder, hours)
            runs = (
                [(options.workers[0], 0.0)]
                if hours != options.hours[-1]
                else [(workers, step) for workers in options.workers for step in options.step]
            )
            for workers, step in runs:
                found = apart(str(folder), options.kind, asked, workers, step, options.batches)
                rows.append(
                    {"hours": hours, "kind": options.kind, "workers": workers, "step_s": step, **found}
                )
                print(
                    json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in rows[-1].items()})
                )
            shutil.rmtree(folder)
    if options.json:
        options.json.write_text(json.dumps({"load": os.getloadavg(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
