"""What every animator shares: what it takes and tells, how a video is made of it, and its clock."""

import abc
import contextlib
import os
from collections.abc import Callable, Generator, Iterable
from typing import Any, NamedTuple, Unpack

import numpy as np
from jaxtyping import Float, Int, UInt8

from avct_jax import arguments, errors
from avct_jax.animator import notes as gathering
from avct_jax.animator import options, stopwatch
from avct_jax.animator.framing import voices
from avct_jax.data.direction import driving_video
from avct_jax.data.faces import head_pose
from avct_jax.data.media import burnt_subtitles, soundtrack, subtitles, video_io
from avct_jax.data.phonemes import languages, recognition, word_alignment, writing_systems
from avct_jax.data.phonemes import symbols as phoneme_labels
from avct_jax.data.speech import audio_io, voice
from avct_jax.files import atomic_write
from avct_jax.marks import credentials

LENGTH_SLACK = (25, 0.1)  # frames, or share, by which given poses may differ from the audio in length

Path = options.Path
Image = options.Image
Audio = options.Audio
Poses = options.Poses
Face = options.Face
Request = options.Request


class Report(NamedTuple):
    """What came of an animation.

    Attributes:
      frames: images written.
      seconds: length of the audio.
      notes: what was decided, or could not be read, on the way, a line each; some are logged as well.
      timings: seconds of wall clock by part.
      seed: that was used, the image's where none was given; None where nothing is drawn by lot.
      size: side of the frames, px, or their height and width.
      cues: what is said when, where subtitles are wanted.
      unsigned: why the film is not signed by the certificate, or not dated by the authority, that was named.
    """

    frames: int
    seconds: float
    notes: list[str]
    timings: dict[str, float]
    seed: int | None = None
    size: int | tuple[int, int] = 0
    cues: tuple[subtitles.Subtitle, ...] = ()
    unsigned: str | None = None


class PreparedAnimation(NamedTuple):
    """A portrait and the track that drives it, for `Animator.draw`.

    Attributes:
      portrait: as the family prepares it.
      track: what moves it, a row a frame.
      size: side of the frames, px, or their height and width.
      frames: how many there will be.
      seconds: length of the audio.
      audio: what the video is to hold of the audio, for `video_io.VideoWriter`.
      notes: what was decided, or could not be read, on the way, a line each.
      seed: as in `Report`.
      cues: what is said when, where subtitles are wanted.
      burn: they are drawn into the frames.
    """

    portrait: Any
    track: Any
    size: int | tuple[int, int]
    frames: int
    seconds: float
    audio: Any = None
    notes: tuple[str, ...] = ()
    seed: int | None = None
    cues: tuple[subtitles.Subtitle, ...] = ()
    burn: bool = False

    def titled(self, frames: Iterable[Any]) -> Iterable[Any]:
        """Draw the subtitles into blocks of frames, where they belong there."""
        return burnt_subtitles.burned(frames, self.cues, float(video_io.FRAME_RATE)) if self.burn else frames


FAMILIES: dict[str, Any] = {}  # animators by the family of their networks, see weights_file.FAMILIES


