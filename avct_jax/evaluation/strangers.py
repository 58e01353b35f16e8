"""Videos of portraits and voices that training never saw, to be set beside what real other people do."""

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from avct_jax import errors
from avct_jax.animator import factory as animators
from avct_jax.data.clips import clip, manifest
from avct_jax.data.media import image_io, video_io
from avct_jax.data.phonemes import symbols
from avct_jax.data.speech import audio_io, speech_features
from avct_jax.evaluation import protocols, sidecar, video_files
from avct_jax.workers import shard

NAME = "strangers"
ABOUT = (
    "Portraits and voices that training never saw, each portrait with voices of others. The real videos are "
    "of other people again: what videos show by themselves compares, frame by frame nothing does."
)
VOICES = 3  # by default each portrait speaks with so many
SECONDS = 8.0  # of a voice at most: the real people's clips are no longer
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
SOUNDS = (".wav", ".flac", ".mp3", ".m4a", ".ogg", ".opus", *video_files.SUFFIXES)


class StrangerFile(NamedTuple):
    """A portrait or a voice: whose it is, its file, and whether that recordings."""

    name: str
    person: str
    path: pathlib.Path
    sounds: bool = True


class StrangerJob(NamedTuple):
    """A video to make."""

    portrait: StrangerFile
    voice: StrangerFile

    @property
    def name(self) -> str:
        """The video's name."""
        return f"{self.portrait.name}_says_{self.voice.name}"


def make(
    output: str | os.PathLike,
    *,
    clips: str | os.PathLike | None = None,
    portraits: str | os.PathLike | None = None,
    voices: str | os.PathLike | None = None,
    checkpoint: str | os.PathLike | None = None,
    videos: int = 0,
    transcribed: bool = False,
    part: shard.Shard = shard.WHOLE,
    show: protocols.Show = lambda done, total, text: None,
) -> protocols.VideoFolders:
    """Make the videos; what cannot be made is told, and the rest goes on.

    Args:
      clips: a folder of `avct preprocess`: its held-out people other than the speaker give portraits (first
        frames), voices, and the real videos.
      portraits, voices: folders of images and of recordings instead, phonemes beside these as NAME.json or
        NAME.TextGrid.
      output: its folder "strangers" gets the videos, "strangers-real" links to the real ones, if there are
        clips.
      videos: at most so many; 0: each portrait with three voices.
      transcribed: the animator is told the known phonemes.
      part: of the videos that is made; others' stay.

    Raises:
      UserError: a folder is missing or holds nothing of its kind, the clips have nobody held out, or no
        video could be made.
    """
    held = _held(pathlib.Path(clips)) if clips is not None else []
    shown, heard = _sources(portraits, voices, clips, held)
    jobs = {job.name: job for job in part.of(pair(shown, heard, videos))}
    generated, real = pathlib.Path(output) / NAME, pathlib.Path(output) / f"{NAME}-real"
    for place in (generated, real):
        place.mkdir(parents=True, exist_ok=True)
    sources = {name: [job.portrait.path, job.voice.path] for name, job in jobs.items()}

    def load() -> protocols.Draw:
        animator = animators.load(checkpoint)
        return lambda name, path: _speak(animator, transcribed, jobs[name], path)

    failed = protocols.fill(generated, sources, protocols.maker(NAME, checkpoint, transcribed), load, show)
    if jobs and len(failed) == len(jobs):
        raise errors.UserError(f"no video of {NAME} could be made: {next(iter(failed.values()))}")
    protocols.link_all({source.name: source.path for source in held if source.sounds}, real)
    names = tuple(name for name in jobs if name not in failed)
    return protocols.VideoFolders(generated, real, ABOUT, False, failed, names)


