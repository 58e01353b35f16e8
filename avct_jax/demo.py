"""A portrait and a sentence that anyone may use, to see the whole at work at once.

The portrait is scikit-image's astronaut: Eileen Collins, photographed by NASA, public domain. The sentence
was spoken by a speech synthesiser, hibari-tts 0.2.1 (Apache-2.0): no person's voice.
"""

import contextlib
import importlib.resources
import pathlib
from typing import Any

import numpy as np
from jaxtyping import UInt8

from avct_jax import errors


def portrait() -> UInt8[np.ndarray, "h w 3"]:
    """Return the astronaut, RGB.

    Raises:
      UserError: scikit-image, which carries it, is not installed.
    """
    try:
        import skimage.data
    except ImportError:
        raise errors.UserError(
            "the demo's portrait is in scikit-image, which is not installed; pip install 'avct-jax[demo]'"
        ) from None
    return np.asarray(skimage.data.astronaut())


def sentence() -> contextlib.AbstractContextManager[pathlib.Path]:
    """Give the path of the spoken sentence, 16 kHz mono, while the context is open."""
    return importlib.resources.as_file(_assets() / "sentence.flac")


def transcript() -> str:
    """Return what the sentence says."""
    return (_assets() / "sentence.txt").read_text(encoding="utf-8").strip()


def _assets() -> Any:
    return importlib.resources.files("avct_jax") / "assets"
