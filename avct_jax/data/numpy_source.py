"""Training batches from a folder of clips, in numpy alone.

A `Bank` keeps the still pictures of all clips, and `Speech` one clip with its sound. What is drawn has the
fields of the stages' Batch, with `FaceMotion` in the place of motion.Motion: nothing here needs JAX.
"""

import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from avct_jax import errors
from avct_jax.data import clip, face_motion, phonemes

# One in this many is never trained on.
HELD_OUT_CLIPS, HELD_OUT_PERSONS = 20, 14
LEAST_FRAMES = 6  # of one face that are worth a place in the bank
FARTHEST, LARGEST = 0.45, 0.35  # [-1, 1] units off the clip's median face, and change of log size: a cut
LEAST_SILENT = 6  # frames from which a speaker's rest can be told
CALMEST = 0.6  # share of the silent frames, those with the lips closest, that are rest
WIDE_OPEN = 0.7  # share of a clip's pictures with a narrower mouth than each pair's last one
SHUT, SHUT_SOURCES = 0.5, 0.6  # the half with the narrower mouths, and the share of sources taken from it
TRANSCRIBED = 0.5  # chance of phonemes by transcript; else those a recogniser hears, as in use


class FaceMotion(NamedTuple):
    """Keypoints in [-1, 1] and Jacobians of faces (data/face_motion.py)."""

    keypoints: Float[np.ndarray, "*n 10 2"]
    jacobians: Float[np.ndarray, "*n 10 2 2"]

    def at(self, places) -> "FaceMotion":
        """Those at `places` of the first axis."""
        return FaceMotion(self.keypoints[places], self.jacobians[places])


class Bank(NamedTuple):
    """The pictures of c clips, n in all, that show each clip's one face.

    frames: of each clip. clip, place: which clip each of the n is of, and its place there; clips in order.
    held_out: clips that are never trained on. speaker: clips of the person whose speech is learned.
    """

    names: tuple[str, ...]
    persons: tuple[str, ...]
    held_out: Bool[np.ndarray, " c"]
    speaker: Bool[np.ndarray, " c"]
    frames: tuple[UInt8[np.ndarray, "_ s s 3"], ...]
    clip: Int[np.ndarray, " n"]
    place: Int[np.ndarray, " n"]
    points: Float[np.ndarray, "n 468 3"]
    poses: Float[np.ndarray, "n 6"]

    def pictures(self, places: Int[np.ndarray, "*b"]) -> UInt8[np.ndarray, "*b s s 3"]:
        """The pictures at these of the n places."""
        flat = [self.frames[self.clip[i]][self.place[i]] for i in places.ravel()]
        return np.stack(flat).reshape(*places.shape, *flat[0].shape)

    def pool(self, *, speaker: bool, held_out: bool = False) -> Int[np.ndarray, " m"]:
        """Places of the speaker's pictures, or of everybody else's."""
        return np.flatnonzero(((self.speaker == speaker) & (self.held_out == held_out))[self.clip])


class Speech(NamedTuple):
    """A clip of the speaker, t frames, with sound.

    rest: mean motion and pose while silent. portrait_index: frames that `portraits` shows.
    """

    motion: FaceMotion
    poses: Float[np.ndarray, "t 6"]
    rest_motion: FaceMotion
    rest_pose: Float[np.ndarray, "6"]
    audio: Float[np.ndarray, "t 4 41"]
    phonemes: Int[np.ndarray, " t"]
    recognised: Int[np.ndarray, " t"]
    silent: Bool[np.ndarray, " t"]
    portraits: UInt8[np.ndarray, "n s s 3"]
    portrait_index: Int[np.ndarray, " n"]


class Faces(NamedTuple):
    """A batch of the keypoint stage."""

    frames: UInt8[np.ndarray, "b s s 3"]
    motion: FaceMotion


class Pairs(NamedTuple):
    """A batch of the renderer stage."""

    source: UInt8[np.ndarray, "b s s 3"]
    driving: UInt8[np.ndarray, "b n s s 3"]
    source_motion: FaceMotion
    driving_motion: FaceMotion


class Stretches(NamedTuple):
    """A batch of the AVCT stage."""

    portrait: UInt8[np.ndarray, "b s s 3"]
    portrait_motion: FaceMotion
    portrait_pose: Float[np.ndarray, "b 6"]
    rest_motion: FaceMotion
    rest_pose: Float[np.ndarray, "b 6"]
    phonemes: Int[np.ndarray, "b t"]
    audio: Float[np.ndarray, "b t 4 41"]
    silent: Float[np.ndarray, "b t"]
    poses: Float[np.ndarray, "b t 6"]
    motion: FaceMotion


class Nods(NamedTuple):
    """A batch of the head-motion stage."""

    audio: Float[np.ndarray, "b t 4 41"]
    poses: Float[np.ndarray, "b t 6"]


def held_out(name: str, person: str, *, speaker: str) -> bool:
    """Whether a clip is kept from training: other people as a whole, the speaker's clips one by one.

    By hash, so that the split stays when clips are added.
    """
    word, share = (name, HELD_OUT_CLIPS) if person == speaker else (person, HELD_OUT_PERSONS)
    return int(hashlib.md5(word.encode()).hexdigest(), 16) % share == 0


