"""Videos made of the clips that training never sees, as the paper and FOMM make theirs."""

import contextlib
import functools
import hashlib
import logging
import os
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from avct_jax import errors, weights_file
from avct_jax.animator import factory as animators
from avct_jax.animator import keypoint_animator, mesh_animator
from avct_jax.data.clips import clip, manifest
from avct_jax.data.faces import crop, face_basis
from avct_jax.data.media import video_io
from avct_jax.evaluation import evaluate, sidecar, video_files
from avct_jax.files import atomic_write
from avct_jax.inference import keypoint_inference, mesh_inference
from avct_jax.workers import shard

ABOUT = {
    "reenactment": "People that training never saw: the first frame, moved as E_kd sees the clip move "
    "(absolute keypoints, as FOMM reconstructs).",
    "speech": "Clips of the speaker that training never saw: the first frame, the clip's sound and its real "
    "head poses.",
    "speech-predicted": "Clips of the speaker that training never saw: the first frame and the clip's sound; "
    "head poses predicted.",
    "one-shot": "People that training never saw: the first frame, the clip's own sound and its real head "
    "poses (Table 1 of the paper).",
    "one-shot-predicted": "People that training never saw: the first frame and the clip's own sound; head "
    "poses predicted.",
    "cross": "First frames of people that training never saw, with the voices of others whom it never heard. "
    "The real videos are the voices' own: mouth and sound compare, images do not.",
}
UNPAIRED = {"cross"}
REAL_POSES = {"speech", "one-shot"}
CHUNK = 16  # frames drawn at once
MAKER = ".made_by"  # file of a folder of videos

Show = Callable[[int, int, str], None]
Draw = Callable[[str, pathlib.Path], None]  # of a video's name, and where it goes
log = logging.getLogger(__name__)


class VideoFolders(NamedTuple):
    """Folders of videos by the same names.

    paired: the real video shows the same face saying the same. failed: why a video could not be made, by
      name.
    names: the videos that were asked for and made; the folder may hold others.
    """

    generated: pathlib.Path
    real: pathlib.Path
    about: str
    paired: bool
    failed: dict[str, str]
    names: tuple[str, ...] = ()


class VideoJob(NamedTuple):
    """A video to make: whose image, and which clip drives it."""

    name: str
    portrait: str
    driver: str


def make(
    name: str,
    clips: str | os.PathLike,
    output: str | os.PathLike,
    *,
    checkpoint: str | os.PathLike | None = None,
    videos: int = 0,
    transcribed: bool = False,
    part: shard.Shard = shard.WHOLE,
    show: Show = lambda done, total, text: None,
) -> VideoFolders:
    """Make a protocol's videos, one after the other; what cannot be made is told, and the rest goes on.

    Videos stay that the same checkpoint made of the same clips.

    Args:
      name: of ABOUT.
      clips: a folder of `avct preprocess`.
      videos: at most so many, evenly chosen; 0: all.
      output: its folder NAME gets the videos, NAME-real links to the real ones of these videos alone, and
        what is said in them.
      transcribed: phonemes of the clips' words, where they are known, instead of recognised ones.
      part: of the videos that is made; others' stay.

    Raises:
      UserError: no such protocol, folder or checkpoint, no clip for this protocol, or no video could be made.
    """
    folder = pathlib.Path(clips)
    jobs = {job.name: job for job in plan(name, manifest.read(folder, least=1))}
    chosen = part.of([jobs[job] for job in evaluate.choose(list(jobs), videos)])
    output = pathlib.Path(output)
    generated, real = output / name, output / f"{name}-real"
    for place in (generated, real):
        place.mkdir(parents=True, exist_ok=True)
    sources = {job.name: _sources(folder, job) for job in chosen}

    def load() -> Draw:
        draw = _drawer(name, checkpoint, transcribed)
        return lambda job, path: draw(folder, jobs[job], path)

    failed = fill(generated, sources, maker(name, checkpoint, transcribed), load, show)
    if chosen and len(failed) == len(chosen):
        raise errors.UserError(f"no video of {name} could be made: {failed[chosen[0].name]}")
    links = {job.name: folder / f"{job.driver}.mp4" for job in chosen if job.name not in failed}
    link_all(links, real, alone=part.is_whole)
    for job in chosen if name in UNPAIRED else ():
        if job.name not in failed:
            portrait = _first(folder / f"{job.portrait}.mp4")
            sidecar.write_portrait(generated / f"{job.name}.mp4", portrait)
    return VideoFolders(generated, real, ABOUT[name], name not in UNPAIRED, failed, tuple(links))


