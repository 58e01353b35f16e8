"""`avct inspect`: what the program sees of a portrait, a sound or a film."""

import dataclasses
import pathlib

from avct_jax import errors
from avct_jax.cli import option

EXAMPLES = """
examples:
  avct inspect face.jpg
  avct inspect speech.wav
  avct inspect face.jpg speech.wav --output seen.png
  avct inspect talk.mp4
"""


@dataclasses.dataclass(frozen=True)
class Options:
    """Say what is seen and heard, and draw it: for when a video is not what you wanted.

    Attributes:
      files: a portrait, a sound, a film, or a portrait and a sound together
      output: the picture (default: FILE_inspected.png, here)
      checkpoint: .safetensors of the mesh family that would animate; otherwise the one in the package
    """

    files: option.SomeFiles
    output: option.MaybeFile = None
    checkpoint: option.MaybeFile = None
    shown: option.Shown = option.Shown()


def run(options: Options) -> int:
    """Do it."""
    if len(options.files) > 2:
        raise errors.UserError(
            f"{len(options.files)} files are given; give one, or a portrait and a sound together"
        )
    output = options.output or f"{pathlib.Path(options.files[0]).stem[:60]}_inspected.png"
    option.check_files(output, *options.files, checkpoint=options.checkpoint)
    from avct_jax import compile_cache
    from avct_jax.cli import terminal
    from avct_jax.files import atomic_write

    compile_cache.enable()
    from avct_jax.inspection import findings, sheet

    found = findings.of_files(options.files, options.checkpoint)
    with atomic_write.writing(output) as path:
        sheet.draw(found).save(path, format="PNG")
    for line in found.lines:
        terminal.show_result(line)
    if not options.shown.quiet:
        terminal.show(f"wrote {output}")
    return 0
