"""Everything that can be told to be wrong of a job before it is begun; nothing is written."""

import contextlib
import functools
import logging
import os
import secrets
from collections.abc import Callable, Iterator

from avct_jax import errors
from avct_jax.animator import inputs, options, portrait
from avct_jax.animator.framing import voices
from avct_jax.data.media import image_io, video_io
from avct_jax.data.phonemes import writing_systems
from avct_jax.data.portrait import pictured_face
from avct_jax.data.speech import audio_io, voice
from avct_jax.jobs import animation_job


def problems(job: animation_job.AnimationJob) -> list[str]:
    """Look at a job's files and settings, for a face, sound and a font; returns a line for each problem."""
    found: list[str] = []
    readable = {kind: _told(found, video_io.check_readable, path) for kind, path in job.files.items()}
    _told(found, _writable, job)
    _told(found, animation_job.refuse_overwriting, job)
    _told(found, animation_job.check_font, job)
    usable = _told(found, animation_job.check_checkpoint, job.checkpoint)
    if job.checkpoint and usable:
        _told(found, _load, job.checkpoint)
    shown = readable.get("image", False)
    if all(readable.values()) and usable:
        _told(found, inputs.look, job.image, job.audio, job.request, checkpoint=job.checkpoint,
              landmarks=job.landmarks)  # fmt: skip
    if shown and job.landmarks == "mediapipe" and not job.request.redub:
        _told(found, _face, job.image, job.request.face, job.audio)
    for kind, path in job.files.items():
        if kind.startswith("audio") and readable[kind]:
            _told(found, _sound, path, job.request.audio_track)
    return list(dict.fromkeys(found))


def remarks(job: animation_job.AnimationJob) -> list[str]:
    """Lines about what is no fault but may not be meant; texts to speak are looked at as they are read."""
    said = job.request.transcript
    found = writing_systems.remark(said, job.request.language) if isinstance(said, str) else None
    return [found] if found else []


def _told(found: list[str], check: Callable[..., None], *given, **named) -> bool:
    """Whether a check finds nothing; what it finds is added as a line."""
    try:
        with _silent_log():
            check(*given, **named)
    except errors.UserError as error:
        found.append(" ".join(str(error).split()))
        return False
    return True


@contextlib.contextmanager
def _silent_log() -> Iterator[None]:
    """What is only worth telling is told when the video is made."""
    logger = logging.getLogger("avct_jax")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _writable(job: animation_job.AnimationJob) -> None:
    """Refuse an output that could not be written; folders that are missing would be made."""
    for output in job.outputs:
        folder, name = os.path.split(os.path.realpath(output))
        wanted = folder
        while not os.path.lexists(folder):
            folder = os.path.dirname(folder)
        if not os.path.isdir(folder):
            raise errors.UserError(f"{folder!r} is not a folder; choose another output")
        if folder != wanted or output != job.output:  # a file of that name there is another
            name = f"avct-{secrets.token_hex(8)}{os.path.splitext(job.output)[1]}"
        video_io.check_writable(os.path.join(folder, name))


def _load(checkpoint: str) -> None:
    from avct_jax import weights_file

    weights_file.load(checkpoint, required=None)


@functools.lru_cache(maxsize=1024)
def _faces(image: str) -> int:
    pixels = image_io.read_image(image)
    return len(pictured_face.find_all(pixels, _landmarker()))


@functools.cache
def _landmarker():
    return portrait.landmarker("mediapipe")


def _face(image: str, face: pictured_face.Wanted | None, audio: options.Audio) -> None:
    """Refuse a picture without a face, or with other than as many as sounds are given.

    That a certain one is there was looked at before.
    """
    if face is None and not _faces(image):
        raise errors.UserError(pictured_face.NONE.format(repr(image)))
    if several := voices.listed(audio):
        voices.check_faces(several, _faces(image))


@functools.lru_cache(maxsize=1024)
def _is_silent(audio: str, track: int | None) -> bool:
    return bool(voice.silent_frames(audio_io.read_audio(audio, track=track)).all())


def _sound(audio: str, track: int | None) -> None:
    """Refuse a recording that cannot be decoded, or in which nobody speaks."""
    if _is_silent(audio, track):
        raise errors.UserError(f"{audio!r} is silent: the mouth would stay shut; give a recording of speech")