def read_bank(folder: str | os.PathLike, *, speaker: str, speaker_step: int = 1) -> Bank:
    """Read the pictures of all clips in a folder.

    Args:
      speaker: the person whose speech is learned. speaker_step: every how many of their pictures are taken.
    Raises:
      UserError: no clip is there, or one is damaged.
    """
    kept, names, persons, frames = [], [], [], []
    for path in clip_files(folder):
        made = clip.load(path)
        places = steady_frames(made, step=speaker_step if made.person == speaker else 1)
        if len(places) < LEAST_FRAMES:
            continue
        names.append(path.stem)
        persons.append(made.person)
        frames.append(made.frames[places])
        kept.append((made.points[made.index[places]], made.poses[made.index[places]]))
    if not names:
        raise errors.UserError(f"no clip in {folder} shows a steady face; prepare other videos")
    points, poses = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    count = [len(x) for x in frames]
    held = [held_out(n, p, speaker=speaker) for n, p in zip(names, persons, strict=True)]
    which, place = np.repeat(np.arange(len(count)), count), np.concatenate([np.arange(n) for n in count])
    mine = np.array([person == speaker for person in persons])
    return Bank(
        tuple(names), tuple(persons), np.array(held), mine, tuple(frames), which, place, points, poses
    )


def clip_files(folder: str | os.PathLike) -> list[pathlib.Path]:
    """The clips of a folder by name.

    Raises:
      UserError: there is none.
    """
    files = sorted(path for path in pathlib.Path(folder).glob("*.npz") if not path.name.startswith("."))
    if not files:
        raise errors.UserError(f"no clip in {folder}; make clips by scripts/prepare_clips.py")
    return files


def steady_frames(made: clip.Clip, *, step: int = 1) -> Int[np.ndarray, " m"]:
    """Which pictures of a clip show its one face: no picture without one, none after a cut to another.

    Args:
      step: take every `step`-th of the pictures with a face.
    """
    points = made.points[made.index][..., :2]
    places = np.flatnonzero(np.isfinite(points[:, 0, 0]))
    if len(places) < LEAST_FRAMES + 2:
        return places[:0]
    places = places[::step]
    points = points[places]
    centre = points.mean(1)
    size = np.abs(points - centre[:, None]).mean((1, 2))
    near = np.abs(centre - np.median(centre, 0)).max(1) < FARTHEST
    return places[near & (np.abs(np.log(size / np.median(size))) < LARGEST)]


def mean_face(bank: Bank) -> Float[np.ndarray, "468 2"]:
    """The mean face of everybody but the speaker, of every third training picture."""
    others = bank.pool(speaker=False)
    if not len(others):
        raise errors.UserError("all clips are of the speaker or held out; add clips of other people")
    return face_motion.mean_face(bank.points[others[::3]])


def bank_motion(bank: Bank, mean: Float[np.ndarray, "468 2"]) -> FaceMotion:
    """The motion of all n faces."""
    return FaceMotion(*face_motion.face_motion(bank.points, mean))


def read_speech(
    folder: str | os.PathLike, mean: Float[np.ndarray, "468 2"], *, speaker: str, least_frames: int = 24
) -> dict[str, Speech]:
    """Read the speaker's training clips that have sound, a face in every frame, and a rest.

    Args:
      least_frames: shorter clips are left out.
    Raises:
      UserError: there is none.
    """
    clips = {}
    for path in clip_files(folder):
        made = clip.load(path)
        if made.person != speaker or held_out(path.stem, speaker, speaker=speaker):
            continue
        speech = as_speech(made, mean) if len(made.points) >= least_frames else None
        if speech is not None:
            clips[path.stem] = speech
    if not clips:
        raise errors.UserError(
            f"no clip of {speaker!r} in {folder} can be learned from; give clips with sound"
        )
    return clips


def as_speech(made: clip.Clip, mean: Float[np.ndarray, "468 2"]) -> Speech | None:
    """Tell what rest is; None without sound, with a face missing, or with hardly a silent frame."""
    if made.silent is None or not np.isfinite(made.points).all():
        return None
    silent = made.silent | (made.phonemes == phonemes.SIL)
    if silent.sum() < LEAST_SILENT:
        return None
    moves = FaceMotion(*face_motion.face_motion(made.points, mean))
    opening = lip_opening(moves)
    rest = silent & (opening <= np.quantile(opening[silent], CALMEST))
    still = FaceMotion(*(x.mean(0) for x in moves.at(rest)))
    return Speech(
        moves, made.poses, still, made.poses[rest].mean(0), made.audio, made.phonemes, made.recognised,
        silent, made.frames, made.index,
    )  # fmt: skip


def lip_opening(moves: FaceMotion) -> Float[np.ndarray, "*n"]:
    """How far the lower lip is below the upper, [-1, 1] units."""
    return moves.keypoints[..., 1, 1] - moves.keypoints[..., 0, 1]