def fill(
    folder: pathlib.Path,
    sources: Mapping[str, Sequence[pathlib.Path]],
    made_by: str,
    load: Callable[[], Draw],
    show: Show,
) -> dict[str, str]:
    """Make the videos that a folder lacks, one by one; returns why others could not be made, by name.

    Args:
      sources: files that each video is made of; it is made anew where one of them is younger.
      made_by: videos of other makers are removed first.
      load: gives what draws; called where a video is missing.
    """
    _begin(folder, made_by)
    missing = [name for name, files in sources.items() if not _is_made(folder / f"{name}.mp4", files)]
    # Loaded where a video is missing: a run that goes on may need none.
    draw = load() if missing else None
    failed: dict[str, str] = {}
    for done, name in enumerate(missing):
        show(done, len(missing), f"making {name}")
        path = folder / f"{name}.mp4"
        path.unlink(missing_ok=True)  # or a failure would leave the old one to be measured
        try:
            assert draw is not None
            draw(name, path)
        except (errors.UserError, ValueError) as error:
            failed[name] = " ".join(str(error).split())
            log.warning("%s cannot be made: %s", name, failed[name])
    return failed


def tell(report: evaluate.Report, failed: Mapping[str, Mapping[str, str]]) -> evaluate.Report:
    """Say in a report also which videos could not be made.

    Args:
      failed: reasons by system and video, `VideoFolders.failed`.
    """
    ours = [
        {"system": system, "video": video_name, "reason": reason}
        for system, videos in failed.items()
        for video_name, reason in videos.items()
    ]
    # The evaluation may have missed a video too, without knowing why.
    others = [f for f in report["failed"] if f["video"] not in failed.get(f["system"], {})]
    return {**report, "failed": others + ours}


def maker(name: str, checkpoint: str | os.PathLike | None, transcribed: bool) -> str:
    """Who makes the videos: the checkpoint's contents, and the phonemes' source."""
    with _checkpoint(name, checkpoint) as path:
        try:
            content = pathlib.Path(path).read_bytes()
        except OSError as error:
            raise errors.UserError(f"{path} cannot be read: {error.strerror}; check its name") from None
    return f"{hashlib.sha256(content).hexdigest()} {'transcribed' if transcribed else 'recognised'}"


def _begin(folder: pathlib.Path, maker: str) -> None:
    """Remove videos that another checkpoint made: they would be taken for this one's. Others stay."""
    note = folder / MAKER
    if note.exists() and note.read_text() == maker:
        return
    if not note.exists() and any(folder.glob("*.mp4")):
        raise errors.UserError(f"{str(folder)!r} holds videos that were not made here; name another --output")
    for path in folder.glob("*.mp4"):
        path.unlink()
    atomic_write.write(note, maker.encode())  # another shard may be reading it


def plan(name: str, listed: manifest.Manifest) -> list[VideoJob]:
    """Which videos a protocol has, of held-out clips.

    Raises:
      UserError: there is no such protocol, or none of its clips.
    """
    if name not in ABOUT:
        raise errors.UserError(f"there is no protocol {name!r}; choose one of {', '.join(ABOUT)}")
    held = [entry for entry in listed.clips if entry.held_out]
    own = [entry for entry in held if entry.person == listed.speaker]
    others = [entry for entry in held if entry.person != listed.speaker]
    if name == "reenactment":
        jobs = [VideoJob(entry.name, entry.name, entry.name) for entry in others]
    elif name == "cross":
        jobs = _cross(others)
    else:
        speaking = own if name.startswith("speech") else others
        jobs = [VideoJob(entry.name, entry.name, entry.name) for entry in _heard(speaking)]
    if not jobs:
        who = "of the speaker" if name.startswith("speech") else "of other people"
        raise errors.UserError(
            f"the clips have none {who}, with sound, kept for tests; preprocess more videos"
        )
    return jobs


def _heard(entries: Sequence[manifest.Entry]) -> list[manifest.Entry]:
    """Clips with audio that is the face's own; with any audio where there is none of them."""
    sounding = [entry for entry in entries if entry.audio]
    return [entry for entry in sounding if entry.in_sync] or sounding


def _cross(others: Sequence[manifest.Entry]) -> list[VideoJob]:
    """Each person's portrait with the voice of another, the voices in turn; every person is shown once."""
    voices = _heard(others)
    faces = list({entry.person: entry for entry in reversed(others)}.values())[::-1]
    jobs = []
    for i, face in enumerate(faces):
        fitting = [voice for voice in voices if voice.person != face.person]
        if fitting:
            voice = fitting[i % len(fitting)]
            jobs.append(VideoJob(f"{face.name}_says_{voice.name}", face.name, voice.name))
    return jobs


def _sources(folder: pathlib.Path, job: VideoJob) -> list[pathlib.Path]:
    return [folder / f"{job.portrait}.mp4", folder / f"{job.driver}.mp4", folder / f"{job.driver}.npz"]


def _is_made(path: pathlib.Path, sources: Sequence[pathlib.Path]) -> bool:
    """Whether a video is there and was made after what it is made of."""
    times = [file.stat().st_mtime_ns for file in sources if file.exists()]
    return path.exists() and path.stat().st_mtime_ns >= max(times, default=0)


