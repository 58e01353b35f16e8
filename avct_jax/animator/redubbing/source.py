"""The file of a film, looked at before the work begins."""

import os
import re

from avct_jax import arguments, errors
from avct_jax.animator import options
from avct_jax.data.media import video_io

STILL = re.compile(r"_pipe$|^image2$")  # ffmpeg's names of what reads pictures


def check(video: options.Image) -> None:
    """Refuse what is no file of a video.

    Raises:
      UserError: so it is, or it cannot be read.
    """
    if not arguments.is_path(video):
        raise errors.UserError("a film is wanted and something in memory is given; give the file of a video")
    found, name = video_io.probe(video), repr(os.fspath(video))
    if not found.has_video:
        raise errors.UserError(f"{name} holds no video; give a film, or a portrait by --image")
    if STILL.search(found.kind):
        raise errors.UserError(f"{name} is a picture; give a film, or the picture by --image")
