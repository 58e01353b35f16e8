"""`avct export`: a portrait's programs, to run where there is JAX and none of this package."""

import dataclasses
from typing import Annotated, Literal

import tyro

from avct_jax.cli import option
from avct_jax.cli.commands import animate

EXAMPLES = """
examples:
  avct export --image face.jpg --output face
  avct export --image face.jpg --output face --size 256 --frames 4 --platforms cpu cuda

DIR/programs.json names every input and output, with shape and unit. In Python, with jax alone:
  draw = jax.export.deserialize(bytearray(open("face/draw.jax", "rb").read())).call
  frames, = draw(speech, blink, gaze, rotation, shift, brow)
The .mlirbc files are the same programs as portable StableHLO bytecode, for other runtimes.
"""

Platform = Literal["cpu", "cuda", "rocm", "tpu"]


@dataclasses.dataclass(frozen=True)
class Options:
    """Write the programs that animate a portrait, weights and portrait in them.

    Attributes:
      image: a portrait: jpg, png, webp, ...
      output: folder of the programs; made if missing
      format: of the programs
      frames: that a call draws (default: 8 of the mesh, 16 of learned keypoints)
      size: side of the frames, 256 to 1024, even (default: as large as the head is, 512 at most)
      platforms: where they will run, of cpu, cuda, rocm and tpu; one file is for all that are named
    """

    image: option.File
    output: option.Folder
    format: Literal["stablehlo"] = "stablehlo"
    frames: option.MaybePositive = None
    size: Annotated[option.MaybePositive, option.shown_as("PX")] = None
    platforms: Annotated[tuple[Platform, ...], tyro.conf.arg(metavar="NAME ...")] = ("cpu",)
    network: animate.NetworkOptions = animate.NetworkOptions()
    shown: option.Shown = option.Shown()


def run(options: Options) -> int:
    """Do it."""
    from avct_jax.data.media import video_io

    video_io.check_readable(options.image)
    from avct_jax import compile_cache
    from avct_jax.cli import terminal

    compile_cache.enable()
    from avct_jax.animator import factory
    from avct_jax.convert import stablehlo

    stablehlo.check(options.output, options.platforms)
    animator = factory.load(options.network.checkpoint, landmarks=options.network.landmarks)
    files = stablehlo.export(
        animator,
        options.image,
        options.output,
        frames=options.frames,
        size=options.size,
        platforms=options.platforms,
    )
    if not options.shown.quiet:
        terminal.show(f"wrote {', '.join(files)} in {options.output}")
    return 0
