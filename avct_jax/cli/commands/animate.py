"""`avct animate`: a portrait and a voice become a talking video."""

import contextlib
import dataclasses
import logging
import pathlib
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import tyro

from avct_jax import errors
from avct_jax.cli import animation_jobs, direction_options, engine_options, mark_options, option

log = logging.getLogger(__name__)

UNSIGNED = 3  # exit code: the film is there, and not signed by who was named
LONGEST_STEM = 60  # characters of a name that a default output takes
MISSING = "the following arguments are required: {}; see `avct animate --help`"
NOBODY = "none"  # in the place of a sound
EXAMPLES = """
examples:
  avct animate --image face.jpg --audio speech.wav --output talk.mp4
  avct animate --image face.jpg --audio speech.wav --transcript "Hello, world." --output talk.mp4
  avct animate --image face.jpg --audio speech.wav --transcript-file words.txt
  avct animate --image face.jpg --text "Hello, world." --output talk.mp4
  avct animate --image face.jpg --text "Guten Tag." --language de --output talk.mp4
  avct animate --image face.jpg --audio interview.mov --still --output talk.mp4
  avct animate --image face.jpg --audio speech.wav --poses openface.csv --output talk.mp4
  avct animate --image face.jpg --audio speech.wav --head-motion 0.5 --blink off --mouth 1.2
  avct animate --image face.jpg --audio speech.wav --expression smile=.3,brows=.2 --gaze camera
  avct animate --image face.jpg --audio speech.wav --direction cues.json
  avct animate --image group.jpg --list-faces
  avct animate --image group.jpg --face 2 --audio speech.wav --output talk.mp4
  avct animate --image group.jpg --framing full --audio left.wav --audio right.wav --output talk.mp4
  avct animate --video film.mp4 --audio other.wav --output redubbed.mp4
  avct animate --image face.jpg --audio speech.wav --size 256 --seed 7 --output talk.mp4
  avct animate --jobs jobs.jsonl --output videos --workers 2
  avct animate --jobs jobs.csv --image face.jpg --dry-run
"""


SEEN = tyro.conf.create_mutex_group(required=False, title="who speaks: one of these")
SPOKEN = tyro.conf.create_mutex_group(required=False, title="what is spoken: one of these")
SAID = tyro.conf.create_mutex_group(required=False, title="what is said")
MOVED = tyro.conf.create_mutex_group(required=False, title="how the head moves")


@dataclasses.dataclass(frozen=True)
class SpeechOptions:
    """What is heard, and who recognises it.

    Attributes:
      audio_track: which of the file's audio tracks, from 1 (default: the first that is not silent)
      recogniser: who recognises the phonemes for learned keypoints, or where a transcript does not fit; the
        mesh hears by itself (auto: hama where it is installed, the better one)
      transcript: the words: aligned with the audio (default: recognised from it)
      transcript_file: a file of text that holds the words
      phonemes: phonemes: a Praat TextGrid, or .json as released
      language: of the transcript or the text: en, de, pt-br, ...; others than English need
        `pip install 'g2p2[de,numbers]'` or espeak-ng, which speaks their texts as well
    """

    audio_track: option.MaybePositive = None
    recogniser: Literal["auto", "pocketsphinx", "hama"] = "auto"
    transcript: Annotated[option.MaybeText, SAID, option.shown_as("TEXT")] = None
    transcript_file: Annotated[option.MaybeFile, SAID] = None
    phonemes: Annotated[option.MaybeFile, SAID] = None
    language: Annotated[str, option.shown_as("CODE")] = "en"


