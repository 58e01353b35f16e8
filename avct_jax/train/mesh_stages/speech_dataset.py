"""What E_avct of the mesh learns from: voices as the networks hear them beside how faces moved.

Lips and audio of found videos are often some frames apart. A model that has learned from the speaker, who is
in sync, tells by how much: each clip is shifted by its own lag, and clips that fit nothing are left out.
"""

import functools
import pathlib
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from avct_jax import errors
from avct_jax import face_topology as topology
from avct_jax.data.clips import clip, manifest
from avct_jax.data.dataset import source
from avct_jax.data.faces import face_basis
from avct_jax.data.speech import audio_io, voice_conversion
from avct_jax.train.mesh_stages import person_embeddings, speech_stage

MANY = 5  # clips of a person from which on one rest serves all
MOST_LAG = 5  # frames, where a model is judged
SOUGHT_LAG = 8  # frames, where clips to learn from are brought into sync
LEAST_FIT = 0.2  # correlation at the best lag below which lips do not belong to the audio
SMOOTHED = 1.0  # frames: the landmarks' own tremble


class VoiceRows(NamedTuple):
    """A clip's audio as the networks hear it, one row a frame."""

    posteriors: Float[np.ndarray, "t 2 s"]
    audio: Float[np.ndarray, "t 4 columns"]


class SpeechSet(NamedTuple):
    """c clips, their n frames one after the other.

    Attributes:
      begins: the first of each clip's frames, and n.
      speech: coefficients, standard deviations.
      gap: between the inner lips, eye distances.
      style: log of each clip's person's spread of the gap over people's median.
      lag: frames by which the lips come after the audio.
      fit: correlation there; NaN where not asked.
      revoiced: clips whose audio another voice says; the lips are the same.
    """

    names: tuple[str, ...]
    persons: tuple[str, ...]
    held_out: Bool[np.ndarray, " c"]
    begins: Int[np.ndarray, " c_and_1"]
    posteriors: Float[np.ndarray, "n 2 s"]
    audio: Float[np.ndarray, "n 4 columns"]
    poses: Float[np.ndarray, "n 6"]
    speech: Float[np.ndarray, "n k"]
    gap: Float[np.ndarray, " n"]
    style: Float[np.ndarray, " c"]
    lag: Int[np.ndarray, " c"]
    fit: Float[np.ndarray, " c"]
    revoiced: Bool[np.ndarray, " c"]

    def rows(self, which: int) -> slice:
        """The frames of one clip."""
        return slice(int(self.begins[which]), int(self.begins[which + 1]))


def build(
    folder: pathlib.Path,
    basis: face_basis.FaceBasis,
    hear: Callable[[str, Callable[[], np.ndarray]], VoiceRows],
    *,
    leave_out: str = "non-commercial",
    shortest: int = 40,
    copies: int = 0,
) -> SpeechSet:
    """Read a folder of clips.

    Args:
      hear: of a clip's name and what makes its audio (16 kHz).
      leave_out: sources whose path has this are not used.
      copies: of each training clip, said by other voices (data/speech/voice_conversion.py).

    Raises:
      UserError: no clip has audio and a steady face.
    """
    people: dict[str, list[tuple[manifest.Entry, clip.Clip, VoiceRows]]] = {}
    for entry in manifest.read(folder).without(leave_out):
        if not entry.audio or entry.frames < shortest:
            continue
        one = clip.load(folder / f"{entry.name}.npz")
        if (one.score == 0).mean() > 0.02:
            continue
        voice = hear(entry.name, functools.partial(_audio, folder, entry.name))
        people.setdefault(entry.person, []).append((entry, one, voice))
    if not people:
        raise errors.UserError(f"no clip of {folder} has sound and a steady face; preprocess more videos")
    parts = [part for person in people.values() for part in _person(person, basis)]
    heard = [part for part in parts if not part.held_out]
    return _join([*parts, *(_copy(part, k, folder, hear) for k in range(copies) for part in heard)])


def _audio(folder: pathlib.Path, name: str) -> np.ndarray:
    return audio_io.read_audio(folder / f"{name}.mp4")


class _Part(NamedTuple):
    name: str
    person: str
    held_out: bool
    voice: VoiceRows
    poses: np.ndarray
    speech: np.ndarray
    gap: np.ndarray
    spread: float
    revoiced: bool = False


