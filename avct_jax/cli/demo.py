"""`avct demo`: the bundled portrait, an astronaut, speaks the bundled sentence."""

import argparse

from avct_jax.cli import animate

EXAMPLES = """\
examples:
  avct demo
  avct demo --output /tmp/astronaut.mp4 --verbose
"""


def add(subparsers) -> argparse.ArgumentParser:
    """Describe the subcommand; returns its parser."""
    about = "Make an astronaut speak a sentence; both come with the package (the voice is synthesised)."
    parser = subparsers.add_parser(
        "demo",
        help="see it at once: a bundled portrait speaks a bundled sentence",
        description=about,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, landmarks="mediapipe")
    parser.add_argument("--output", default="demo.mp4", metavar="FILE", help="the video (default: demo.mp4)")
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help=".safetensors of `avct convert`; otherwise the one in the package",
    )
    animate.add_image(parser)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    animate.check(arguments)
    from avct_jax import demo

    with demo.sentence() as audio, demo.phonemes() as phonemes:
        asked = {"phonemes": phonemes, "size": arguments.size, "seed": arguments.seed}
        animate.look(arguments, None, None, **asked)
        return animate.animate(arguments, demo.portrait(), audio, **asked)
