"""`avct demo`: scikit-image's astronaut speaks the bundled sentence."""

import argparse

from avct_jax.cli import animate

EXAMPLES = """\
examples:
  avct demo
  avct demo --output /tmp/astronaut.mp4 --verbose
"""


def add(subparsers) -> argparse.ArgumentParser:
    """Describe the subcommand; returns its parser."""
    about = (
        "Make scikit-image's astronaut speak a sentence that comes with the package (a synthesised voice).\n"
        "Needs the extra `demo`: pip install 'avct-jax[demo]'."
    )
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

    image = demo.portrait()
    with demo.sentence() as audio:
        options = {"size": arguments.size, "seed": arguments.seed}
        return animate.animate(arguments, image, audio, transcript=demo.transcript(), **options)
