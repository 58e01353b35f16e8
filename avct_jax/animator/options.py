"""What an animation may be told."""

import math
import numbers
import os
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

from avct_jax import arguments, errors
from avct_jax.animator import scales as factors
from avct_jax.data.faces import head_pose
from avct_jax.data.phonemes import recognition
from avct_jax.data.phonemes import symbols as phoneme_labels

Path = str | os.PathLike
Image = Any  # a Path, or what image_io.from_pixels takes
Audio = Any  # a Path, or what audio_io.from_samples takes
Poses = Any  # a Path, or what head_pose.from_array takes
Face = Any  # a number from 1, or a pair of px
Phonemes = Any  # a Path, or what symbols.from_indices takes


class Request(NamedTuple):
    """What `Animator.animate` may be told beside image, audio and output; see there."""

    phonemes: Phonemes | None = None
    transcript: str | None = None
    recogniser: recognition.Method = "auto"
    poses: Poses | None = None
    still: bool = False
    cropped: bool = False
    size: int | None = None
    seed: int | None = None
    audio_track: int | None = None
    head_motion: float = 1.0
    blink: float = 1.0
    mouth: float = 1.0
    face: Face | None = None

    @property
    def scales(self) -> factors.Scales:
        """Factors on what the face does."""
        return factors.Scales(self.head_motion, self.blink, self.mouth)

    def checked(self) -> "Request":
        """Bring what is in memory to its form, and refuse what contradicts itself.

        Raises:
          UserError: something is of another kind, or two of the same kind are given.
        """
        if not isinstance(self.transcript, str | None):
            raise errors.UserError(f"the transcript is {self.transcript!r}; it must be text")
        if self.recogniser not in (known := typing.get_args(recognition.Method)):
            raise errors.UserError(f"the recogniser is {self.recogniser!r}; choose of {', '.join(known)}")
        if self.poses is not None and self.still:
            raise errors.UserError("poses are given and --still is too; leave one of them out")
        asked = scales_of(self.still, *self.scales)
        if self.poses is not None and self.head_motion != 1:
            raise errors.UserError("poses are given and head_motion is too; leave one of them out")
        if self.cropped and self.face is not None:
            raise errors.UserError("a cropped image is taken whole and face is given; leave one of them out")
        if self.phonemes is not None and self.transcript is not None:
            raise errors.UserError("phonemes and a transcript are given; leave one of them out")
        return self._replace(
            phonemes=_taken(self.phonemes, phoneme_labels.from_indices),
            poses=_taken(self.poses, head_pose.from_array),
            size=arguments.whole_number(self.size, "the size"),
            seed=arguments.whole_number(self.seed, "the seed"),
            audio_track=arguments.whole_number(self.audio_track, "the sound track", least=1),
            still=arguments.flag(self.still, "still"),
            cropped=arguments.flag(self.cropped, "cropped"),
            face=face_of(self.face),
            **asked._asdict(),
        )


def scales_of(still: Any, head_motion: Any, blink: Any, mouth: Any) -> factors.Scales:
    """Take factors on what a face does.

    Args:
      still: head_motion is 0.

    Raises:
      UserError: one is of another kind or out of its range, or a head is to be still and to move.
    """
    found = factors.Scales(head_motion, blink, mouth).checked()
    if not arguments.flag(still, "still"):
        return found
    if found.head_motion not in (0, 1):
        raise errors.UserError(
            f"still is given and a head_motion of {head_motion:g} is too; leave one of them out"
        )
    return found._replace(head_motion=0.0)


def face_of(given: Any) -> tuple[float, float] | int | None:
    """Take which face of a picture is meant.

    Args:
      given: its number, from 1; or a place in it, x and y in px; or None.

    Raises:
      UserError: it is something else.
    """
    if given is None or isinstance(given, numbers.Integral):
        return arguments.whole_number(given, "the face", least=1)
    try:
        x, y = (float(value) for value in given)
        if math.isfinite(x) and math.isfinite(y) and not isinstance(given, str):
            return x, y
    except (TypeError, ValueError):
        pass
    raise errors.UserError(f"the face is {given!r}; give its number, from 1, or a place in it, (x, y) in px")


def _taken(given: Any, take: Callable[[Any], Any]) -> Any:
    """What is in memory, as `take` makes it; a path, or None, as it is."""
    return given if given is None or arguments.is_path(given) else take(given)
