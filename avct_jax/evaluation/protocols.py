"""Films made of the clips that training never sees, as the paper and FOMM make theirs."""

import contextlib
import functools
import hashlib
import importlib.resources
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from avct_jax import animator as animators
from avct_jax import errors, inference
from avct_jax.data import catalog, clip, video
from avct_jax.evaluation import evaluate, film

ABOUT = {
    "reenactment": "People that training never saw: the first frame, moved as E_kd sees the clip move "
    "(absolute keypoints, as FOMM reconstructs).",
    "speech": "Clips of the speaker that training never saw: the first frame, the clip's sound and its real "
    "head poses.",
    "speech-predicted": "Clips of the speaker that training never saw: the first frame and the clip's sound; "
    "head poses predicted.",
    "cross": "First frames of people that training never saw, with the voices of others whom it never heard. "
    "The real films are the voices' own: mouth and sound compare, pictures do not.",
}
UNPAIRED = {"cross"}
CHUNK = 16  # frames drawn at once
MAKER = ".made_by"  # file of a folder of films

Show = Callable[[int, int, str], None]


class Made(NamedTuple):
    """Folders of films by the same names; paired: the real film shows the same face saying the same."""

    generated: pathlib.Path
    real: pathlib.Path
    about: str
    paired: bool


class Job(NamedTuple):
    """A film to make: whose picture, and which clip drives it."""

    name: str
    portrait: str
    driver: str


def make(
    name: str,
    clips: str | os.PathLike,
    output: str | os.PathLike,
    *,
    checkpoint: str | os.PathLike | None = None,
    films: int = 0,
    transcribed: bool = False,
    show: Show = lambda done, total, text: None,
) -> Made:
    """Make a protocol's films; those that the same checkpoint made already stay.

    Args:
      name: of ABOUT. clips: a folder of `avct preprocess`. films: at most so many, evenly chosen; 0: all.
      output: its folder generated/NAME gets the films, real/NAME links to the real ones.
      transcribed: phonemes of the clips' words, where they are known, instead of recognised ones.
    Raises:
      UserError: no such protocol or folder, or it has no clip for this protocol.
    """
    folder = pathlib.Path(clips)
    chosen = evaluate.choose(plan(name, catalog.read_manifest(folder)), films)
    output = pathlib.Path(output)
    generated, real = output / name, output / f"{name}-real"
    for part in (generated, real):
        part.mkdir(parents=True, exist_ok=True)
    _begin(generated, _maker(checkpoint, transcribed))
    # Loaded where a film is missing: a run that goes on may need none.
    load = functools.cache(lambda: animators.load(checkpoint))
    reenactor = functools.cache(lambda: _Reenactor(load()))
    for done, job in enumerate(chosen):
        show(done, len(chosen), f"making {job.name}")
        _link(folder / f"{job.driver}.mp4", real / f"{job.name}.mp4")
        path = generated / f"{job.name}.mp4"
        if path.exists():
            continue
        if name == "reenactment":
            reenactor()(folder / f"{job.driver}.mp4", path)
        else:
            _speak(load(), folder, job, path, real_poses=name == "speech", transcribed=transcribed)
    return Made(generated, real, ABOUT[name], name not in UNPAIRED)


def _maker(checkpoint, transcribed) -> str:
    """Who makes the films: the checkpoint's contents, and the phonemes' source."""
    embedded = importlib.resources.files("avct_jax") / "pretrained" / "lite.safetensors"
    whole = pathlib.Path(checkpoint) if checkpoint is not None else embedded
    try:
        content = whole.read_bytes()
    except OSError as error:
        raise errors.UserError(f"{checkpoint} cannot be read: {error.strerror}") from None
    return f"{hashlib.sha256(content).hexdigest()} {'transcribed' if transcribed else 'recognised'}"


def _begin(folder: pathlib.Path, maker: str) -> None:
    """Remove films that another checkpoint made: they would be taken for this one's."""
    note = folder / MAKER
    if note.exists() and note.read_text() == maker:
        return
    for path in folder.glob("*.mp4"):
        path.unlink()
    note.write_text(maker)


def plan(name: str, manifest: catalog.Manifest) -> list[Job]:
    """Which films a protocol has, of held-out clips.

    Raises:
      UserError: there is no such protocol, or none of its clips.
    """
    if name not in ABOUT:
        raise errors.UserError(f"there is no protocol {name!r}; choose one of {', '.join(ABOUT)}")
    held = [entry for entry in manifest.entries if entry.held_out]
    own = [entry for entry in held if entry.person == manifest.speaker]
    others = [entry for entry in held if entry.person != manifest.speaker]
    if name == "reenactment":
        jobs = [Job(entry.name, entry.name, entry.name) for entry in others]
    elif name == "cross":
        jobs = _cross(others)
    else:
        jobs = [Job(entry.name, entry.name, entry.name) for entry in own if entry.sound]
    if not jobs:
        who = "of the speaker" if name.startswith("speech") else "of other people"
        raise errors.UserError(
            f"the clips have none {who}, with sound, kept for tests; preprocess more films"
        )
    return jobs


def _cross(others: Sequence[catalog.Entry]) -> list[Job]:
    """Each voice with the portraits of the next people in order; every person is shown."""
    voices = [entry for entry in others if entry.sound]
    faces = list({entry.person: entry for entry in reversed(others)}.values())[::-1]
    jobs = []
    for i, face in enumerate(faces):
        fitting = [voice for voice in voices if voice.person != face.person]
        if fitting:
            voice = fitting[i % len(fitting)]
            jobs.append(Job(f"{face.name}_says_{voice.name}", face.name, voice.name))
    return jobs


def _speak(animator, folder, job, path, *, real_poses, transcribed):
    known = clip.load(folder / f"{job.driver}.npz")
    portrait = _first(folder / f"{job.portrait}.mp4")
    animator.animate(
        portrait,
        folder / f"{job.driver}.mp4",
        path,
        phonemes=known.phonemes if transcribed and known.phonemes is not None else None,
        poses=known.poses if real_poses else None,
    )


class _Reenactor:
    """Draws clips' first frames in the motion of all their frames; compiles once."""

    def __init__(self, animator: animators.Animator):
        self.size, self.variables = animator.config.image_size, animator.variables
        self.encode = jax.jit(functools.partial(inference.encode_portrait, animator.config))
        self.draw = jax.jit(functools.partial(inference.reenact, animator.config))

    def __call__(self, source: pathlib.Path, path: pathlib.Path) -> None:
        first = jnp.asarray(_first(source, self.size), jnp.float32) / 255
        portrait = self.encode(self.variables, first)
        sound = source if video.probe(source).has_audio else None
        frames: Iterator = video.read_frames(source, size=self.size)
        with video.VideoWriter(path, size=self.size, audio=sound) as writer, contextlib.closing(frames):
            for block in film.chunks(frames, CHUNK):
                full = np.concatenate([block, np.repeat(block[-1:], CHUNK - len(block), axis=0)])
                writer.write(np.asarray(self.draw(self.variables, portrait, full))[: len(block)])


def _first(path: pathlib.Path, size: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
    frames: Iterator = video.read_frames(path, size=size)
    with contextlib.closing(frames):
        return next(frames)


def _link(source: pathlib.Path, path: pathlib.Path) -> None:
    """The same file under another name; a copy where links are not to be had."""
    if path.exists():
        return
    path.unlink(missing_ok=True)
    try:
        path.symlink_to(source.resolve())
    except OSError:
        shutil.copyfile(source, path)
