"""One video to make, as plain data: whose face, which voice, how, and where it goes."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from avct_jax import arguments, errors
from avct_jax.animator import base, inputs
from avct_jax.data.media import burnt_subtitles, subtitles, video_io
from avct_jax.files import atomic_write, file_kind
from avct_jax.marks import credentials

Progress = Callable[[int, int], None]


class AnimationJob(NamedTuple):
    """A video to make; files by their names.

    Attributes:
      image: a portrait.
      audio: an audio or video file, or one for each face and None for who listens; None where a text is
        spoken.
      output: .mp4, .mov or .mkv; its folder is made.
      text: what a synthetic voice says, in the place of a recording.
      request: what the animator is told beside them; phonemes and poses by their files' names.
      checkpoint: a .safetensors file; None is the one in the package.
      landmarks: who finds the face.
      place: where it was read, "line 3".
      read: files whose text is among these already; they must not be lost.
      recorded: a record is written beside the video, see result_record.py.
    """

    image: str
    audio: str | list[str | None] | None
    output: str
    text: str | None = None
    request: base.Request = base.Request()
    checkpoint: str | None = None
    landmarks: str = "mediapipe"
    place: str = ""
    read: tuple[str, ...] = ()
    recorded: bool = True

    @property
    def subtitles(self) -> str | None:
        """The file of subtitles that it writes, if any."""
        beside = self.request.subtitles
        return None if beside in (None, subtitles.BURN) else os.fspath(beside)

    @property
    def record(self) -> str | None:
        """The record that it writes, if any."""
        return f"{self.output}.json" if self.recorded else None

    @property
    def outputs(self) -> tuple[str, ...]:
        """What it writes: the video, a file of subtitles, a record."""
        return tuple(filter(None, (self.output, self.subtitles, self.record)))

    @property
    def files(self) -> dict[str, str]:
        """What it is made of, by kind; the checkpoint is not among them."""
        told = ("phonemes", "poses", "blinks", "direction", "original", "original_audio")
        named: dict[str, Any] = {"image": self.image}
        named |= {name: given for name in told if arguments.is_path(given := getattr(self.request, name))}
        if isinstance(self.audio, list):
            named |= {f"audio {number}": one for number, one in enumerate(self.audio, 1)}
        else:
            named["audio"] = self.audio
        return {kind: os.fspath(path) for kind, path in named.items() if path is not None}

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides its frames, but for the files."""
        told = {k: v for k, v in self.request._asdict().items() if k not in self.files}
        if callable(told["key"]):  # of a key that is kept elsewhere
            told["key"] = "a function"
        return told | {"text": self.text, "landmarks": self.landmarks}


def refuse_clashes(jobs: Sequence[AnimationJob]) -> None:
    """Refuse jobs of which one would write over another's video, or over what another reads.

    Raises:
      UserError: so it is.
    """
    writers: dict[str, AnimationJob] = {}
    for job in jobs:
        for output in job.outputs:
            other = writers.setdefault(os.path.realpath(output), job)
            if other is not job:
                raise errors.UserError(
                    f"{other.place} and {job.place} have the same output {output!r}; name another for one"
                )
    for job in jobs:
        for path in filter(None, (*job.files.values(), *job.read, job.checkpoint)):
            if (writer := writers.get(os.path.realpath(path))) is not None:
                what = f"the output of {writer.place}, {path!r}, is an input of {job.place}"
                raise errors.UserError(f"{what}; name another")


def look(job: AnimationJob) -> None:
    """Refuse what can be told to be wrong without imports of JAX, weights, and decoding.

    Raises:
      UserError: so it is.
    """
    for path in job.files.values():
        video_io.check_readable(path)
    check_checkpoint(job.checkpoint)
    refuse_overwriting(job)
    check_font(job)
    credentials.check_output(job.output, job.request.certificate, job.request.timestamp)
    inputs.look(job.image, job.audio, job.request, checkpoint=job.checkpoint, landmarks=job.landmarks)