def pair(
    portraits: Sequence[StrangerFile], voices: Sequence[StrangerFile], videos: int = 0
) -> list[StrangerJob]:
    """Which portrait speaks with which voices: in rounds, each time the next voice that is another person's.

    The first round gives each portrait one video, so that a smaller number is a fair part of a larger one.

    Args:
      videos: at most so many; 0: three rounds.

    Raises:
      UserError: nobody is left whose voice a portrait could have.
    """
    jobs = []
    for turn in range(len(voices) if videos else VOICES):
        for place, portrait in enumerate(portraits):
            others = [voice for voice in voices if voice.person != portrait.person]
            if turn < len(others):
                jobs.append(StrangerJob(portrait, others[(place + turn) % len(others)]))
    if not jobs:
        raise errors.UserError("there is no voice of another person than the portraits'; add more voices")
    return jobs[:videos] if videos else jobs


def _sources(portraits, voices, clips, held) -> tuple[list[StrangerFile], list[StrangerFile]]:
    """Portraits and voices, of folders where they are given, else of clips."""
    if clips is None and (portraits is None or voices is None):
        raise errors.UserError(
            f"--protocol {NAME} needs --clips DIR, or both --portraits DIR and --voices DIR"
        )
    shown = _one_each(held) if portraits is None else _files(portraits, IMAGES, "image")
    sounding = [source for source in held if source.sounds]
    heard = _one_each(sounding) if voices is None else _files(voices, SOUNDS, "sound")
    if not shown or not heard:
        raise errors.UserError(
            f"{os.fspath(clips or '')!r} has no clip of another person, with sound, kept for tests; "
            "preprocess more videos, or give --portraits and --voices"
        )
    return shown, heard


def _one_each(sources: Sequence[StrangerFile]) -> list[StrangerFile]:
    """The first of each person."""
    return list({source.person: source for source in reversed(sources)}.values())[::-1]


def _held(folder: pathlib.Path) -> list[StrangerFile]:
    """Held-out clips of people other than the speaker, in order of name."""
    listed = manifest.read(folder, least=1)
    kept = [entry for entry in listed.clips if entry.held_out and entry.person != listed.speaker]
    return [
        StrangerFile(entry.name, entry.person, folder / f"{entry.name}.mp4", entry.audio) for entry in kept
    ]


def _files(folder, endings, what) -> list[StrangerFile]:
    """Files of a kind in a folder, in order of name; each is a person of its own, by its name."""
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise errors.UserError(f"{str(root)!r} is no folder; name one that holds {what}s")
    found = [path for path in sorted(root.iterdir()) if path.suffix.lower() in endings]
    found = [path for path in found if path.is_file() and not path.name.startswith(".")]
    if not found:
        raise errors.UserError(f"no {what} is in {str(root)!r}; it should hold {', '.join(endings)} files")
    return [StrangerFile(path.stem, path.stem, path) for path in found]


def _speak(animator, transcribed, job: StrangerJob, path: pathlib.Path) -> None:
    """Write one video, with its portrait and what is said beside it."""
    wav, said = _heard(job.voice.path)
    image = _portrait(job.portrait.path)
    sidecar.write_portrait(path, image)
    if said is not None:
        sidecar.write_phonemes(path, said)
    animator.animate(image, wav, path, phonemes=said if transcribed else None, mark=False)


def _portrait(path: pathlib.Path) -> UInt8[np.ndarray, "h w 3"]:
    if path.suffix.lower() in IMAGES:
        return image_io.read_image(path)
    return video_files.first(video_io.read_frames(path))


def _heard(path: pathlib.Path) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " t"] | None]:
    """The beginning of a voice, and its phonemes where they are known."""
    wav = audio_io.read_audio(path)[: round(SECONDS * speech_features.SAMPLE_RATE)]
    frames = speech_features.frame_count(len(wav))
    known = _known_phonemes(path)
    return wav, None if known is None else symbols.fit_to_frames(known[:frames].astype(np.int32), frames)


def _known_phonemes(path):
    if (beside := path.with_name(path.stem + ".npz")).is_file():
        return clip.load(beside).phonemes
    files = (path.with_name(path.stem + ending) for ending in (".json", ".TextGrid"))
    found = next((file for file in files if file.is_file()), None)
    return symbols.labels_from_segments(symbols.read_segments(found)) if found else None