def _drawer(
    name: str, checkpoint, transcribed: bool
) -> Callable[[pathlib.Path, VideoJob, pathlib.Path], None]:
    """What makes one video of a folder's clips."""
    if name == "reenactment":
        with _checkpoint(name, checkpoint) as path:
            network = animators.load(path)
        if isinstance(network, mesh_animator.MeshAnimator):
            return _MeshReenactor(network)
        assert isinstance(network, keypoint_animator.KeypointAnimator)
        return _Reenactor(network)
    return functools.partial(_speak, animators.load(checkpoint), name, transcribed)


def _checkpoint(name: str, checkpoint):
    """The file that a protocol's videos are made with; whole videos are reenacted by the learned warp."""
    if checkpoint is not None:
        return contextlib.nullcontext(checkpoint)
    reenacted = name == "reenactment"
    return weights_file.embedded(weights_file.LEARNED_WARP if reenacted else weights_file.DEFAULT)


def _speak(animator, name, transcribed, folder, job, path):
    portrait, heard, file = _sources(folder, job)
    known = clip.load(file)
    animator.animate(
        _first(portrait),
        heard,
        path,
        phonemes=known.phonemes if transcribed else None,
        poses=known.poses if name in REAL_POSES else None,
        # A video compares with the clip pixel by pixel only where it shows the clip's own square.
        cropped=name not in UNPAIRED,
        mark=False,
    )


class _Reenactor:
    """Draws clips' first frames in the motion of all their frames; compiles once."""

    def __init__(self, animator: keypoint_animator.KeypointAnimator):
        self.size, self.variables = animator.config.image_size, animator.variables
        self.encode = jax.jit(functools.partial(keypoint_inference.encode_portrait, animator.config))
        self.draw = jax.jit(functools.partial(keypoint_inference.reenact, animator.config))

    def __call__(self, folder: pathlib.Path, job: VideoJob, path: pathlib.Path) -> None:
        source = folder / f"{job.driver}.mp4"
        portrait = self.encode(self.variables, jnp.asarray(_first(source, self.size), jnp.float32) / 255)
        audio = source if video_io.probe(source).has_audio else None
        frames = video_io.read_frames(source, size=self.size)
        with video_io.VideoWriter(path, size=self.size, audio=audio) as writer, contextlib.closing(frames):
            for block in video_files.chunks(frames, CHUNK):
                made = self.draw(self.variables, portrait, video_files.filled(block, CHUNK))
                writer.write(np.asarray(made)[: len(block)])


class _MeshReenactor:
    """Draws clips' first frames by the landmarks of all their frames."""

    def __init__(self, animator: mesh_animator.MeshAnimator):
        self.animator = animator
        self.draw = jax.jit(functools.partial(mesh_inference.reenact, animator.config))

    def __call__(self, folder: pathlib.Path, job: VideoJob, path: pathlib.Path) -> None:
        source = folder / f"{job.driver}.mp4"
        known = clip.load(source.with_suffix(".npz"))
        points = known.points.astype(np.float32)
        portrait = self.animator.prepare_portrait(_first(source, crop.SIZE), points[0])
        canonical = np.asarray(self.animator.variables["face_basis"]["params"]["canonical"])
        heads = face_basis.heads(face_basis.align(points, canonical))
        audio = source if video_io.probe(source).has_audio else None
        with video_io.VideoWriter(path, size=crop.SIZE, audio=audio) as writer:
            for begin in range(0, len(points), CHUNK):
                index = np.minimum(np.arange(begin, begin + CHUNK), len(points) - 1)
                rows = (points[index], *(x[index] for x in heads))
                made = self.draw(self.animator.variables, portrait, *rows)
                writer.write(np.asarray(made)[: len(points) - begin])


def _first(path: pathlib.Path, size: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
    return video_files.first(video_io.read_frames(path, size=size))


def link_all(sources: Mapping[str, pathlib.Path], real: pathlib.Path, *, alone: bool = True) -> None:
    """Fill a folder of real videos by name, with what is said in them beside them.

    Those of earlier runs go: what is not there is not measured.

    Args:
      alone: nothing else may be there; or else it stays.
    """
    for path in real.glob("*.mp4") if alone else ():
        if path.stem not in sources:
            path.unlink()
    for name, source in sources.items():
        _link(source, real / f"{name}.mp4")
        known = source.with_suffix(".npz")
        said = clip.load(known).phonemes if known.exists() else None
        if said is not None:
            sidecar.write_phonemes(real / f"{name}.mp4", said)


def _link(source: pathlib.Path, path: pathlib.Path) -> None:
    """The same file under another name; a copy where links are not to be had."""
    stamp = lambda file: (file.stat().st_size, file.stat().st_mtime_ns)
    if path.exists() and stamp(path) == stamp(source):
        return
    hidden = atomic_write.hidden_beside(path)  # for another shard may do the same
    try:
        hidden.symlink_to(source.resolve())
    except OSError:
        shutil.copy2(source, hidden)
    os.replace(hidden, path)
