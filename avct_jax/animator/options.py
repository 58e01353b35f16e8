"""What an animation may be told."""

import math
import numbers
import os
import typing
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np

from avct_jax import arguments, errors
from avct_jax.animator import scales as factors
from avct_jax.data.direction import blink_times, cues, expressions, gaze, timeline
from avct_jax.data.faces import head_pose
from avct_jax.data.media import subtitles
from avct_jax.data.phonemes import languages, recognition
from avct_jax.data.phonemes import symbols as phoneme_labels
from avct_jax.marks import credentials

Path = str | os.PathLike
Image = Any  # a Path, or what image_io.from_pixels takes
Audio = Any  # a Path, or what audio_io.from_samples takes
Poses = Any  # a Path, or what head_pose.from_array takes
Face = Any  # a number from 1, a pair of px, or "all"
ALL = "all"  # of a picture's faces
Framing = Literal["head", "full"]
Expression = Any  # what expressions.read takes
Gaze = Any  # what gaze.read takes
Blinks = Any  # a Path, or seconds
Cues = Any  # a Path, or what cues.read takes
Captions = Any  # rows of (text, start, end)
Phonemes = Any  # a Path, or what symbols.from_indices takes


class Told(TypedDict, total=False):
    """What `Animator.animate`, `frames` and `prepare` may be told by name.

    Attributes:
      phonemes: a .json of the released format or a Praat TextGrid, or one of the 41 symbols' indices a
        frame; beside what is heard (mesh), or instead of recognising them (keypoints).
      transcript: what is said; `recogniser` aligns it.
      language: of the transcript, a code such as "en" or "de"; others than English need g2p2 (extra
        `languages`) or the program espeak-ng.
      recogniser: how phonemes are found; "auto" takes what is installed and fits.
      poses: .npy (t, 6), OpenFace csv or an array (rad, mm), or a video of one face whose head motion is
        taken, instead of the head motion that is made up; of the mesh family the first is the portrait's own.
      still: the head keeps its pose.
      head_motion: factor on how far the head turns and shifts, 0 to 3; 0 is `still`. Of the mesh family,
        and so are the next two.
      blink: factor on how often the eyes blink, 0 to 4.
      mouth: factor on how far the mouth moves, 0 to 2.
      face: which of several: its number from the left, from 1, or a place in it, (x, y) in px of the
        image; by default the largest. `avct_jax.faces` lists them. "all" where the framing is full.
      redub: the image is a film, whose own mouths speak anew; head, eyes and picture stay the film's. Of the
        mesh family.
      framing: "head", a square around it, or "full", the whole picture. Of the mesh family.
      cropped: the image is a head's square already and is taken whole, as a clip of `avct preprocess`
        must be to compare with the video of it.
      size: side of the video, px: 256 to 1024 of the mesh family, by default the head's size in the
        image and 512 at most; the keypoint family has one only. With framing full, that at which heads are
        drawn.
      seed: decides blinks, gaze and head motion of the mesh family; by default the image does, so two
        faces differ. Without effect where nothing is drawn by lot.
      audio_track: which of a file's audio tracks, from 1; by default the first that is not silent.
      expression: names and values, {"smile": 0.3} or "smile=.3", shown beside speech. Of the mesh family,
        and so are the next three; docs/how-to/direct.md has the names.
      gaze: where the eyes look: "camera", or degrees off it, (right, up); by default made up.
      blinks: seconds at which the eyes blink, or a file of them, instead of made-up times.
      direction: cues {time, what, value, ease}, or a JSON file of them: what changes over the film.
      subtitles: a .srt or .vtt file of what is said, written beside the video; or "burn": drawn into it.
      mark: the frames bear an imperceptible watermark that says they are synthetic, and a file signed
        Content Credentials; the law of the European Union asks for both, see docs/how-to/marks.md.
      label: the letters AI are drawn into a corner.
      consent: who agreed to be shown so, and how; it goes into the credentials.
      certificate: a PEM file of those that sign the credentials, and `key` that of the first; by default this
        installation signs with a key that it makes for itself.
      key: a PEM file, or a function that signs bytes (of a key that is kept elsewhere).
      timestamp: address of a time-stamping authority that is asked to date the credentials.
      original: the file that the image was made of: the credentials tell of it, and keep its own; by default
        the image is it.
      original_audio: the file that the sound was made of (decoded, cut): credentials tell its checksum; by
        default that of the sound.
      captions: what is said when, rows of (text, start, end) in seconds, for subtitles; by default the
        transcript's words where they are heard.
    """

    phonemes: Phonemes | None
    transcript: str | None
    recogniser: recognition.Method
    poses: Poses | None
    still: bool
    cropped: bool
    size: int | None
    seed: int | None
    audio_track: int | None
    head_motion: float
    blink: float
    mouth: float
    face: Face | None
    language: str
    framing: Framing
    redub: bool
    expression: Expression | None
    gaze: Gaze | None
    blinks: Blinks | None
    direction: Cues | None
    subtitles: Path | None
    captions: Captions | None
    mark: bool
    label: bool
    consent: str | None
    certificate: Path | None
    key: Any
    timestamp: str | None
    original: Path | None
    original_audio: Path | None


