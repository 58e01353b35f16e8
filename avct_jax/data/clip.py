"""One preprocessed clip in one file: pictures, landmarks, head poses, and what is heard."""

import os
import pathlib
import secrets
import zipfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8

from avct_jax import errors
from avct_jax.data import audio, crop, face, phoneme_recognition, phonemes, pose, video

STORED_SIZE = 160  # px, side of the stored pictures
MARGIN = 1.25  # side of the stored pictures over that of the face's square, so that views can move
INNER_SIZE = STORED_SIZE / MARGIN  # px, of the square that [-1, 1] spans, from centre to centre of its pixels
BLUR = 0.4  # px of the stored picture: low-pass before it is made smaller
LEAST_FACES = 0.8  # share of frames in which the face must be found
SPEECH = ("audio", "phonemes", "recognised", "silent")

Word = tuple[str, float, float]


class Clip(NamedTuple):
    """A clip of one steady face, t frames at 25 frames/s, n of which are kept as pictures.

    frames: RGB, with a margin around the face's square; index: their places in the clip.
    points: landmarks, x right, y down in [-1, 1] of that square, z in the same scale; NaN where no face is.
    score: of the landmarks, 0 to 1. poses: rad and mm. margin: side of the pictures over that of the square.
    audio: features, 4 rows a frame. phonemes: by the transcript where there is one. recognised: by ear alone.
    silent: nobody speaks. The four are None without sound.
    """

    frames: UInt8[np.ndarray, "n s s 3"]
    index: Int[np.ndarray, " n"]
    points: Float32[np.ndarray, "t 468 3"]
    score: Float32[np.ndarray, " t"]
    poses: Float32[np.ndarray, "t 6"]
    person: str
    margin: float = MARGIN
    audio: Float32[np.ndarray, "t 4 41"] | None = None
    phonemes: Int[np.ndarray, " t"] | None = None
    recognised: Int[np.ndarray, " t"] | None = None
    silent: Bool[np.ndarray, " t"] | None = None


def prepare(
    video_path: str | os.PathLike,
    *,
    person: str,
    step: int,
    words: Sequence[Word] | None = None,
    landmarker: face.FaceLandmarker,
    sound: bool = True,
) -> Clip:
    """Track the face of a video, cut its square out, and listen.

    The film is decoded twice: the square is known at its end only, and memory must not grow with its length.

    Args:
      step: every how many frames a picture is kept.
      words: (word, start, end) in seconds, where they are known.
      sound: whether to listen; a film without sound has none anyway.
    Raises:
      UserError: the file cannot be read, or shows no steady face.
    """
    points, score = landmarker.track(video.read_frames(video_path))
    found = float(np.isfinite(points[:, 0, 0]).mean())
    if found < LEAST_FACES:
        raise errors.UserError(
            f"{os.fspath(video_path)}: a face in {found:.0%} of frames, {LEAST_FACES:.0%} are needed; "
            "cut the rest out"
        )
    height, width = video.probe(video_path).size
    square = crop.clip_square(points, (height, width))
    pictures = enumerate(video.read_frames(video_path))
    kept = [(i, cut_with_margin(frame, square)) for i, frame in pictures if i % step == 0 and i < len(points)]
    made = Clip(
        np.stack([picture for _, picture in kept]),
        np.array([i for i, _ in kept]),
        to_square(points, square),
        score,
        pose.track(crop.to_crop(points, square)),
        person,
    )
    if not sound or not video.probe(video_path).has_audio:
        return made
    return made._replace(**listen(audio.read_audio(video_path), len(points), words))


def cut_with_margin(image: UInt8[np.ndarray, "h w 3"], square: crop.Square) -> UInt8[np.ndarray, "s s 3"]:
    """Cut a square and its margin out as STORED_SIZE px; the picture's edge pixels are repeated outside."""
    scale = INNER_SIZE / square.size
    if scale < 1 / 1.3:  # below, four neighbours are enough
        image = cv2.GaussianBlur(image, (0, 0), BLUR / scale)
    edge = (STORED_SIZE - INNER_SIZE) / 2
    # Pixel centres lie at .5: picture (x + .5) -> stored (u + .5)
    shift = [edge - start * scale + 0.5 * scale - 0.5 for start in (square.left, square.top)]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    method = cv2.INTER_LINEAR if scale < 1.6 else cv2.INTER_CUBIC
    size = (STORED_SIZE, STORED_SIZE)
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=method, borderMode=cv2.BORDER_REPLICATE))


def to_square(points: Float32[np.ndarray, "t 468 3"], square: crop.Square) -> Float32[np.ndarray, "t 468 3"]:
    """Express points in px of the picture in [-1, 1] of the square, as the stored pictures' inner pixels."""
    pixels = crop.to_crop(points, square, round(INNER_SIZE))
    pixels[..., :2] -= 0.5
    last = INNER_SIZE - 1
    return (pixels / last * 2 - np.array([1, 1, 0])).astype(np.float32)


def listen(wav: Float32[np.ndarray, " m"], frames: int, words: Sequence[Word] | None = None) -> dict:
    """What is heard in each frame: the fields SPEECH of a clip.

    Args:
      wav: 16 kHz mono, any scale: the level of a recording says nothing.
    """
    wav = wav - wav.mean(dtype=np.float64).astype(np.float32)
    wav = wav / max(float(np.abs(wav).max()), 1e-9)
    features = audio.frame_features(audio.audio_features(wav), frames=frames)
    recognised = phonemes.labels_from_segments(phoneme_recognition.recognise(wav), frames)
    written = recognised
    if words:
        segments = phoneme_recognition.segments_from_words(words, wav)
        written = phonemes.labels_from_segments(segments, frames)
    silent = audio.silent_frames(wav)[:frames]
    # A picture that goes on after the sound has none.
    silent = np.pad(silent, (0, frames - len(silent)), constant_values=True)
    return {"audio": features, "phonemes": written, "recognised": recognised, "silent": silent}


def save(path: str | os.PathLike, clip: Clip) -> None:
    """Write a clip; the file appears under its name only when it is whole.

    Raises:
      UserError: the folder is missing, full, or not to be written to.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}.npz")
    arrays: dict[str, Any] = {name: value for name, value in clip._asdict().items() if value is not None}
    try:
        np.savez(temporary, **arrays)
        os.replace(temporary, path)
    except OSError as error:
        raise errors.UserError(
            f"cannot write {path} ({error.strerror}); free space or choose another folder"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def load(path: str | os.PathLike) -> Clip:
    """Read a clip; nothing in the file is executed.

    Raises:
      UserError: no such file, or not a clip.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            values = {name: file[name] for name in Clip._fields if name in file.files}
    except FileNotFoundError:
        raise errors.UserError(f"no clip at {path}; make clips by scripts/prepare_clips.py") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise errors.UserError(f"{path} is damaged or no clip ({error}); prepare it again") from None
    missing = [name for name in Clip._fields if name not in (*values, "margin", *SPEECH)]
    if missing:
        raise errors.UserError(f"{path} is no clip, it lacks {', '.join(missing)}; prepare it again")
    return Clip(**{**values, "person": str(values["person"]), "margin": float(values.get("margin", MARGIN))})
