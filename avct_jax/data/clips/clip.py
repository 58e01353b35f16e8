"""One preprocessed clip: a video of one steady face, and beside it what is known of each of its frames.

NAME.mp4 is 256x256, 25 frames/s; NAME.npz holds the fields of `Clip`, of the video's length but for `mel`.
"""

import functools
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float16, Float32, Int8, UInt8

from avct_jax import errors
from avct_jax.data.clips import mel_steps
from avct_jax.data.faces import crop, face_detector
from avct_jax.data.media import video_io
from avct_jax.data.phonemes import recognition
from avct_jax.data.phonemes import symbols as phonemes
from avct_jax.data.speech import speech_features, voice
from avct_jax.files import array_file, atomic_write

REMEDY = "preprocess it again"
VERSION = 2  # of the files; 1 stored the mel image five times over, a window for each frame
CONTENT = 1  # of what they say: clips of another one are made again
SMOOTHED = 5  # frames over which boxes are averaged, as Wav2Lip averages its detections
# One in this many is never trained on.
HELD_OUT_CLIPS, HELD_OUT_PERSONS = 20, 14
SPEECH = ("audio", "mel", "phonemes", "recognised", "silent")

Word = tuple[str, float, float]


class Clip(NamedTuple):
    """What is known of a video of one steady face, t frames at 25 frames/s.

    Attributes:
      points: landmarks, x right, y down in [-1, 1] of the image, corner pixel centres at +-1; z in the same
        scale.
      score: of the landmarks, 0 to 1; 0 where they are interpolated.
      poses: rad and mm.
      mouth_boxes: left, top, right, bottom of the lower half of the face, px of the 256 px image.
      audio: features, 4 rows a frame.
      mel: Wav2Lip's mel image, 80 steps a second, as far as the frames' windows reach (mel_steps.windows).
      phonemes: by the transcript where there is one.
      recognised: by ear alone.
      silent: nobody speaks. These five are None without audio.
      offset: frames by which the lips come after the audio, NaN where unknown.
      in_sync: they belong together.
    """

    points: Float16[np.ndarray, "t 478 3"]
    score: Float32[np.ndarray, " t"]
    poses: Float32[np.ndarray, "t 6"]
    mouth_boxes: Float32[np.ndarray, "t 4"]
    person: str
    audio: Float32[np.ndarray, "t 4 columns"] | None = None
    mel: Float16[np.ndarray, "s 80"] | None = None
    phonemes: Int8[np.ndarray, " t"] | None = None
    recognised: Int8[np.ndarray, " t"] | None = None
    silent: Bool[np.ndarray, " t"] | None = None
    offset: float = float("nan")
    in_sync: bool = False


def held_out(name: str, person: str, *, speaker: str) -> bool:
    """Whether a clip is kept from training: other people as a whole, the speaker's clips one by one.

    By hash, so that the split stays when clips are added.
    """
    word, share = (name, HELD_OUT_CLIPS) if person == speaker else (person, HELD_OUT_PERSONS)
    return int(hashlib.md5(word.encode(errors="surrogateescape")).hexdigest(), 16) % share == 0


def to_unit(points: Float[np.ndarray, "t 478 3"], square: crop.Square) -> Float16[np.ndarray, "t 478 3"]:
    """Express points in px of a video in [-1, 1] of a square of it, -1 and 1 being the outermost pixels."""
    pixels = crop.to_crop(points, square)
    pixels[..., :2] -= 0.5  # pixel centres lie at 0.5
    return (pixels / (crop.SIZE - 1) * 2 - np.array([1, 1, 0])).astype(np.float16)


