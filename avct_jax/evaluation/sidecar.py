"""What may lie beside a video: what is said in it, and the image that it was made of.

Beside NAME.mp4: NAME.phonemes.json (the released format) or NAME.phonemes.TextGrid (Praat), and
NAME.portrait.png, .jpg or .webp. The protocols write them; for videos from elsewhere they can be added.
"""

import hashlib
import itertools
import pathlib

import cv2
import numpy as np
from jaxtyping import Int, UInt8

from avct_jax import errors
from avct_jax.data.media import image_io, video_io
from avct_jax.data.phonemes import symbols
from avct_jax.files import atomic_write

SPOKEN = (".phonemes.json", ".phonemes.TextGrid")
PICTURED = (".portrait.png", ".portrait.jpg", ".portrait.jpeg", ".portrait.webp")


def phonemes_of(video: pathlib.Path) -> Int[np.ndarray, " p"] | None:
    """Read what is said in each frame of a video; None where nobody says.

    Raises:
      UserError: the file cannot be understood.
    """
    path = _beside(video, SPOKEN)
    return symbols.labels_from_segments(symbols.read_segments(path)) if path else None


def portrait_of(video: pathlib.Path) -> UInt8[np.ndarray, "h w 3"] | None:
    """Read the image that a video was made of; None where there is none.

    Raises:
      UserError: the file cannot be read.
    """
    path = _beside(video, PICTURED)
    return image_io.read_image(path) if path else None


def stamp(video: pathlib.Path) -> list[str]:
    """Tell whether what lies beside a video is what was there before."""
    found = filter(None, (_beside(video, SPOKEN), _beside(video, PICTURED)))
    return [hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in found]


def write_phonemes(video: pathlib.Path, labels: Int[np.ndarray, " p"]) -> None:
    """Write what is said in each frame of a video beside it."""
    segments, begin = [], 0
    for label, run in itertools.groupby(labels.tolist()):
        end = begin + len(list(run))
        seconds = (time / video_io.FRAME_RATE for time in (begin, end))
        segments.append(symbols.Segment(symbols.SYMBOLS[label], *seconds))
        begin = end
    if segments:
        symbols.write_phoneme_json(video.with_name(video.stem + SPOKEN[0]), segments)


def write_portrait(video: pathlib.Path, image: UInt8[np.ndarray, "h w 3"]) -> None:
    """Write the image that a video was made of beside it."""
    done, content = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise errors.UserError(f"the portrait of {video.name} cannot be written; try another image")
    atomic_write.write(video.with_name(video.stem + PICTURED[0]), content.tobytes())


def _beside(video, endings):
    paths = (video.with_name(video.stem + ending) for ending in endings)
    return next((path for path in paths if path.is_file()), None)