@dataclasses.dataclass(frozen=True)
class HeadOptions:
    """How head, eyes and mouth move.

    Attributes:
      poses: an OpenFace csv, .npy with a row of rx ry rz (rad) tx ty tz (mm) for each frame, or a video of
        one face whose head motion is taken (default: made up, as people's heads move)
      still: the head keeps the portrait's pose; eyes still blink
      head_motion: how far the head moves against what is usual, 0 to 3; 0 is --still
      blink: how often the eyes blink against what is usual, 0 to 4; 0 or off: never
      mouth: how far the mouth moves against what is usual, 0 to 2
    """

    poses: Annotated[option.MaybeFile, MOVED] = None
    still: Annotated[option.Flag, MOVED] = False
    head_motion: Annotated[float, MOVED, option.factor(3.0), option.shown_as("SCALE")] = 1.0
    blink: Annotated[float, option.factor(4.0, off=True), option.shown_as("RATE")] = 1.0
    mouth: Annotated[float, option.factor(2.0), option.shown_as("SCALE")] = 1.0


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """What draws, and what finds the face.

    Attributes:
      checkpoint: .safetensors of `avct train export` or `avct convert`; otherwise the one in the package
      landmarks: who finds the face; face-alignment is an extra
    """

    checkpoint: option.MaybeFile = None
    landmarks: Literal["mediapipe", "face-alignment"] = "mediapipe"


@dataclasses.dataclass(frozen=True)
class VideoOptions:
    """What is drawn.

    Attributes:
      size: side of the video, 256 to 1024, even (default: as large as the head is, 512 at most)
      seed: decides blinks, gaze and head motion: the same gives the same (default: the image decides)
      subtitles: what is said, of a transcript or a text: a .srt or .vtt file, or burn: into the picture
    """

    size: Annotated[option.MaybePositive, option.shown_as("PX")] = None
    seed: option.MaybeNatural = None
    subtitles: Annotated[option.MaybeText, option.shown_as("FILE|burn")] = None


@dataclasses.dataclass(frozen=True)
class FaceOptions:
    """Whose face it is, where there are several.

    Attributes:
      face: its number from the left, from 1, or a place in it, px (default: the largest); all, with
        --framing full
      list_faces: say where the faces are, write the image with their numbers, and end
    """

    face: option.MaybeFace = None
    list_faces: option.Flag = False


@dataclasses.dataclass(frozen=True)
class FramingOptions:
    """What of the image is seen.

    Attributes:
      framing: a square around the head, or the full picture in which it speaks
    """

    framing: Literal["head", "full"] = "head"


@dataclasses.dataclass(frozen=True)
class Options:
    """Make the pictured face speak: H.264 and AAC, 25 frames/s, as long as the audio.

    Attributes:
      image: a portrait: jpg, png, webp, ...
      video: a film, whose own mouth speaks anew; head, eyes and picture stay the film's
      audio: a recording, or a video whose audio is taken; with --framing full again for each face, from left
        to right, none for one that only listens
      text: what is to be said, by a synthetic voice (extra `speak`; other languages: espeak-ng)
      text_file: a file of text that holds it
      output: the video: .mp4, .mov or .mkv (default: IMAGE_says_AUDIO.mp4, here)
    """

    image: Annotated[option.MaybeFile, SEEN] = None
    video: Annotated[option.MaybeFile, SEEN] = None
    audio: Annotated[option.MaybeFiles, SPOKEN] = ()
    text: Annotated[option.MaybeText, SPOKEN, option.shown_as("TEXT")] = None
    text_file: Annotated[option.MaybeFile, SPOKEN] = None
    output: option.MaybeFile = None
    speech: SpeechOptions = SpeechOptions()
    head: HeadOptions = HeadOptions()
    directed: direction_options.DirectionOptions = direction_options.DirectionOptions()
    network: NetworkOptions = NetworkOptions()
    drawn: VideoOptions = VideoOptions()
    who: FaceOptions = FaceOptions()
    many: animation_jobs.JobOptions = animation_jobs.JobOptions()
    work: engine_options.EngineOptions = engine_options.EngineOptions()
    shot: FramingOptions = FramingOptions()
    marked: mark_options.MarkOptions = mark_options.MarkOptions()
    shown: option.Shown = option.Shown()


