"""Audio as samples, 16 kHz mono and full scale = 1: read from files, or taken from memory."""

import logging
import numbers
import os
from typing import Any

import numpy as np
from jaxtyping import Float

from avct_jax import arguments, errors
from avct_jax.data.media import soundtrack
from avct_jax.data.speech import speech_features

SAMPLE_RATE = speech_features.SAMPLE_RATE  # samples/s
WHOLE = {("u", 1), ("i", 2), ("i", 4)}  # samples as wav files have them
LOUDEST = 8.0  # of full scale: floats may overshoot; far more are whole numbers under another name
PAIRED = ([True, False], [False, True])  # a rate and samples, as scipy and soundfile give them

_log = logging.getLogger(__name__)


def read_audio(
    path: str | os.PathLike, *, sample_rate: int = SAMPLE_RATE, track: int | None = None
) -> Float[np.ndarray, "n"]:
    """Read the audio of any file that ffmpeg knows, a video's too, from the file's time 0 on.

    Channels are averaged, other rates resampled (soxr). Damage, and what is heard where that is not the first
    track and all of its channels, are logged; see `soundtrack.listen`.

    Args:
      path: an audio or video file; never seen by a shell, so any name will do.
      sample_rate: samples/s of the answer.
      track: which of several audio tracks, from 1; by default the first in which there is something to hear.

    Returns:
      samples, full scale = 1, float32.

    Raises:
      UserError: missing, a folder, empty, not readable as audio, without audio, or shorter than 40 ms.
    """
    return read_heard(path, sample_rate=sample_rate, track=track).samples


def read_heard(
    path: str | os.PathLike, *, sample_rate: int = SAMPLE_RATE, track: int | None = None
) -> soundtrack.DecodedAudio:
    """`read_audio`, and which track and channel it was: what a video of this audio has to hold."""
    heard = soundtrack.listen(path, sample_rate=sample_rate, number=None if track is None else track - 1)
    if len(heard.samples) * speech_features.FRAME_RATE < sample_rate:
        milliseconds = 1000 * len(heard.samples) / sample_rate
        raise errors.UserError(
            f"{path}: {milliseconds:.4g} ms of sound; at least 40 ms are needed, give a longer recording"
        )
    return heard


def from_samples(given: Any) -> Float[np.ndarray, "n"]:
    """Take a recording that is in memory: mono, 16 kHz, whole numbers of full scale or floats of -1 to 1.

    Raises:
      UserError: not one row of numbers, shorter than 40 ms, whole numbers whose full scale nobody knows (as
        a list's are), or floats far beyond 1.
    """
    if isinstance(given, tuple | list) and [isinstance(x, numbers.Real) for x in given] in PAIRED:
        raise errors.UserError(
            "a sound with its rate is given; give the samples alone, resampled to 16 000 a second"
        )
    samples = arguments.array(given, "a sound")
    if samples.ndim != 1 or samples.dtype.kind not in "iuf":
        raise errors.UserError(
            f"a sound of {samples.dtype} and shape {samples.shape} is given; it must be one row of samples, "
            "16 000 a second"
        )
    if len(samples) < (least := speech_features.FRAME_SAMPLES):
        raise errors.UserError(f"{len(samples)} samples of sound are given; {least} are the least")
    if samples.dtype.kind != "f" and (samples.dtype.kind, samples.dtype.itemsize) not in WHOLE:
        raise errors.UserError(
            f"a sound of {samples.dtype} is given, whose full scale is unknown; give floats of -1 to 1, "
            "or int16"
        )
    if samples.dtype.kind == "f":
        if lost := int((~np.isfinite(samples)).sum()):
            _log.warning("samples are given that are no numbers (NaN, Inf), %d in all: they are silent", lost)
            samples = np.where(np.isfinite(samples), samples, 0)
        if (top := float(np.abs(samples).max())) > LOUDEST:
            raise errors.UserError(
                f"a sound of {samples.dtype} up to {top:.4g} is given; divide it: floats go from -1 to 1"
            )
        return samples.astype(np.float32)
    scale = 2.0 ** (8 * samples.dtype.itemsize - 1)
    return ((samples - (scale if samples.dtype.kind == "u" else 0.0)) / scale).astype(np.float32)


def map_audio(path: str | os.PathLike) -> Float[np.ndarray, "n"]:
    """What `read_audio` reads, on disk until it is looked at.

    Raises:
      UserError: as read_audio; or the disk is full.
    """
    return soundtrack.listen(path, sample_rate=SAMPLE_RATE, on_disk=True).samples