class Animator(abc.ABC):
    """Networks ready to animate any number of portraits; they compile at first use."""

    config: Any
    variables: Any
    checkpoint: Path | None = None  # file of the weights, where they are of one
    head_start: Any = None  # a head_start.HeadStart, where the family knows what to do with it

    def __init_subclass__(cls, *, family: str | None = None, **options: Any):
        """Say which family of networks a class animates."""
        super().__init_subclass__(**options)
        if family is not None:
            FAMILIES[family] = cls

    @classmethod
    def from_pretrained(
        cls, name: Path, *, revision: str | None = None, landmarks: str = "mediapipe"
    ) -> "Animator":
        """Make an animator of a folder that `save_pretrained` wrote, or of a Hugging Face hub's repository.

        Call it as `avct_jax.Animator.from_pretrained`, which knows all families.

        Args:
          name: the folder, or owner/name at the hub, which is asked only then (extra `hub`).
          revision: of the repository: a branch, a tag or a commit.
          landmarks: "mediapipe" (built in) or "face-alignment" (an extra).

        Raises:
          UserError: nothing is there, or it is damaged, incomplete, or of another version.
        """
        from avct_jax import weights_file, weights_folder  # and JAX: not before they are needed

        system = weights_folder.load(weights_folder.find(name, revision=revision))
        return FAMILIES[weights_file.family_of(system.config)](system, landmarks=landmarks)

    def save_pretrained(self, folder: Path) -> None:
        """Write weights (model.safetensors, float16) and config.json with their sha256 into a folder.

        Raises:
          UserError: the folder cannot be made or written to.
        """
        from avct_jax import weights_file, weights_folder

        weights_folder.save(folder, weights_file.System(self.config, self.variables))

    def animate(
        self,
        image: Image,
        audio: Audio,
        output: Path,
        *,
        progress: Callable[[int, int], None] | None = None,
        **told: Unpack[options.Told],
    ) -> Report:
        """Write a video of the pictured face speaking.

        Args:
          image: a portrait: a file, a Pillow image, or pixels (uint8; RGB, RGBA or grey).
          audio: an audio or video file, or mono samples at 16 kHz (floats, or integers of full scale). With
            framing full also a list of them, one for each face from left to right, None for a listener.
          output: .mp4, .mov or .mkv; appears only when it is whole.
          progress: called with frames done and frames in all.
          **told: how it is to be done, see `avct_jax.animator.options.Told`.

        Returns:
          What was written, and how it went.

        Raises:
          UserError: something cannot be read, used or written, or would be lost; nothing is left behind.
        """
        clock = stopwatch.Stopwatch()
        if not arguments.is_path(output) or "\0" in os.fspath(output):
            raise errors.UserError(f"the output is {output!r}; it must be a file's name, such as 'talk.mp4'")
        video_io.check_writable(output)
        request = Request(**told)
        given = list(filter(arguments.is_path, (image, *voices.each(audio), *request.files)))
        atomic_write.refuse_overwriting(output, *given)
        credentials.check_output(output, request.certificate, request.timestamp)
        ready = self._prepare_request(image, audio, request, clock)
        marks, notes = marks_of(request), list(ready.notes)
        stated = {"portrait": image, "sounds": voices.each(audio), "film": bool(request.redub)}
        sign = lambda path: marks.file(path, notes, checkpoint=self.checkpoint, **stated)
        writer = video_io.VideoWriter(output, size=ready.size, audio=ready.audio, finish=sign)
        with contextlib.ExitStack() as kept:
            if request.subtitles is not None and not ready.burn:
                kept.enter_context(subtitles.writing(request.subtitles, ready.cues, *given, output))
            kept.enter_context(writer)
            frames = kept.enter_context(contextlib.closing(self.draw(ready.portrait, ready.track, clock)))
            for block in ready.titled(frames):
                with clock("encode"):
                    writer.write(marks.frames(block))
                if progress:
                    progress(writer.frames, ready.frames)
        made = (ready.frames, ready.seconds, notes, clock.seconds)
        return Report(*made, seed=ready.seed, size=ready.size, cues=ready.cues, unsigned=marks.unsigned)

    def frames(
        self,
        image: Image,
        audio: Audio,
        **told: Unpack[options.Told],
    ) -> Generator[UInt8[np.ndarray, "n h w 3"], None, None]:
        """Yield the video's frames in blocks, without writing a file; arguments as for `animate`.

        Yields:
          RGB, in 8 bits.
        """
        request = Request(**told)
        ready = self._prepare_request(image, audio, request)
        yield from map(marks_of(request).frames, ready.titled(self.draw(ready.portrait, ready.track)))

    def prepare(
        self,
        image: Image,
        audio: Audio,
        **told: Unpack[options.Told],
    ) -> PreparedAnimation:
        """Read portrait and voice and find out how the face moves; `draw` makes frames of it.

        `animate` and `frames` begin with it; arguments are theirs, and so are the errors.
        """
        request = Request(**told)
        return self._prepare_request(image, audio, request)

    def _prepare_request(
        self, image: Image, audio: Audio, request: Request, clock: stopwatch.Stopwatch | None = None
    ) -> PreparedAnimation:
        sounds = voices.each(audio)
        for given in filter(arguments.is_path, (image, *sounds, *request.files)):
            video_io.check_readable(given)  # before the work starts
        request = request.checked()
        check_framed(audio, request)
        for given in filter(arguments.is_path, sounds):
            soundtrack.check_tracks(given, request.audio_track)
        notes: list[str] = []
        if not languages.is_english(request.language) and request.transcript is request.phonemes is None:
            notes.append(f"a transcript is not given: {request.language} is heard as if it were English")
        if request.transcript and (remark := writing_systems.remark(request.transcript, request.language)):
            notes.append(remark)
        with gathering.gathered(notes):
            audio = voices.taken(audio)
            cues = cues_of(audio, request, notes)
            ready = self._ready(image, audio, request, notes, clock or stopwatch.Stopwatch())
        return ready._replace(notes=tuple(notes), cues=cues, burn=request.subtitles == subtitles.BURN)

    @abc.abstractmethod
    def draw(
        self, portrait: Any, track: Any, clock: stopwatch.Stopwatch | None = None
    ) -> Generator[UInt8[np.ndarray, "n h w 3"], None, None]:
        """Yield the frames that `track` makes of a portrait, in blocks."""

    @abc.abstractmethod
    def _ready(
        self, image: Image, audio: Audio, request: Request, notes: list[str], clock: stopwatch.Stopwatch
    ) -> PreparedAnimation:
        """Read what was given, and find out how the face moves; decisions go to `notes`."""


def marks_of(request: Request) -> Any:
    """Return what marks a film as it was asked.

    Raises:
      UserError: a certificate or key cannot be used.
    """
    from avct_jax.marks import film_marks  # and JAX: not before it is needed

    names = film_marks.MarkRequest._fields
    return film_marks.FilmMarks(film_marks.MarkRequest(*(getattr(request, name) for name in names)))


