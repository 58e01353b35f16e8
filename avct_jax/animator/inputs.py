"""What an animation is given, looked at before seconds go into imports of JAX, weights and images."""

import json
from typing import Any

import safetensors

from avct_jax import arguments, errors
from avct_jax.animator import base, options, portrait, scales
from avct_jax.animator.framing import voices
from avct_jax.animator.redubbing import source
from avct_jax.data.direction import driving_video
from avct_jax.data.faces import face_alignment_backend, head_pose
from avct_jax.data.media import image_io, soundtrack
from avct_jax.data.phonemes import decoders, recognition, symbols

SIZES = portrait.SIZES
UNKNOWN = "landmarks {!r} are not known; choose mediapipe or face-alignment"


def look(
    image: base.Image,
    audio: base.Audio,
    request: base.Request,
    *,
    checkpoint: base.Path | None = None,
    landmarks: str = "mediapipe",
) -> None:
    """Refuse what can be told to be wrong at once; what is in memory is left to `Animator.animate`.

    Args:
      image: what `Animator.animate` takes, and so are `audio` and `request`.
      checkpoint: None is the one in the package, of the mesh family.

    Raises:
      UserError: something is of another kind, out of range, or needs what is not installed.
    """
    asked, mesh = request.checked(), True
    if checkpoint is not None:
        mesh, only = _family(checkpoint)
        check_only_size(asked.size, only)
        if mesh is False:
            refuse_for_keypoints(asked)
            scales.refuse_for_keypoints(asked.scales)
            scales.refuse_direction_for_keypoints(asked.told)
    if mesh:
        check_size(asked.size)
    check_landmarks(landmarks, mesh=bool(mesh))
    recognition.check_method(asked.recogniser)
    if asked.transcript is not None:
        recognition.check_transcript(asked.transcript, asked.language)
        decoders.pocketsphinx(*recognition.BY_TRANSCRIPT)
    elif mesh is False and asked.phonemes is None:
        decoders.pocketsphinx()
    if arguments.is_path(asked.phonemes):
        symbols.read_segments(asked.phonemes)
    if arguments.is_path(asked.poses):
        video = driving_video.is_video(asked.poses)
        (driving_video.check if video else head_pose.read_poses)(asked.poses)
    if asked.redub:
        source.check(image)
    elif arguments.is_path(image):
        image_io.check_kind(image)
        if asked.face not in (None, options.ALL) and landmarks == "mediapipe":
            portrait.check_face(image, asked.face)
    base.check_framed(audio, asked)
    for given in filter(arguments.is_path, voices.each(audio)):
        soundtrack.check_tracks(given, asked.audio_track)


def check_size(size: int | None) -> None:
    """Refuse a size that the mesh family cannot draw.

    Raises:
      UserError: it is out of range or odd.
    """
    if size is not None and not (SIZES[0] <= size <= SIZES[1] and size % 2 == 0):
        raise errors.UserError(f"size {size} px must be even and from {SIZES[0]} to {SIZES[1]}; 512 is usual")


def check_only_size(size: int | None, only: int | None) -> None:
    """Refuse a size that a checkpoint of learned keypoints cannot draw.

    Args:
      only: px, that it has; None: not known.

    Raises:
      UserError: it is another one.
    """
    if only is not None and size not in (None, only):
        raise errors.UserError(f"this checkpoint draws {only} px, not {size}; leave --size out")


def refuse_for_keypoints(asked: base.Request) -> None:
    """Refuse whole pictures and films for a checkpoint of learned keypoints.

    Raises:
      UserError: one is asked for.
    """
    if asked.framing != "head":
        raise errors.UserError("a checkpoint of learned keypoints draws a head's square; leave --framing out")
    if asked.redub:
        raise errors.UserError("a checkpoint of learned keypoints redubs no film; give a portrait by --image")


def check_landmarks(name: str, *, mesh: bool) -> None:
    """Refuse finders of faces that are not known, not installed, or not enough for a mesh.

    Raises:
      UserError: so it is.
    """
    if name not in ("mediapipe", "face-alignment"):
        raise errors.UserError(UNKNOWN.format(name))
    if mesh and name != "mediapipe":
        raise errors.UserError(
            f"--landmarks {name} has 68 points, this checkpoint needs the mesh; leave the option out"
        )
    if name == "face-alignment":
        face_alignment_backend.check_installed()


def _family(checkpoint: base.Path) -> tuple[bool | None, int | None]:
    """Whether a checkpoint is of the mesh family, and else its only size (px); None: its header is mute."""
    try:
        with safetensors.safe_open(checkpoint, framework="numpy") as file:
            words: dict[str, Any] = file.metadata() or {}
        mesh, config = words.get("family") == "mesh", json.loads(words.get("config", "{}"))
        only = None if mesh else config.get("image_size")
        return mesh if config else None, only if isinstance(only, int) else None
    except Exception:  # damaged, or another program's: which loading it says
        return None, None
