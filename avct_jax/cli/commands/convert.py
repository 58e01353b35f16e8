"""`avct convert`: released weights become a checkpoint that --checkpoint takes."""

import dataclasses
from typing import Literal

from avct_jax.cli import option

EXAMPLES = """
examples:
  avct convert generator.ckpt audio2pose.ckpt --output paper.safetensors
  avct animate --checkpoint paper.safetensors --image face.jpg --audio speech.wav --output talk.mp4

Known files: generator.ckpt and audio2pose.ckpt of the paper, FOMM's vox-cpk.pth.tar, Wav2Lip's
lipsync_expert.pth, syncnet_v2.model, torchvision's vgg19 .pth. Nothing in them is executed.
Animating needs the first two; the others serve training and evaluation.
"""


@dataclasses.dataclass(frozen=True)
class Options:
    """Read released PyTorch checkpoints and write what they hold as one .safetensors file.

    Attributes:
      files: told apart by their contents, not their names
      output: the .safetensors file to write
      dtype: of the stored kernels; float16 takes half the space
    """

    files: option.SomeFiles
    output: option.File
    dtype: Literal["float32", "float16"] = "float32"
    shown: option.Shown = option.Shown()


def run(options: Options) -> int:
    """Do it; 2 when tensors were missing or misshapen and nothing was written."""
    option.check_files(options.output, *options.files)
    option.tell_overwriting(options.output, quiet=options.shown.quiet)
    from avct_jax.cli import terminal
    from avct_jax.convert import released

    report = released.convert(options.files, options.output, dtype=options.dtype)
    if report.output is None:
        terminal.tell("\n".join(report.lines()))
        return 2
    if not options.shown.quiet:
        terminal.show("\n".join(report.lines()))
    return 0
