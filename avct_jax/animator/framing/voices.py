"""Several sounds for several faces: each is heard alone, and the video holds all of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import soxr
from jaxtyping import Float

from avct_jax import arguments, errors
from avct_jax.animator import options
from avct_jax.data.media import soundtrack
from avct_jax.data.speech import audio_io, mesh_features, voice

RATE = 48000  # samples/s of mixed sounds


def listed(audio: options.Audio) -> list[Any] | None:
    """Return the sounds of a list of them; None where one is given, be it a list of samples.

    A list's items are what `Animator.animate` takes for one, or None for a face that only listens.
    """
    if not isinstance(audio, list | tuple) or not audio:
        return None
    sound = lambda x: x is None or arguments.is_path(x) or np.ndim(x) == 1
    return list(audio) if all(map(sound, audio)) else None


def each(audio: options.Audio) -> list[Any]:
    """Return all sounds that are given."""
    several = listed(audio)
    return [audio] if several is None else [one for one in several if one is not None]


def check_faces(several: Sequence[Any] | None, faces: int) -> None:
    """Refuse other than one sound a face.

    Args:
      several: sounds, None for who listens; None: one for all.

    Raises:
      UserError: so it is.
    """
    if several and len(several) != faces:
        raise errors.UserError(
            f"{len(several)} sounds are given and {faces} faces are seen; give one sound a face from left to "
            "right, none for one that listens, or one sound for all"
        )


def taken(audio: options.Audio) -> options.Audio:
    """Bring sounds that are in memory to their form; a list of one sound is that sound.

    Raises:
      UserError: one is of another kind, or a list holds none.
    """
    several = listed(audio)
    if several is None:
        return audio if arguments.is_path(audio) else audio_io.from_samples(audio)
    if not any(one is not None for one in several):
        raise errors.UserError("no sound is given; give a recording for one face at least")
    if len(several) == 1:
        return taken(several[0])
    return [one if one is None else taken(one) for one in several]


def extended(speech: voice.Speech, frames: int) -> voice.Speech:
    """Let silence follow until there are so many frames."""
    more = frames - len(speech.silent)
    if more <= 0:
        return speech
    rest = mesh_features.silence(more)
    # Where the last frame lacks samples, it gets them.
    whole = frames * len(rest.samples) // more
    fields: Any = zip(speech[1:], rest[1:], strict=True)
    return voice.Speech(
        np.pad(speech.samples, (0, whole - len(speech.samples))), *(np.concatenate(pair) for pair in fields)
    )


def mixed(sources: Sequence[Any]) -> soundtrack.SampledAudio:
    """Add sounds, as long as the longest of them.

    Args:
      sources: of each, which track of a file is heard, or samples at 16 kHz.

    Raises:
      UserError: one cannot be read.
    """
    parts = [_samples(source) for source in sources]
    total = np.zeros(max(map(len, parts)), np.float32)
    for part in parts:
        total[: len(part)] += part
    return soundtrack.SampledAudio(total / max(1.0, float(np.abs(total).max())), RATE)


def _samples(source: soundtrack.AudioTrack | Float[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    if isinstance(source, np.ndarray):
        return soxr.resample(source, audio_io.SAMPLE_RATE, RATE).astype(np.float32)
    return soundtrack.listen(source.path, sample_rate=RATE, number=source.number).samples
