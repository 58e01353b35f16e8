"""`avct ablate`: what is each part of E_avct worth? (Table 2)"""

import argparse
import dataclasses
import pathlib

from avct_jax.cli import evaluate, option

EXAMPLES = """\
examples:
  avct ablate --clips clips --run ablation --output report --vgg vgg19.npz
  avct ablate --clips clips --run ablation --output report --only full without-phonemes without-audio

Each variant is E_avct trained anew: first by keypoints (--steps), then by equation 2 (--whole-steps), beside
the same frozen keypoint detector, renderer and sync network. Then each animates the speaker's clips that
training never saw, with real head poses, and the videos are measured. A run that is stopped goes on where it
was.
"""


def add(subparsers) -> argparse.ArgumentParser:
    """Describe the subcommand; returns its parser."""
    parser = subparsers.add_parser(
        "ablate",
        help="train and measure the paper's ablations",
        description="Train E_avct without one of its parts at a time, and print the paper's Table 2 of them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--clips", required=True, metavar="DIR", help="folder that `avct preprocess` made")
    parser.add_argument("--run", dest="folder", required=True, metavar="DIR", help="folder of the trainings")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the report")
    what = parser.add_argument_group("what is trained")
    what.add_argument("--only", nargs="+", metavar="VARIANT", help="some of them (default: full and all six)")
    what.add_argument("--preset", choices=("lite", "tiny"), default="lite", help="size (default: lite)")
    what.add_argument(
        "--steps", type=option.positive, metavar="N", help="by keypoints (default: the preset's)"
    )
    what.add_argument(
        "--whole-steps", type=option.positive, metavar="N", help="by equation 2 (default: the preset's)"
    )
    what.add_argument(
        "--init", default="embedded", metavar="FILE", help="shared networks (default: the package's own)"
    )
    what.add_argument("--vgg", metavar="FILE", help="VGG-19 for the perceptual loss")
    judged = parser.add_argument_group("what is measured")
    evaluate.add_networks(judged)
    judged.add_argument(
        "--videos", type=option.positive, default=0, metavar="N", help="at most so many, evenly chosen"
    )
    judged.add_argument(
        "--shown", type=option.positive, default=3, metavar="N", help="videos in the pages (default: 3)"
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    from avct_jax import compile_cache
    from avct_jax.cli import terminal
    from avct_jax.evaluation import ablation
    from avct_jax.evaluation.report import report_files
    from avct_jax.evaluation.scorers import scorers
    from avct_jax.train.core import malloc, sharding

    evaluate.keep_inputs(arguments)
    malloc.keep_freed()
    compile_cache.enable()
    networks = scorers.make(arguments.fid, arguments.syncnet, arguments.sync, arguments.identity)
    path = lambda text: None if text is None else pathlib.Path(text)
    places = ablation.Places(
        pathlib.Path(arguments.clips),
        pathlib.Path(arguments.folder),
        arguments.init,
        path(arguments.sync),
        path(arguments.vgg),
    )
    warm, whole = ablation.RECIPES[arguments.preset]
    if arguments.steps is not None:
        warm = dataclasses.replace(warm, steps=arguments.steps)
    if arguments.whole_steps is not None:
        whole = dataclasses.replace(whole, steps=arguments.whole_steps)
    variants = arguments.only or ablation.VARIANTS
    recipe = ablation.Recipe(warm, whole)
    checkpoints = ablation.train(variants, recipe, places, sharding.make_mesh(0), quiet=arguments.quiet)
    output = pathlib.Path(arguments.output)
    with terminal.going_on_later(), terminal.task_bar(quiet=arguments.quiet) as show:
        report, generated, real = ablation.score(
            checkpoints, places.clips, output, networks, videos=arguments.videos, show=show
        )
    report_files.write(report, generated, real, output, arguments.shown)
    terminal.show(ablation.table(report))
    if not arguments.quiet:
        terminal.show(f"wrote {output / 'report.html'}")
    return 0
