"""What may lie beside a film: what is said in it, and the picture that it was made of.

Beside NAME.mp4: NAME.phonemes.json (the released format) or NAME.phonemes.TextGrid (Praat), and
NAME.portrait.png, .jpg or .webp. The protocols write them; for films from elsewhere they can be added.
"""

import hashlib
import itertools
import pathlib

import cv2
import numpy as np
from jaxtyping import Int, UInt8

from avct_jax import errors
from avct_jax.data.media import image, video
from avct_jax.data.phonemes import symbols
from avct_jax.files import atomic_write

SPOKEN = (".phonemes.json", ".phonemes.TextGrid")
PICTURED = (".portrait.png", ".portrait.jpg", ".portrait.jpeg", ".portrait.webp")


def phonemes_of(film: pathlib.Path) -> Int[np.ndarray, " p"] | None:
    """Read what is said in each frame of a film; None where nobody says.

    Raises:
      UserError: the file cannot be understood.
    """
    path = _beside(film, SPOKEN)
    return symbols.labels_from_segments(symbols.read_segments(path)) if path else None


def portrait_of(film: pathlib.Path) -> UInt8[np.ndarray, "h w 3"] | None:
    """Read the picture that a film was made of; None where there is none.

    Raises:
      UserError: the file cannot be read.
    """
    path = _beside(film, PICTURED)
    return image.read_image(path) if path else None


def stamp(film: pathlib.Path) -> list[str]:
    """Tell whether what lies beside a film is what was there before."""
    found = filter(None, (_beside(film, SPOKEN), _beside(film, PICTURED)))
    return [hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in found]


def write_phonemes(film: pathlib.Path, labels: Int[np.ndarray, " p"]) -> None:
    """Write what is said in each frame of a film beside it."""
    segments, begin = [], 0
    for label, run in itertools.groupby(labels.tolist()):
        end = begin + len(list(run))
        seconds = (time / video.FRAME_RATE for time in (begin, end))
        segments.append(symbols.Segment(symbols.SYMBOLS[label], *seconds))
        begin = end
    if segments:
        symbols.write_phoneme_json(film.with_name(film.stem + SPOKEN[0]), segments)


def write_portrait(film: pathlib.Path, picture: UInt8[np.ndarray, "h w 3"]) -> None:
    """Write the picture that a film was made of beside it."""
    done, content = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise errors.UserError(f"the portrait of {film.name} cannot be written; try another picture")
    atomic_write.write(film.with_name(film.stem + PICTURED[0]), content.tobytes())


def _beside(film, endings):
    paths = (film.with_name(film.stem + ending) for ending in endings)
    return next((path for path in paths if path.is_file()), None)