def mouth_boxes(points: Float[np.ndarray, "t 478 3"]) -> Float32[np.ndarray, "t 4"]:
    """The lower half of each frame's face box, averaged over 5 frames: what Wav2Lip's SyncNet looks at.

    Args:
      points: x, y in px.

    Returns:
      left, top, right, bottom, px.
    """
    low, high = points[..., :2].min(1), points[..., :2].max(1)
    boxes = np.stack([low[:, 0], (low[:, 1] + high[:, 1]) / 2, high[:, 0], high[:, 1]], -1)
    edge = SMOOTHED // 2
    padded = np.pad(boxes, ((edge, edge), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, SMOOTHED, axis=0)
    return windows.mean(-1).astype(np.float32)


def lip_opening(clip: Clip) -> Float32[np.ndarray, " t"]:
    """The distance of the inner lips over the height of the face, in every frame."""
    return face_detector.mouth_opening(clip.points.astype(np.float32))


def listen(
    wav: Float32[np.ndarray, " m"], frames: int, words: Sequence[Word] | None = None
) -> dict[str, np.ndarray]:
    """What is heard in each frame: the fields SPEECH of a clip.

    Args:
      wav: 16 kHz mono, any scale: the level of a recording says nothing.
      words: (word, start, end) in seconds, where they are known.
    """
    speech = voice.hear(
        speech_features.normalised(wav), functools.partial(speech_features.features, frames=frames)
    )
    segments = recognition.recognise(speech.samples, silent=speech.silent)
    recognised = written = phonemes.labels_from_segments(segments, frames)
    if words:
        segments = recognition.segments_from_words(words, speech.samples)
        written = phonemes.labels_from_segments(segments, frames)
    silent = speech.silent[:frames]
    return {
        "audio": speech.audio,
        "mel": mel_steps.of_sound(speech.samples, frames),
        "phonemes": written.astype(np.int8),
        "recognised": recognised.astype(np.int8),
        # An image that goes on after the audio has none.
        "silent": np.pad(silent, (0, frames - len(silent)), constant_values=True),
    }


def save(path: str | os.PathLike, clip: Clip) -> None:
    """Write what is known of a clip; the file appears under its name only when it is whole.

    Raises:
      UserError: the folder is missing, full, or not to be written to.
      ValueError: columns of different lengths.
    """
    path = pathlib.Path(path)
    if wrong := _misfit(clip):
        raise ValueError(f"{path}: {wrong}")
    arrays: dict[str, Any] = {name: value for name, value in clip._asdict().items() if value is not None}
    arrays["offset"] = np.float32(clip.offset)
    with atomic_write.writing(path) as temporary:
        np.savez_compressed(temporary, version=VERSION, **arrays)


def load(path: str | os.PathLike) -> Clip:
    """Read what is known of a clip, NAME.npz, of this version or the one before; nothing in it is executed.

    Raises:
      UserError: no such file, not a clip, a damaged one, or one of another version.
    """
    if not os.path.exists(path):
        raise errors.UserError(f"no clip at {path}; make clips by `avct preprocess`")
    values = array_file.read_npz(path, lambda name: name in (*Clip._fields, "version"), remedy=REMEDY)
    version = _number(values.pop("version", None))
    missing = [name for name in Clip._fields if name not in (*values, *SPEECH)]
    if missing or version not in (1, VERSION):
        lacks = f"lacks {', '.join(missing)}" if missing else f"is of version {version}, not {VERSION} or 1"
        raise errors.UserError(f"{path} is no clip, it {lacks}; preprocess it again")
    try:
        if version == 1 and "mel" in values:
            values["mel"] = mel_steps.of_windows(values["mel"])
        scalars = {"person": str(values["person"]), "offset": float(values["offset"])}
        clip = Clip(**{**values, **scalars, "in_sync": bool(values["in_sync"])})
    except (TypeError, ValueError, IndexError):
        raise errors.UserError(f"{path} is damaged; preprocess it again") from None
    if wrong := _misfit(clip):
        raise errors.UserError(f"{path} is damaged ({wrong}); preprocess it again")
    return clip


def frames(path: str | os.PathLike) -> UInt8[np.ndarray, "t 256 256 3"]:
    """Read the images of a clip, NAME.mp4 or NAME.npz, RGB.

    Raises:
      UserError: no such video, or one that cannot be decoded.
    """
    video = pathlib.Path(path).with_suffix(".mp4")
    return np.stack(list(video_io.read_frames(video, frame_rate=None, size=crop.SIZE)))


def _number(value: Any) -> int:
    """A version; 0 where there is none."""
    return int(value) if value is not None and value.dtype.kind in "iu" and value.ndim == 0 else 0


def _misfit(clip: Clip) -> str:
    """Why the columns do not belong together, or nothing."""
    columns = {name: value for name, value in clip._asdict().items() if isinstance(value, np.ndarray)}
    lengths = {name: len(value) for name, value in columns.items() if name != "mel"}
    if len(set(lengths.values())) != 1:
        return f"columns of different lengths: {lengths}"
    if len({name in columns for name in SPEECH}) != 1:
        return f"of {', '.join(SPEECH)} only some are there"
    if clip.mel is not None:
        most = mel_steps.longest(len(clip.points))
        if clip.mel.shape[1:] != (80,) or not mel_steps.WINDOW <= len(clip.mel) <= most:
            return f"mel of the shape {clip.mel.shape}, not ({mel_steps.WINDOW} to {most}, 80)"
    return ""