def check_framed(audio: Audio, request: Request) -> None:
    """Refuse several sounds for one head.

    Raises:
      UserError: so it is, or one face is picked for them.
    """
    if (several := voices.listed(audio)) is None or len(several) < 2:
        return
    if request.subtitles is not None:
        raise errors.UserError("subtitles are of one sound and several are given; leave --subtitles out")
    if request.framing == "head":
        raise errors.UserError(
            f"{len(several)} sounds are given and one head is framed; choose --framing full"
        )
    if request.face not in (None, options.ALL):
        raise errors.UserError(f"{len(several)} sounds are given and one face is picked; leave --face out")


def cues_of(audio: Audio, request: Request, notes: list[str]) -> tuple[subtitles.Subtitle, ...]:
    """Find what is said when, where subtitles are wanted; that times are guessed is noted.

    Raises:
      UserError: it is to be drawn, and the font lacks letters.
    """
    if request.subtitles is None:
        return ()
    if request.captions is not None:
        found = subtitles.of_sentences(request.captions)
    else:
        file = arguments.is_path(audio)
        wav = audio_io.read_audio(audio, track=request.audio_track) if file else audio_io.from_samples(audio)
        parts = subtitles.parts(request.transcript or "")
        times = word_alignment.part_times(wav, parts, request.language)
        found = subtitles.lasting([subtitles.Subtitle(*row) for row in times])
    if request.subtitles == subtitles.BURN:
        burnt_subtitles.font_for(cue.text for cue in found)
    if guessed := sum(cue.guessed for cue in found):
        notes.append(
            f"times of {guessed} of {len(found)} subtitles are guessed: the sound does not fit their text"
        )
    return tuple(found)


def hear(
    audio: Audio,
    listen: Callable[[Float[np.ndarray, " n"]], voice.Speech],
    notes: list[str],
    track: int | None = None,
) -> tuple[voice.Speech, soundtrack.AudioTrack | Float[np.ndarray, " n"]]:
    """Read the audio and listen to it, and note where there is nothing to hear.

    Args:
      audio: an audio or video file, or mono samples at 16 kHz.
      listen: as the family does.
      notes: gets a line where there is nothing to hear.
      track: of a file, from 1.

    Returns:
      What is heard, and what `video_io.VideoWriter` makes of the same audio.

    Raises:
      UserError: it cannot be read.
    """
    if arguments.is_path(audio):
        wav, source = audio_io.read_heard(audio, track=track)
    else:
        wav = source = audio_io.from_samples(audio)
    speech = listen(wav)
    if speech.silent.all():
        notes.append("the sound is silent: the mouth stays shut")
    return speech, source


def labels(speech: voice.Speech, request: Request, notes: list[str]) -> Int[np.ndarray, "t"]:
    """Return the phonemes of each frame: those that are given, or what is recognised of the audio.

    Given ones may differ from the audio in length, see `symbols.fit_to_frames`; which is noted.

    Raises:
      UserError: they cannot be read, or not be recognised.
    """
    count = len(speech.silent)
    given = request.phonemes
    if given is None:
        segments = recognition.recognise(
            speech.samples,
            method=request.recogniser,
            transcript=request.transcript,
            language=request.language,
            silent=speech.silent,
        )
        return phoneme_labels.labels_from_segments(segments, count)
    if request.recogniser != "auto":
        notes.append(f"the recogniser {request.recogniser} is not asked: phonemes are given")
    if arguments.is_path(given):
        segments = phoneme_labels.read_segments(given)
        phoneme_labels.tell_of(given, segments)
        found = phoneme_labels.labels_from_segments(segments)
    else:
        found = phoneme_labels.from_indices(given)
    if abs(len(found) - count) > 1:  # files end within a frame
        done = "silence follows" if len(found) < count else "those beyond are cut"
        notes.append(f"{len(found)} frames of phonemes, {count} frames of sound: {done}")
    return phoneme_labels.fit_to_frames(found, count)


def read_poses(poses: Poses, count: int, notes: list[str]) -> Float[np.ndarray, "t 6"]:
    """Read poses and fit them to `count` frames, see fit_poses."""
    if driving_video.is_video(poses):
        return driving_video.read(poses, count, notes)
    if arguments.is_path(poses):
        return fit_poses(head_pose.read_poses(poses), count, repr(os.fspath(poses)), notes)
    return fit_poses(head_pose.from_array(poses), count, "the array", notes)


def fit_poses(
    poses: Float[np.ndarray, "u 6"], count: int, name: str, notes: list[str]
) -> Float[np.ndarray, "t 6"]:
    """Cut poses to the audio, or hold the last one."""
    difference = len(poses) - count
    if abs(difference) > max(LENGTH_SLACK[0], LENGTH_SLACK[1] * count):
        raise errors.UserError(
            f"{name} holds {len(poses)} poses, the sound {count} frames; give 25 poses a second"
        )
    if difference:
        done = "the last pose is held" if difference < 0 else "the poses beyond are cut"
        notes.append(f"{len(poses)} poses, {count} frames: {done}")
    return poses[np.minimum(np.arange(count), len(poses) - 1)].astype(np.float32)