def refuse_overwriting(job: AnimationJob) -> None:
    """Refuse a video, subtitles or a record in the place of anything that was read, or of each other.

    Raises:
      UserError: so it is.
    """
    given = (*job.files.values(), *job.read, job.checkpoint)
    atomic_write.refuse_overwriting(job.output, *given)
    if (beside := job.subtitles) is not None:
        atomic_write.refuse_overwriting(beside, *given, option="--subtitles")
        for other, name in ((job.output, "the video"), (job.record, "the video's record")):
            if other and os.path.realpath(beside) == os.path.realpath(other):
                raise errors.UserError(f"--subtitles {beside!r} is {name}; name another")
        if os.path.isdir(beside):
            raise errors.UserError(f"--subtitles {beside!r} is a folder; name a file in it")
    if job.record is not None:
        atomic_write.refuse_overwriting(job.record, *given, option="the record of --output,")
        _check_record(job.record)


def _check_record(path: str) -> None:
    if len(os.fsencode(os.path.basename(path))) > video_io.LONGEST_NAME:
        raise errors.UserError(
            f"the record {path[:20] + '...'!r} has too long a name; choose a shorter --output"
        )
    if os.path.isdir(path):
        raise errors.UserError(f"{path!r}, the record of --output, is a folder; choose another --output")
    if os.path.isfile(path) and not _may_be_ours(path):
        raise errors.UserError(
            f"{path!r} is where the record of --output goes, and holds something else; move it, or choose "
            "another --output"
        )


def _may_be_ours(path: str) -> bool:
    with open(path, "rb") as file:
        head = b"".join(file.read(40).split())
    ours = b'{"format":"avct_jax'
    return head.startswith(ours) or ours.startswith(head)  # whole or not


def check_font(job: AnimationJob) -> None:
    """Refuse subtitles that are to be drawn, and for whose letters no font is here.

    Raises:
      UserError: so it is.
    """
    if job.request.subtitles == subtitles.BURN:
        said = [row[0] for row in job.request.captions or ()]
        burnt_subtitles.font_for(filter(None, (job.text, job.request.transcript, *said)))


def check_checkpoint(path: str | None) -> None:
    """Refuse a checkpoint that is missing, or PyTorch's.

    Raises:
      UserError: so it is.
    """
    if path is None:
        return
    if not os.path.isfile(path):
        raise errors.UserError(f"no checkpoint at {path!r}; name an existing .safetensors file")
    file_kind.refuse_torch(path)


def make_folder(job: AnimationJob) -> None:
    """Make the folders of outputs where they are missing, and refuse an output that cannot be written.

    Raises:
      UserError: so it is.
    """
    for output in job.outputs:
        folder = os.path.dirname(os.path.realpath(output))
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise errors.UserError(f"{folder!r} cannot be made: {error.strerror}; name another") from None
    video_io.check_writable(job.output)


def animate(job: AnimationJob, animator: base.Animator, progress: Progress | None = None) -> base.Report:
    """Make the video.

    Args:
      animator: of the job's checkpoint and landmarks.
      progress: called with frames done and frames in all.

    Raises:
      UserError: something cannot be read, used or written; nothing is left behind.
    """
    with _spoken(job) as (audio, told):
        return animator.animate(job.image, audio, job.output, progress=progress, **told._asdict())


@contextlib.contextmanager
def _spoken(job: AnimationJob) -> Iterator[tuple[Any, base.Request]]:
    """The recording, and what is told of it: of a text while the context is open."""
    if job.text is None:
        assert job.audio is not None
        yield job.audio, job.request
        return
    with speaking(job.text, job.request) as spoken:
        yield spoken


@contextlib.contextmanager
def speaking(text: str, request: base.Request) -> Iterator[tuple[str, base.Request]]:
    """Speak a text; give a file of it, and what is known of it in the request, while the context is open.

    Raises:
      UserError: it cannot be spoken.
    """
    from avct_jax.data.speech import speaker, voices

    spoken = voices.of(request.language).speak(text)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "text.wav")
        speaker.write_wav(path, spoken)
        captions = spoken.sentences if request.subtitles is not None else None
        yield path, request._replace(phonemes=spoken.labels, captions=captions)
