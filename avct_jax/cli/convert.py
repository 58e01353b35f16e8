"""`avct convert`: released weights become a checkpoint that --checkpoint takes."""

import argparse

from avct_jax.cli import option

EXAMPLES = """\
examples:
  avct convert generator.ckpt audio2pose.ckpt --output paper.safetensors
  avct animate --checkpoint paper.safetensors --image face.jpg --audio speech.wav --output talk.mp4

Known files: generator.ckpt and audio2pose.ckpt of the paper, FOMM's vox-cpk.pth.tar, Wav2Lip's
lipsync_expert.pth, syncnet_v2.model, torchvision's vgg19 .pth. Nothing in them is executed.
Animating needs the first two; the others serve training and evaluation.
"""


def add(subparsers) -> argparse.ArgumentParser:
    """Describe the subcommand; returns its parser."""
    parser = subparsers.add_parser(
        "convert",
        help="released weights become a checkpoint that --checkpoint takes",
        description="Read released PyTorch checkpoints and write what they hold as one .safetensors file.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="told apart by their contents, not their names"
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="the .safetensors file to write")
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16"),
        default="float32",
        help="of the stored kernels; float16 takes half the space (default: float32)",
    )
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Do it; 2 when tensors were missing or misshapen and nothing was written."""
    option.check_files(arguments.output, *arguments.files)
    option.tell_overwriting(arguments.output, quiet=arguments.quiet)
    from avct_jax.cli import terminal
    from avct_jax.convert import released

    report = released.convert(arguments.files, arguments.output, dtype=arguments.dtype)
    if report.output is None:
        terminal.tell("\n".join(report.lines()))
        return 2
    if not arguments.quiet:
        terminal.show("\n".join(report.lines()))
    return 0
