"""What is heard of a reply so far: features frame by frame, where somebody speaks, and how loudly."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int16
from scipy import ndimage

from avct_jax.data.speech import speech_features, streaming_features, voice

FRAME = speech_features.FRAME_SAMPLES
AHEAD = streaming_features.AHEAD // FRAME  # frames of audio after a frame, without which it is not heard
QUIET_RUN = voice.SILENCE_RUN
MEMORY = 125  # frames = 5 s, over which background and speech are told from one another
SLACK = 64  # frames more, lest a chunk looks beyond
LATER = 5  # frames after one that its silence hangs on
ENERGY = 0  # column of the features that says how loud it is, standard deviations of the voice
LOUDEST = 3.0  # standard deviations


class Hearing(NamedTuple):
    """The features of a reply's frames, those that are looked at no more left out.

    Attributes:
      stream: what is remembered of the audio.
      rows: features of the frames from `first` on.
      levels: dB of full scale of the last frames, of the reply before too.
      first: number of the first kept frame.
      ended: no frame will follow.
    """

    stream: streaming_features.StreamingState
    rows: Float[np.ndarray, "m 4 columns"]
    levels: Float[np.ndarray, " l"] = np.zeros(0)
    first: int = 0
    ended: bool = False

    @property
    def frames(self) -> int:
        """How many frames have been heard."""
        return self.first + len(self.rows)


def begin(before: Hearing | None = None) -> Hearing:
    """Begin a reply; of the voice is known what one before it told."""
    none = np.zeros((0, speech_features.ROWS_PER_FRAME, speech_features.FEATURES), np.float32)
    if before is None:
        return Hearing(streaming_features.StreamingState(), none)
    return Hearing(streaming_features.StreamingState(estimates=before.stream.estimates), none, before.levels)


def push(
    hearing: Hearing, sound: Int16[np.ndarray, " n"], *, last: bool = False
) -> tuple[Hearing, Float[np.ndarray, "t 4 columns"]]:
    """Hear more of a reply, and return the features of the frames that it makes final.

    Args:
      last: nothing comes after it.
    """
    wav = sound.astype(np.float32) / np.float32(32768)
    stream, rows = streaming_features.push(hearing.stream, wav, last=last)
    heard = np.append(hearing.stream.audio[streaming_features.BACK + 1 :], wav)
    levels = np.append(hearing.levels, _levels(heard, len(rows)))[-MEMORY - SLACK :]
    known = hearing._replace(
        stream=stream, rows=np.concatenate([hearing.rows, rows]), levels=levels, ended=last
    )
    return known, rows


def _levels(wav, frames):
    """dB of full scale, frame by frame, an offset left out."""
    whole = np.pad(wav[: frames * FRAME], (0, max(0, frames * FRAME - len(wav))))
    return voice.levels(whole)[:frames]  # of no frame, too


def forget(hearing: Hearing, frame: int) -> Hearing:
    """Leave out the frames before `frame`."""
    dropped = int(np.clip(frame - hearing.first, 0, len(hearing.rows)))
    return hearing._replace(rows=hearing.rows[dropped:], first=hearing.first + dropped)


def stretch(hearing: Hearing, begin: int, count: int, known: int) -> Float[np.ndarray, "c 4 columns"]:
    """Return the features of frames begin .. begin + count - 1, zeros from frame `known` on and outside of
    what has been heard.
    """
    index = np.arange(begin, begin + count)
    inside = (index >= hearing.first) & (index < min(hearing.frames, known))
    rows = np.zeros((count, *hearing.rows.shape[1:]), np.float32)
    rows[inside] = hearing.rows[index[inside] - hearing.first]
    return rows


def silent(hearing: Hearing, begin: int, count: int, known: int) -> Bool[np.ndarray, " c"]:
    """Frames of begin .. begin + count - 1 in which nobody speaks: voice.silent_frames, of the
    last seconds. What is not known, from frame `known` on or outside of what has been heard, is silent.
    """
    first = begin - QUIET_RUN
    quiet = np.array([_quiet(hearing, frame, known) for frame in range(first, begin + count + QUIET_RUN)])
    return ndimage.binary_opening(quiet, np.ones(QUIET_RUN))[QUIET_RUN:-QUIET_RUN].astype(bool)


def _quiet(hearing, frame, known):
    known = min(known, hearing.frames)
    if not 0 <= frame < known:
        return True
    origin = hearing.frames - len(hearing.levels)  # number of the first level's frame
    around = np.arange(frame - MEMORY + 1, min(frame + LATER + 1, known)) - origin
    levels = hearing.levels[around[around >= 0]]
    return frame - origin < 0 or hearing.levels[frame - origin] < voice.quiet_below(levels)


def loudness(features: Float[np.ndarray, "t 4 columns"]) -> Float[np.ndarray, " t"]:
    """How loud a voice is in each frame, in its own standard deviations; 0 where nobody speaks."""
    active = features[..., streaming_features.ACTIVE] > 0
    level = np.where(active, features[..., ENERGY], 0).sum(1) / np.maximum(active.sum(1), 1)
    return np.clip(level, -LOUDEST, LOUDEST)
