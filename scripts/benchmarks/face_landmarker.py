"""Milliseconds a frame of the landmark network on CPUs: tflite in ai-edge-litert beside the jitted Flax one.

  python scripts/benchmarks/face_landmarker.py --json landmarker.json     about a minute

face_detector.py's way of tracking was chosen by this. Each number of threads has its own process, bound to so
many cores; both ways take turns, and the fastest turn counts. ai-edge-litert takes one frame at a time: the
file's batch is fixed at 1.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

BATCHES = (1, 16)


def measure(threads: int, turns: int) -> list[dict[str, Any]]:
    """Time both ways with so many threads, in this process, which has not imported JAX yet."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    import jax
    import numpy as np

    from avct_jax.data.faces import face_detector
    from avct_jax.models.frozen import face_landmarker

    variables = face_landmarker.read_variables("landmarks")
    flax_network = jax.jit(face_landmarker.NETWORKS["landmarks"].apply)
    landmarker = face_detector.FaceLandmarker(num_threads=threads)
    rows = []
    for batch in BATCHES:
        frames = np.random.default_rng(0).uniform(size=(batch, 256, 256, 3)).astype(np.float32)
        ways = {
            "litert": lambda frames=frames: [landmarker.run_landmark_network(frame) for frame in frames],
            "flax": lambda frames=frames: jax.block_until_ready(flax_network(variables, frames)),
        }
        best = {name: 1e3 * seconds / batch for name, seconds in fastest(ways, turns).items()}
        rows.append({"threads": threads, "batch": batch, **best, "ratio": best["flax"] / best["litert"]})
    return rows


def fastest(ways: dict[str, Callable[[], Any]], turns: int) -> dict[str, float]:
    """Run each way in turn and return the seconds of its fastest turn; the first one is not counted."""
    best = dict.fromkeys(ways, float("inf"))
    for turn in range(turns + 1):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            if turn:
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file too")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(arguments.threads[0], arguments.turns)))
        return
    rows = []
    for threads in arguments.threads:
        command = [
            sys.executable,
            __file__,
            "--child",
            "--threads",
            str(threads),
            "--turns",
            str(arguments.turns),
        ]
        environment = os.environ | {"JAX_PLATFORMS": "cpu"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        rows += json.loads(done.stdout.splitlines()[-1])
    print("threads  batch  litert ms  flax ms  flax / litert")
    for row in rows:
        print("{threads:7}  {batch:5}  {litert:9.2f}  {flax:7.2f}  {ratio:13.2f}".format(**row))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
