"""The file of a film, looked at before the work begins."""

import os

from avct_jax import arguments, errors
from avct_jax.animator import options
from avct_jax.data.media import video_io


def check(video: options.Image) -> None:
    """Refuse what is no file of a video.

    Raises:
      UserError: so it is, or it cannot be read.
    """
    if not arguments.is_path(video):
        raise errors.UserError("a film is wanted and something in memory is given; give the file of a video")
    if not video_io.probe(video).has_video:
        raise errors.UserError(f"{os.fspath(video)!r} holds no video; give a film, or a portrait by --image")
