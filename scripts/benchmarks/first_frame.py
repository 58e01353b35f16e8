"""How long `avct animate` takes, in a new process, until its first frames are handed to the encoder.

python -m scripts.benchmarks.first_frame --runs 3 [--image face.jpg --audio speech.wav --size 512]
python -m scripts.benchmarks.first_frame --before /path/of/another/checkout

Cold: nothing is kept from earlier runs. Warm: a run before has left its programs. Runs of two checkouts
take turns, for a machine's load changes; processor seconds hang less on it than seconds of wall clock, and
the least of several runs least.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import PIL.Image

from avct_jax import demo

ROOT = pathlib.Path(__file__).parent.parent.parent
# What runs in the new process: `avct animate`, ended where its first frames come.
CHILD = """
import json, os, resource, sys, time
from avct_jax.cli import main
from avct_jax.data.media import video_io

def ended(*_):
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    wall = time.time() - float(os.environ["BEGUN"])
    said = {"wall": wall, "cpu": sum(u.ru_utime + u.ru_stime for u in used)}
    print(json.dumps(said), flush=True)
    os._exit(0)

video_io.VideoWriter.write = ended
sys.exit(main.main(sys.argv[1:]))
"""


def measure(root: pathlib.Path, cache: str, words: list[str]) -> dict[str, float]:
    """Run it once with a folder of kept programs; returns seconds of wall clock and of processors."""
    told = {"PYTHONPATH": str(root), "AVCT_CACHE_DIR": cache, "BEGUN": repr(time.time())}
    env = {k: v for k, v in os.environ.items() if k != "AVCT_NO_CACHE"} | told
    done = subprocess.run(
        [sys.executable, "-c", CHILD, "animate", *words], cwd=cache, env=env, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def rows(roots: dict[str, pathlib.Path], words: list[str], runs: int) -> list[dict[str, object]]:
    """Measure checkouts in turns, each cold and then warm."""
    found: list[dict[str, object]] = []
    for _ in range(runs):
        for name, root in roots.items():
            with tempfile.TemporaryDirectory() as cache:
                for kind in ("cold", "warm"):
                    found.append({"of": name, "kind": kind, **measure(root, cache, words)})
    return found


def main() -> None:
    """Print the least of each, and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--image", help="default: the demo's portrait")
    parser.add_argument("--audio", help="default: the demo's sentence")
    parser.add_argument("--size", type=int, default=512, help="side of the video, px")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--before", type=pathlib.Path, help="another checkout to compare with")
    args = parser.parse_args()
    roots = {"before": args.before.resolve()} if args.before else {}
    with tempfile.TemporaryDirectory() as folder, demo.sentence() as sentence:
        image = os.path.join(folder, "portrait.png")
        PIL.Image.fromarray(demo.portrait()).save(image)
        words = [
            "--image",
            os.path.abspath(args.image or image),
            "--audio",
            os.path.abspath(args.audio or sentence),
        ]
        words += ["--size", str(args.size), "--quiet", "--output", os.path.join(folder, "talk.mp4")]
        found = rows(roots | {"now": ROOT}, words, args.runs)
    print("| | wall, s | processors, s |\n|---|---|---|")
    for kind in ("cold", "warm"):
        least = {}
        for name in (*roots, "now"):
            of = [row for row in found if row["of"] == name and row["kind"] == kind]
            least[name] = [min(float(str(row[unit])) for row in of) for unit in ("wall", "cpu")]
            print(f"| {kind}, {name} | " + " | ".join(f"{x:.2f}" for x in least[name]) + " |")
        if roots:
            ratios = [now / before for now, before in zip(least["now"], least["before"], strict=True)]
            print(f"| {kind}, ratio | " + " | ".join(f"{x:.2f}" for x in ratios) + " |")


if __name__ == "__main__":
    main()
