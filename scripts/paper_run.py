"""The paper's own run, from raw videos to its tables: what is done in which order, here or under SLURM.

  python scripts/paper_run.py --videos /data/videos --people people.csv --speaker obama \\
      --vgg vgg19-dcbb9e9d.pth --output /data/paper               prints the commands, in order
  python scripts/paper_run.py ... --here                          runs them, one after the other
  python scripts/paper_run.py ... --slurm --nodes 1               hands them to sbatch, in the order of need

Each command goes on where it was when it is given again, and so does the whole. `--preset tiny` tries all of
it on a few short videos in minutes, and learns nothing. docs/how-to/paper-run.md: what it takes and costs.
"""

import argparse
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

HERE = pathlib.Path(__file__).parent
SHARDS, TRAIN = (str(HERE / "slurm" / name) for name in ("shards.sbatch", "train.sbatch"))
STAGES = {"renderer": (), "sync": (), "head-motion": (), "avct": ("renderer", "sync")}
SEES_VGG = ("renderer", "avct")
PROTOCOLS = ("one-shot", "speech", "reenactment", "strangers")


class Step(NamedTuple):
    """A command.

    Attributes:
      name: of the step, and of its job.
      words: what follows `avct`.
      after: steps that it needs.
      kind: "train": on GPUs, by all processes together; "shards": divided over machines, then put together;
        "one": one process, on a GPU where there is one.
    """

    name: str
    words: tuple[str, ...]
    after: tuple[str, ...]
    kind: str


def plan(options: argparse.Namespace) -> list[Step]:
    """All steps, each after those that it needs."""
    output = pathlib.Path(options.output)
    clips, run, weights = (str(output / name) for name in ("clips", "run", "avct.safetensors"))
    read = ["preprocess", options.videos, "--people", options.people, "--speaker", options.speaker]
    read += ["--words", options.words] * bool(options.words)
    steps = [Step("preprocess", (*read, "--output", clips), (), "shards")]
    for stage, needs in STAGES.items():
        words = ["train", stage, "--preset", options.preset, "--clips", clips, "--run", run]
        words += ["--vgg", options.vgg] * bool(options.vgg and stage in SEES_VGG)
        words += ["--steps", str(options.steps)] * bool(options.steps)
        steps.append(Step(stage, tuple(words), ("preprocess", *needs), "train"))
    export = ("train", "export", "--run", run, "--output", weights)
    steps.append(Step("export", export, tuple(STAGES), "one"))
    scorers = [f"--{name}={file}" for name in ("fid", "syncnet") if (file := getattr(options, name))]
    for protocol in options.protocols:
        words = ("evaluate", "--protocol", protocol, "--clips", clips, "--checkpoint", weights)
        report = ("--output", str(output / f"report-{protocol}"), *scorers)
        steps.append(Step(f"evaluate-{protocol}", (*words, *report), ("export",), "shards"))
    if options.ablations:
        rows = ("ablate", "--preset", options.preset, "--clips", clips, "--run", str(output / "ablation"))
        shared = ("--init", weights, "--sync", str(pathlib.Path(run) / "sync.safetensors"))
        vgg = ("--vgg", options.vgg) if options.vgg else ()
        words = (*rows, *shared, *vgg, "--output", str(output / "report-ablation"), *scorers)
        steps.append(Step("ablate", words, ("export",), "one"))
    return steps


def submit(steps: Sequence[Step], options: argparse.Namespace, sbatch=None) -> dict[str, str]:
    """Hand all to SLURM; returns the number of each step's job.

    Args:
      sbatch: takes sbatch's words and returns the job's number.
    """
    sbatch = sbatch or _sbatch
    jobs: dict[str, str] = {}
    for step in steps:
        after = [f"--dependency=afterok:{':'.join(jobs[name] for name in step.after)}"] if step.after else []
        named = [f"--job-name=avct-{step.name}", *after]
        if step.kind == "train":
            jobs[step.name] = sbatch([*named, f"--nodes={options.nodes}", TRAIN, *step.words[1:]])
        elif step.kind == "shards":
            parts = sbatch([*named, f"--array=1-{options.shards}", SHARDS, *step.words])
            together = [f"--job-name=avct-{step.name}", f"--dependency=afterany:{parts}"]
            jobs[step.name] = sbatch([*together, SHARDS, *step.words])
        else:
            jobs[step.name] = sbatch([*named, f"--gpus={options.gpus}", SHARDS, *step.words])
        print(f"{step.name}: job {jobs[step.name]}", flush=True)
    return jobs


def _sbatch(words: list[str]) -> str:
    done = subprocess.run(["sbatch", "--parsable", *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"sbatch refused {shlex.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip().split(";")[0]


def do(steps: Sequence[Step]) -> None:
    """Run all here; what fails ends it, and the same command goes on from there."""
    for step in steps:
        print(f"== {step.name}: avct {shlex.join(step.words)}", flush=True)
        done = subprocess.run([sys.executable, "-m", "avct_jax", *step.words])
        if done.returncode:
            sys.exit(f"{step.name} ended with {done.returncode}; the same command goes on from there")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--videos", required=True, help="folder of raw videos, many people's and the speaker's")
    add("--people", required=True, help="CSV of who is seen: columns file, person")
    add("--speaker", required=True, help="the person whose speech E_avct and E_h learn")
    add("--words", help="CSV of what the speaker says when; recognised without it")
    add("--vgg", help="torchvision's vgg19-dcbb9e9d.pth, for the perceptual losses")
    add("--fid", help="the FID network, for the tables")
    add("--syncnet", help="syncnet_v2.model, for the tables")
    add("--output", required=True, help="folder of clips, run, checkpoint and reports")
    add("--preset", choices=("paper", "tiny"), default="paper")
    add("--steps", type=int, help="of each training (default: the preset's)")
    add("--protocols", nargs="*", default=PROTOCOLS, help="tables (default: %(default)s)")
    add("--ablations", action="store_true", help="also train and measure the rows of Table 2")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--here", action="store_true", help="run all on this machine")
    how.add_argument("--slurm", action="store_true", help="hand all to sbatch")
    add("--nodes", type=int, default=1, help="machines of a training (default: 1)")
    add("--gpus", type=int, default=8, help="of a step on one machine (default: 8)")
    add("--shards", type=int, default=64, help="parts of what is divided over machines (default: 64)")
    options = parser.parse_args(words)
    if options.preset == "paper" and not options.vgg:
        parser.error("--preset paper needs --vgg, torchvision's vgg19-dcbb9e9d.pth")
    return options


def main() -> None:
    """Print, run or submit."""
    options = parse()
    steps = plan(options)
    if options.here:
        do(steps)
    elif options.slurm:
        submit(steps, options)
    else:
        print("\n".join(f"avct {shlex.join(step.words)}" for step in steps))


if __name__ == "__main__":
    main()
