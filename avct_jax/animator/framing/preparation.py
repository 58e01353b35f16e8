"""What is told of a whole picture and of its voices, made ready to be drawn."""

from typing import Any

from avct_jax import errors
from avct_jax.animator import base, options, portrait, stopwatch
from avct_jax.animator.framing import scene, voices, whole_picture
from avct_jax.data.speech import mesh_features


def prepare(
    animator: Any,
    image: base.Image,
    audio: base.Audio,
    request: base.Request,
    notes: list[str],
    clock: stopwatch.Stopwatch,
) -> base.PreparedAnimation:
    """Read a picture and the sounds of its faces.

    Args:
      animator: a MeshAnimator.
      audio: one for all faces that speak, or a list of one for each from left to right, None for silence.

    Raises:
      UserError: something cannot be read, or there is not one sound a face.
    """
    several = voices.listed(audio)
    with clock("image"):
        face = options.ALL if several else request.face
        seen = whole_picture.read(image, animator.landmarker, notes, face=face, size=request.size)
        voices.check_faces(several, len(seen.heads))
        _refuse_shared(request, len(seen.heads), several is not None)
        ready, cuts = scene.prepare(animator, seen, request.size, whole_eyes=request.told.shows)
    heard = [
        animator.hear(one, request, notes, clock) if one is not None else None for one in several or [audio]
    ]
    known = [one for one in heard if one is not None]
    count = max(len(speech.silent) for speech, _ in known)
    quiet = mesh_features.silence(count)
    spoken = [quiet if one is None else voices.extended(one[0], count) for one in heard]
    if several:
        for head, one in zip(seen.heads, heard, strict=True):
            if one is not None and len(one[0].silent) < count:
                notes.append(f"face {head.number} has said all after {one[0].seconds:.2f} s and listens")
    with clock("motion"):
        first = portrait.seed_of(cuts[0]) if request.seed is None else request.seed
        tracks = []
        for i, (head, cut) in enumerate(zip(ready.heads, cuts, strict=True)):
            speech = spoken[i] if several else spoken[0]
            seed = portrait.seed_of(cut) if request.seed is None else request.seed + i
            tracks.append(animator.move(speech, head.portrait, request, notes, seed))
    sound = known[0][1] if len(known) == 1 else voices.mixed([source for _, source in known])
    seconds = max(speech.seconds for speech, _ in known)
    return base.PreparedAnimation(ready, tracks, seen.pixels.shape[:2], count, seconds, sound, seed=first)


def _refuse_shared(request: base.Request, faces: int, several: bool) -> None:
    """Refuse what is told of one voice or one head, and would be taken for all."""
    if several:
        for name in ("phonemes", "transcript"):
            if getattr(request, name) is not None:
                raise errors.UserError(f"{name}: of one sound, and several are given; leave {name} out")
    if faces > 1 and request.poses is not None:
        raise errors.UserError(
            f"poses are of one head and {faces} are to move; leave poses out, or pick a face"
        )