def draw_faces(
    bank: Bank, moves: FaceMotion, rng: np.random.Generator, *, people: int = 12, speaker: int = 4
) -> Faces:
    """Draw pictures of many people, and of the speaker."""
    places = [
        rng.choice(pool, count)
        for pool, count in ((bank.pool(speaker=False), people), (bank.pool(speaker=True), speaker))
        if len(pool)
    ]
    chosen = np.concatenate(places)
    return Faces(bank.pictures(chosen), moves.at(chosen))


def draw_pairs(
    bank: Bank,
    moves: FaceMotion,
    rng: np.random.Generator,
    *,
    sources: int = 8,
    driving: int = 2,
    speaker_share: float = 0.35,
) -> Pairs:
    """Draw sources and driving pictures of their clips: of the speaker, or of any person alike.

    Each source's last driving picture has an open mouth, which is rare and hardest to draw, above all where
    the source's is shut, as most portraits' are.
    """
    train = ~bank.held_out
    mine = np.flatnonzero(bank.speaker & train)
    others: dict[str, list[int]] = {}
    for i in np.flatnonzero(~bank.speaker & train):
        others.setdefault(bank.persons[i], []).append(int(i))
    people = list(others.values())
    opening, chosen = lip_opening(moves), []
    for _ in range(sources):
        own = not people or (len(mine) and rng.random() < speaker_share)
        which = rng.choice(mine if own else people[rng.integers(len(people))])
        begin, end = np.searchsorted(bank.clip, [which, which + 1])
        places = rng.integers(begin, end, driving + 1)
        mouth = opening[begin:end]
        places[-1] = begin + rng.choice(np.flatnonzero(mouth >= np.quantile(mouth, WIDE_OPEN)))
        if rng.random() < SHUT_SOURCES:
            places[0] = begin + rng.choice(np.flatnonzero(mouth <= np.quantile(mouth, SHUT)))
        chosen.append(places)
    source, driven = np.array(chosen)[:, 0], np.array(chosen)[:, 1:]
    return Pairs(bank.pictures(source), bank.pictures(driven), moves.at(source), moves.at(driven))


def draw_stretches(
    clips: Sequence[Speech],
    bank: Bank,
    moves: FaceMotion,
    rng: np.random.Generator,
    *,
    count: int = 8,
    frames: int = 24,
    radius: int = 5,
    others: float = 0.6,
) -> Stretches:
    """Draw stretches of `frames` + 2 `radius` frames of speech, each with a portrait.

    A stretch may begin before its clip and end after it: in silence, as any sound does in use.

    Args:
      others: share of portraits of other people, whom the speaker's motion is put on; the rest are frames
        of the clip itself.
    """
    portraits = bank.pool(speaker=False)[::3]
    drawn = []
    for clip_index in rng.choice(len(clips), count):
        speech = clips[clip_index]
        t, length = len(speech.poses), frames + 2 * radius
        places = np.arange(length) + rng.integers(-radius, t + radius - length + 1)
        said = stretch(speech, places, transcribed=rng.random() < TRANSCRIBED)
        if not len(portraits) or rng.random() >= others:
            shown = rng.integers(len(speech.portraits))
            at = speech.portrait_index[shown]
            portrait = (speech.portraits[shown], speech.motion.at(at), speech.poses[at])
        else:
            at = portraits[rng.integers(len(portraits))]
            portrait = (bank.pictures(at.reshape(1))[0], moves.at(at), bank.poses[at])
        drawn.append((*portrait, speech.rest_motion, speech.rest_pose, *said))
    return Stretches(*(_stack(values) for values in zip(*drawn, strict=True)))


def stretch(speech: Speech, places: Int[np.ndarray, " t"], *, transcribed: bool) -> tuple:
    """The last five fields of Stretches at these frames; before and after the clip is silence."""
    inside = (places >= 0) & (places < len(speech.poses))
    at = np.clip(places, 0, len(speech.poses) - 1)
    labels = speech.phonemes if transcribed else speech.recognised
    return (
        np.where(inside, labels[at], phonemes.SIL).astype(np.int32),
        np.where(inside[:, None, None], speech.audio[at], 0).astype(np.float32),
        np.where(inside, speech.silent[at], 1).astype(np.float32),
        speech.poses[at].astype(np.float32),
        speech.motion.at(at),
    )


def draw_nods(clips: Sequence[Speech], rng: np.random.Generator, *, count: int = 8, frames: int = 64) -> Nods:
    """Draw stretches of sound and head poses, all inside their clips."""
    drawn = []
    for i in rng.choice(len(clips), count):
        begin = rng.integers(0, len(clips[i].poses) - frames + 1)
        inner = slice(begin, begin + frames)
        drawn.append((clips[i].audio[inner], clips[i].poses[inner].astype(np.float32)))
    return Nods(*(np.stack(values) for values in zip(*drawn, strict=True)))


def _stack(values: Sequence) -> Any:
    if isinstance(values[0], FaceMotion):
        return FaceMotion(*(np.stack(x) for x in zip(*values, strict=True)))
    return np.stack(values)