def run(options: Options) -> int:
    """Do it."""
    if options.who.list_faces:
        if options.image is None:
            raise errors.UserError(MISSING.format("--image"))
        return list_faces(options.image, options.output)
    if options.many.jobs is not None or options.many.dry_run:
        return animation_jobs.run(options)
    animation_jobs.refuse_alone(options.work)
    image, spoken = needed(options)
    output = options.output or default_output(image, *spoken)
    speech = options.speech
    names = [name for name in options.audio if name != NOBODY]
    given = (image, *names, speech.phonemes, options.head.poses, speech.transcript_file)
    check(output, *given, options.text_file, *options.directed.files, checkpoint=options.network.checkpoint)
    from avct_jax.jobs import animation_job

    job = job_of(options, output)._replace(recorded=options.many.sidecar)
    animation_job.refuse_overwriting(job)
    animation_job.check_font(job)
    look(image, job.audio, output, job.request, options.network, options.shown)
    with contextlib.ExitStack() as kept:
        audio, request = job.audio, job.request
        if job.text is not None:
            audio, request = kept.enter_context(speaking(job.text, job.request, options.shown))
        recorded = job if job.recorded else None
        return animate(image, audio, output, request, options.network, options.shown, recorded)


def needed(options: Options) -> tuple[str, list[str]]:
    """The image, and what may stand for what is said in a file's name.

    Raises:
      UserError: one is missing.
    """
    if (image := options.image or options.video) is None:
        raise errors.UserError(MISSING.format("--image, or --video"))
    names = [name for name in options.audio if name != NOBODY]
    spoken = names or list(filter(None, [options.text_file or in_a_name(options.text)]))
    if options.audio and not names:
        raise errors.UserError("all faces only listen; give a recording for one at least")
    if not spoken:
        raise errors.UserError(MISSING.format("--audio, or --text or --text-file"))
    return image, spoken


def job_of(options: Options, output: str) -> Any:
    """The options as a job.

    Raises:
      UserError: something is missing, or a text cannot be read or spoken.
    """
    from avct_jax.jobs import animation_job

    image, _ = needed(options)
    text = text_of(options)
    request, networks = request_of(options), options.network
    if text is not None and request.subtitles is not None:
        request = request._replace(captions=())  # which speaking it tells
    how = (output, text, request, networks.checkpoint, networks.landmarks)
    read = tuple(filter(None, (options.text_file, options.speech.transcript_file)))
    return animation_job.AnimationJob(image, audio_of(options.audio), *how, read=read)


def request_of(options: Options) -> Any:
    """What an animator is asked, beside image, audio and output."""
    from avct_jax.animator import base
    from avct_jax.files import text_file

    speech, head = options.speech, options.head
    return base.Request(
        phonemes=speech.phonemes,
        transcript=text_file.read(file) if (file := speech.transcript_file) else speech.transcript,
        recogniser=speech.recogniser,
        poses=head.poses,
        still=head.still,
        size=options.drawn.size,
        seed=options.drawn.seed,
        audio_track=speech.audio_track,
        head_motion=head.head_motion,
        blink=head.blink,
        mouth=head.mouth,
        face=options.who.face,
        language=speech.language,
        framing=options.shot.framing,
        subtitles=options.drawn.subtitles,
        **options.directed.asked(),
        **options.marked.asked(),
        redub=options.video is not None,
    )


def audio_of(names: tuple[str, ...]) -> Any:
    """What an animator is given as audio: one file, or a list of files and of None for who only listens."""
    several = [None if name == NOBODY else name for name in names]
    return several if len(several) > 1 else several[0] if several else None


def in_a_name(text: str | None) -> str | None:
    """What of a text may stand in a file's name."""
    return None if text is None else re.sub(r"\W+", "_", text[:LONGEST_STEM]).strip("_") or "text"


def text_of(options: Options) -> str | None:
    """The text that is to be said; None where a recording is.

    Raises:
      UserError: it cannot be spoken, or something is given that only a recording has.
    """
    from avct_jax.files import text_file

    text = text_file.read(file) if (file := options.text_file) else options.text
    if text is None:
        return None
    for name in ("transcript", "transcript_file", "phonemes", "audio_track"):
        if getattr(options.speech, name) is not None:
            option_name = f"--{name.replace('_', '-')}"
            raise errors.UserError(f"{option_name} is of a recording, and a text is given; leave one out")
    from avct_jax.data.speech import voices

    return voices.checked(text, options.speech.language)