def _copy(part: _Part, which: int, folder: pathlib.Path, hear: Any) -> _Part:
    """The same lips, at the tempo at which another voice says the same; the name decides which voice."""
    name = f"{part.name}~{which}"
    voice = voice_conversion.draw(np.random.default_rng(zlib.crc32(name.encode(errors="surrogateescape"))))
    heard = hear(name, lambda: voice_conversion.revoice(_audio(folder, part.name), voice))
    place = at_tempo(len(part.gap), voice.tempo)[: len(heard.audio)]
    cut = VoiceRows(heard.posteriors[: len(place)], heard.audio[: len(place)])
    poses, speech, gap = (between(rows, place) for rows in (part.poses, part.speech, part.gap))
    return _Part(name, part.person, False, cut, poses, speech, gap, part.spread, True)


def at_tempo(frames: int, tempo: float) -> Float[np.ndarray, " t"]:
    """Where, in frames of a clip, the frames of the same at another tempo come from."""
    place = (np.arange(int(frames / tempo) + 1) + 0.5) * tempo - 0.5
    return place[place <= frames - 1].clip(0)


def between(rows: Float[np.ndarray, "n *k"], place: Float[np.ndarray, " t"]) -> Float[np.ndarray, "t *k"]:
    """Rows at places that are no whole numbers, on straight lines."""
    low = np.minimum(place.astype(int), len(rows) - 2)
    share = (place - low).reshape(-1, *[1] * (rows.ndim - 1))
    return (rows[low] * (1 - share) + rows[low + 1] * share).astype(np.float32)


def _person(clips, basis):
    """One person's clips against one rest, with the spread of the mouth's opening."""
    aligned = [face_basis.align(one.points.astype(np.float32), basis.canonical) for _, one, _ in clips]
    rests = [face_basis.rest(part.points) for part in aligned]
    if len(clips) > MANY:
        rests = [np.median(rests, axis=0)] * len(clips)
    gaps = [opening(part.points) for part in aligned]
    spread = float(np.concatenate(gaps).std())
    for (entry, _, voice), part, rest, gap in zip(clips, aligned, rests, gaps, strict=True):
        speech = smooth(face_basis.coefficients(part.points, rest, basis))
        count = min(len(speech), len(voice.audio))
        cut = VoiceRows(voice.posteriors[:count], voice.audio[:count])
        poses = face_basis.head_motion(part)[:count]
        yield _Part(entry.name, entry.person, entry.held_out, cut, poses, speech[:count], gap[:count], spread)


def opening(aligned: Float[np.ndarray, "t 478 3"]) -> Float[np.ndarray, " t"]:
    """The mean distance of three pairs of inner lip points, eye distances."""
    pairs = [np.linalg.norm(aligned[:, low] - aligned[:, up], axis=-1) for up, low in topology.MOUTH_GAP]
    return np.mean(pairs, axis=0)


def smooth(rows: Float[np.ndarray, "t k"]) -> Float[np.ndarray, "t k"]:
    """Take the landmarks' tremble off: a quarter of each neighbour."""
    padded = np.pad(rows, ((1, 1), (0, 0)), mode="edge")
    return (0.2 * padded[:-2] + 0.6 * padded[1:-1] + 0.2 * padded[2:]).astype(np.float32)


def _join(parts: list[_Part]) -> SpeechSet:
    usual = float(np.median([part.spread for part in parts]))
    stack = lambda values: np.concatenate(list(values)).astype(np.float32)
    return SpeechSet(
        tuple(p.name for p in parts),
        tuple(p.person for p in parts),
        np.array([p.held_out for p in parts]),
        np.cumsum([0, *(len(p.speech) for p in parts)]),
        stack(p.voice.posteriors for p in parts),
        stack(p.voice.audio for p in parts),
        stack(p.poses for p in parts),
        stack(p.speech for p in parts),
        stack(p.gap for p in parts),
        np.log([max(p.spread, 1e-4) / usual for p in parts]).clip(-1, 1).astype(np.float32),
        np.zeros(len(parts), np.int64),
        np.full(len(parts), np.nan, np.float32),
        np.array([p.revoiced for p in parts]),
    )


def with_lags(known: SpeechSet, predicted: list[Float[np.ndarray, "t"]]) -> SpeechSet:
    """Find each clip's lag by what a model predicts of the gap.

    Args:
      predicted: one for each clip.
    """
    found = [best_lag(p, known.gap[known.rows(i)], SOUGHT_LAG) for i, p in enumerate(predicted)]
    return known._replace(
        lag=np.array([lag for lag, _ in found]), fit=np.array([r for _, r in found], np.float32)
    )


