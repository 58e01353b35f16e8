"""`avct demo`: the bundled portrait, an astronaut, speaks the bundled sentence."""

import dataclasses

from avct_jax.cli import option
from avct_jax.cli.commands import animate

EXAMPLES = """
examples:
  avct demo
  avct demo --output /tmp/astronaut.mp4 --verbose
"""


@dataclasses.dataclass(frozen=True)
class Options:
    """Make an astronaut speak a sentence; both come with the package (the voice is synthesised).

    Attributes:
      output: the video
      checkpoint: .safetensors of `avct convert`; otherwise the one in the package
    """

    output: option.File = "demo.mp4"
    checkpoint: option.MaybeFile = None
    video: animate.VideoOptions = animate.VideoOptions()
    shown: option.Shown = option.Shown()


def run(options: Options) -> int:
    """Do it."""
    animate.check(options.output, checkpoint=options.checkpoint)
    from avct_jax import demo
    from avct_jax.animator import base

    networks = animate.NetworkOptions(options.checkpoint)
    with demo.sentence() as audio, demo.phonemes() as phonemes:
        request = base.Request(phonemes, size=options.video.size, seed=options.video.seed)
        animate.look(None, None, options.output, request, networks, options.shown)
        return animate.animate(demo.portrait(), audio, options.output, request, networks, options.shown)