@contextlib.contextmanager
def speaking(text: str, request: Any, shown: option.Shown) -> Iterator[tuple[str, Any]]:
    """Speak a text; give a file of it, and what is known of it in the request, while the context is open."""
    from avct_jax import progress
    from avct_jax.jobs import animation_job

    with contextlib.ExitStack() as kept:
        with progress.Progress("speaking", unit="sentences", quiet=shown.quiet):
            spoken = kept.enter_context(animation_job.speaking(text, request))
        yield spoken


def list_faces(image: str, output: str | None) -> int:
    """Say where the faces of an image are, and write it with their numbers."""
    if output is not None:
        raise errors.UserError("--list-faces makes no video; leave --output out")
    option.check_files("", image)
    from avct_jax.animator import portrait
    from avct_jax.cli import terminal

    drawn = f"{pathlib.Path(image).stem[:LONGEST_STEM]}_faces.png"
    found = portrait.number_faces(image, drawn)
    for face in found:
        terminal.show_result(str(face))
    terminal.show_result(f"wrote {drawn}: pick with --face N, or --face X,Y of a place in one")
    return 0


def default_output(image: str, *voices: str) -> str:
    """Name a video after its portrait and its voices, in the current folder."""
    said = "_".join(pathlib.Path(name).stem for name in voices)
    return f"{pathlib.Path(image).stem[:LONGEST_STEM]}_says_{said[:LONGEST_STEM]}.mp4"


def check(output: str, *files: str | None, checkpoint: str | None) -> None:
    """Look at all files before imports and weights take seconds."""
    from avct_jax.data.media import video_io

    video_io.check_writable(output)
    option.check_files(output, *files, checkpoint=checkpoint)


def look(
    image: str | None,
    audio: Any,
    output: str,
    request: Any,
    networks: NetworkOptions,
    shown: option.Shown,
) -> None:
    """Look into the files and at what is asked, as early; then say where a file is written over."""
    from avct_jax.animator import inputs
    from avct_jax.marks import credentials

    credentials.check_output(output, request.certificate, request.timestamp)
    inputs.look(image, audio, request, checkpoint=networks.checkpoint, landmarks=networks.landmarks)
    option.tell_overwriting(output, quiet=shown.quiet)


def animate(
    image: Any,
    audio: Any,
    output: str,
    request: Any,
    networks: NetworkOptions,
    shown: option.Shown,
    recorded: Any = None,
) -> int:
    """Animate and tell of it, in a file beside the video where a job is to be recorded."""
    from avct_jax import compile_cache, progress
    from avct_jax.animator import head_start
    from avct_jax.cli import terminal
    from avct_jax.jobs import result_record

    given = result_record.digests(recorded) if recorded else {}
    given_early = (image, audio, request, networks.landmarks)
    with contextlib.ExitStack() as kept:
        early = None if networks.checkpoint else kept.enter_context(head_start.HeadStart(*given_early))
        compile_cache.enable()
        from avct_jax.animator import factory

        bar = kept.enter_context(progress.Progress("looking and listening", unit="frames", quiet=shown.quiet))
        animator = factory.load(networks.checkpoint, landmarks=networks.landmarks)
        animator.head_start = early
        show = lambda done, total: bar.show(done, total, "drawing")
        report = animator.animate(image, audio, output, progress=show, **request._asdict())
    if recorded and not report.unsigned:
        result_record.write(recorded, report, given)
    for line in report.notes:  # those that were logged as well are shown once
        log.warning("%s", line)
    if report.unsigned:
        terminal.note(f"{output} is whole and NOT signed as asked: {report.unsigned}")
        return UNSIGNED
    if shown.quiet:
        return 0
    if shown.verbose or shown.debug:
        terminal.tell(terminal.timing_table(report.timings, report.frames))
    terminal.show(f"wrote {terminal.made_line(output, report, request.subtitles)}")
    return 0
