"""A portrait and a sentence that anyone may use, to see the whole at work at once.

The portrait is Eileen Collins, photographed by NASA, public domain, as scikit-image has it. The sentence
was spoken by a speech synthesiser, hibari-tts 0.2.1 (Apache-2.0): no person's voice. Its phonemes,
assets/sentence.aligned.json, are what `recognition.recognise` made once of the audio and assets/sentence.txt;
so the demo asks no aligner.
"""

import contextlib
import importlib.resources
import pathlib
from typing import Any

import imageio.v3 as iio
import numpy as np
from jaxtyping import UInt8


def portrait() -> UInt8[np.ndarray, "h w 3"]:
    """Return the astronaut, RGB."""
    with (_assets() / "astronaut.webp").open("rb") as file:
        return iio.imread(file, extension=".webp")[..., :3]


def sentence() -> contextlib.AbstractContextManager[pathlib.Path]:
    """Give the path of the spoken sentence, 16 kHz mono, while the context is open."""
    return importlib.resources.as_file(_assets() / "sentence.flac")


def phonemes() -> contextlib.AbstractContextManager[pathlib.Path]:
    """Give the path of the sentence's phonemes, as `--phonemes` takes them, while the context is open."""
    return importlib.resources.as_file(_assets() / "sentence.aligned.json")


def transcript() -> str:
    """Return what the sentence says."""
    return (_assets() / "sentence.txt").read_text(encoding="utf-8").strip()


def _assets() -> Any:
    return importlib.resources.files("avct_jax") / "assets"