def best_lag(
    predicted: Float[np.ndarray, " t"], real: Float[np.ndarray, " t"], most: int = MOST_LAG
) -> tuple[int, float]:
    """Return by how many frames the real lips come late, and the correlation there."""
    count = len(real)
    results = []
    for lag in range(-most, most + 1):
        a = predicted[max(0, -lag) : count - max(0, lag)]
        b = real[max(0, lag) : count - max(0, -lag)]
        results.append(float(np.corrcoef(a, b)[0, 1]) if a.std() > 1e-9 and b.std() > 1e-9 else 0.0)
    best = int(np.argmax(results))
    return best - most, results[best]


class SpeechSource(source.PeopleSource):
    """A source.Source of speech_stage.SpeechBatch."""

    KIND, STREAM = "speech", 11

    def __init__(
        self,
        known: SpeechSet,
        *,
        radius: int,
        frames: int = 24,
        speaker: str = "",
        speaker_prob: float = 0.4,
        revoiced_share: float = 0.5,
    ):
        """Take a set.

        Args:
          radius: neighbours on each side.
          frames: t of an example.
          speaker_prob: of examples that are the speaker's; the rest is drawn person by person.
          revoiced_share: of a person's examples that another voice says, where there are such.
        """
        self.known, self.radius, self.frames = known, radius, frames
        self.revoiced_share = revoiced_share
        lengths = np.diff(known.begins)
        fits = (lengths >= frames + 2 * SOUGHT_LAG) & ~(known.fit < LEAST_FIT)
        super().__init__(known.persons, fits, known.held_out, speaker=speaker, speaker_prob=speaker_prob)
        self.names = person_embeddings.names_of(known.persons, known.held_out)
        self._numbers = person_embeddings.numbers_of(known.persons, self.names)

    def collate(self, drawn: list[tuple[int, np.random.Generator]]) -> speech_stage.SpeechBatch:
        """Take a stretch out of each clip, its beginning by lot."""
        rows = [self._example(which, rng) for which, rng in drawn]
        return speech_stage.SpeechBatch(*(np.stack(column) for column in zip(*rows, strict=True)))

    def _example(self, which, rng):
        known, rows = self.known, self.known.rows(which)
        lag, length = int(known.lag[which]), rows.stop - rows.start
        first = int(rng.integers(max(0, -lag), length - self.frames - max(0, lag) + 1))
        return *example(known, which, first, self.frames, self.radius), self._numbers[which]

    def choose(self, which: Int[np.ndarray, " k"], rng: np.random.Generator) -> int:
        """Draw a clip as it is, or said by another voice."""
        revoiced = self.known.revoiced[which]
        wanted = which[revoiced == (rng.random() < self.revoiced_share)]
        return int(rng.choice(wanted if len(wanted) else which))


def example(known: SpeechSet, which: int, first: int, frames: int, radius: int) -> tuple[Any, ...]:
    """The fields of a SpeechBatch, but for `person`, of frames from `first`; outside of the clip its ends are
    repeated.
    """
    rows, lag = known.rows(which), int(known.lag[which])
    heard = (
        np.clip(np.arange(first - radius, first + frames + radius), 0, rows.stop - rows.start - 1)
        + rows.start
    )
    seen = np.clip(np.arange(first, first + frames) + lag, 0, rows.stop - rows.start - 1) + rows.start
    posed = np.clip(heard + lag, rows.start, rows.stop - 1)
    return (
        known.posteriors[heard], known.poses[posed], known.audio[heard], known.style[which],
        known.speech[seen], known.gap[seen], np.float32(1.0),
    )  # fmt: skip


def mean_speech(known: SpeechSet, speaker: str) -> tuple[float, ...]:
    """The mean coefficients of other people's training clips; of the speaker's where there are no others."""
    mine = np.array([person == speaker for person in known.persons])
    usable = ~known.held_out & ~known.revoiced
    chosen = np.flatnonzero(usable & ~mine) if (usable & ~mine).any() else np.flatnonzero(usable)
    mean = np.concatenate([known.speech[known.rows(int(i))] for i in chosen]).mean(0)
    return tuple(round(float(value), 3) for value in mean)


def trust(known: SpeechSet, speaker: str) -> SpeechSet:
    """Take the speaker's clips as they are: theirs are in sync, and it is by them that lags are found."""
    mine = np.array([person == speaker for person in known.persons])
    return known._replace(lag=np.where(mine, 0, known.lag), fit=np.where(mine, 1, known.fit))