class Request(NamedTuple):
    """What `Animator.animate` is told beside image, audio and output, and what is usual; see `Told`."""

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
    language: str = languages.ENGLISH
    framing: Framing = "head"
    redub: bool = False
    expression: Expression | None = None
    gaze: Gaze | None = None
    blinks: Blinks | None = None
    direction: Cues | None = None
    subtitles: Path | None = None
    captions: Captions | None = None
    mark: bool = True
    label: bool = False
    consent: str | None = None
    certificate: Path | None = None
    key: Any = None
    timestamp: str | None = None
    original: Path | None = None
    original_audio: Path | None = None

    @property
    def told(self) -> timeline.FaceDirection:
        """What is directed beside factors, of a request that is `checked`.

        Raises:
          UserError: something is of another kind, out of range, or twice there.
        """
        found = timeline.FaceDirection(
            {} if self.expression is None else expressions.read(self.expression),
            None if self.gaze is None else gaze.read(self.gaze),
            None if self.blinks is None else blink_times.read(self.blinks),
            () if self.direction is None else cues.read(self.direction),
        )
        if found.blinks is not None and (self.blink != 1 or "blink" in found.names):
            raise errors.UserError("blinks are given and how often eyes blink is too; leave one of them out")
        if self.poses is not None and "head_motion" in found.names:
            raise errors.UserError("poses are given and a cue of head_motion is too; leave one of them out")
        return found

    @property
    def files(self) -> tuple[Any, ...]:
        """What may be a file's name."""
        signing = self.certificate, self.key, self.original, self.original_audio
        return self.poses, self.phonemes, self.blinks, self.direction, *signing

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
        told = self.told
        if self.cropped and self.face is not None:
            raise errors.UserError("a cropped image is taken whole and face is given; leave one of them out")
        if self.framing not in (known := typing.get_args(Framing)):
            raise errors.UserError(f"the framing is {self.framing!r}; choose of {', '.join(known)}")
        if self.cropped and self.framing == "full":
            raise errors.UserError(
                "a cropped image is a head's and the framing is full; leave one of them out"
            )
        every = isinstance(self.face, str) and self.face == ALL
        if every and self.framing == "head":
            raise errors.UserError("all faces are to speak and one head is framed; choose --framing full")
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
            language=languages.check(self.language),
            redub=_redub_of(self),
            mark=arguments.flag(self.mark, "mark"),
            label=arguments.flag(self.label, "label"),
            consent=_consent_of(self),
            face=ALL if every else face_of(self.face),
            expression=told.expression or None,
            gaze=told.gaze,
            blinks=told.blinks,
            direction=told.cues or None,
            subtitles=_subtitles_of(self),
            captions=_captions_of(self.captions),
            **asked._asdict(),
        )


def _subtitles_of(request: Request) -> str | None:
    """Take where subtitles go, and refuse them where nobody knows what is said."""
    place = subtitles.check_place(request.subtitles)
    if place is not None and request.transcript is None and request.captions is None:
        raise errors.UserError("subtitles need what is said; give a transcript or a text")
    return place


def _captions_of(given: Any) -> tuple[tuple[str, float, float], ...] | None:
    """Take rows of what is said when."""
    if given is None:
        return None
    try:
        rows = [(str(text), float(start), float(end)) for text, start, end in given]
    except (TypeError, ValueError):
        rows = None
    if rows is None or not all(0 <= start <= end < math.inf for _, start, end in rows):
        raise errors.UserError("captions must be rows of (text, start, end), seconds")
    return tuple(rows)


def _redub_of(request: Request) -> bool:
    """Refuse for a film what only a portrait is told."""
    if not arguments.flag(request.redub, "redub"):
        return False
    usual = Request()
    portraits = ("poses", "still", "head_motion", "blink", "cropped", "face", "framing")
    for name in (*portraits, "expression", "gaze", "blinks", "direction"):
        given = getattr(request, name)
        if not np.array_equal(given, getattr(usual, name)):
            raise errors.UserError(
                f"{name} is of a portrait, and a film keeps its own head, eyes and frame; leave {name} out"
            )
    return True


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


def _consent_of(request: Request) -> str | None:
    if not isinstance(request.consent, str | None):
        raise errors.UserError(f"the consent is {request.consent!r}; it must be text")
    if (request.certificate is None) != (request.key is None):
        raise errors.UserError("a certificate and its key sign together; give both or none")
    if not isinstance(request.timestamp, str | None):
        raise errors.UserError(f"the timestamp is {request.timestamp!r}; it must be an authority's address")
    originals = request.original, request.original_audio
    told = (request.certificate, request.consent, request.timestamp, *originals)
    if not request.mark and any(x is not None and x != "" for x in told):
        raise errors.UserError(
            "no mark is wanted, and what is to stand in it is given; leave one of them out"
        )
    credentials.check_named(request.certificate, request.key, request.timestamp)
    return (request.consent or "").strip() or None
