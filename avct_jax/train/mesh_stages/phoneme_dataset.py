"""What the phoneme network learns from: recordings, and what a network that hears them whole made of them."""

import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from avct_jax import errors
from avct_jax.data.dataset import source
from avct_jax.data.speech import audio_io
from avct_jax.train.mesh_stages import phoneme_stage, speech_dataset

GROUPS = ("speaker", "people", "recordings")
LONGEST = 60  # s that are heard of a file


class Sounds(NamedTuple):
    """c recordings, their n frames one after the other.

    Attributes:
      groups: what each is drawn by, one of GROUPS.
      begins: the first of each recording's frames, and n.
    """

    groups: tuple[str, ...]
    held_out: Bool[np.ndarray, " c"]
    begins: Int[np.ndarray, " c_and_1"]
    audio: Float[np.ndarray, "n 4 columns"]
    posteriors: Float[np.ndarray, "n 2 s"]

    def rows(self, which: int) -> slice:
        """The frames of one recording."""
        return slice(int(self.begins[which]), int(self.begins[which + 1]))


def of_clips(known: speech_dataset.SpeechSet, speaker: str) -> Sounds:
    """Take the recordings of clips, those that other voices say among them."""
    groups = tuple("speaker" if person == speaker else "people" for person in known.persons)
    return Sounds(groups, known.held_out, known.begins, known.audio, known.posteriors)


def find_recordings(folder: pathlib.Path) -> list[pathlib.Path]:
    """The audio files of a folder.

    Raises:
      UserError: there is none.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix in (".wav", ".flac", ".mp3", ".ogg"))
    if not paths:
        raise errors.UserError(f"no sound file in {folder}; name a folder of .wav, .flac, .mp3 or .ogg files")
    return paths


def of_folder(
    folder: pathlib.Path, hear: Callable[[str, Callable[[], np.ndarray]], speech_dataset.VoiceRows]
) -> Sounds:
    """Hear all audio files of a folder: read or synthesised speech; nobody needs to be seen.

    Raises:
      UserError: there is none, or one cannot be read.
    """
    paths = find_recordings(folder)
    cut = LONGEST * audio_io.SAMPLE_RATE
    voices = [hear(f"sound_{p.stem}", lambda p=p: audio_io.read_audio(p)[:cut]) for p in paths]
    return Sounds(
        ("recordings",) * len(paths),
        np.zeros(len(paths), bool),
        np.cumsum([0, *(len(voice.audio) for voice in voices)]),
        np.concatenate([voice.audio for voice in voices]),
        np.concatenate([voice.posteriors for voice in voices]),
    )


def join(a: Sounds, b: Sounds) -> Sounds:
    """One after the other."""
    return Sounds(
        a.groups + b.groups,
        np.concatenate([a.held_out, b.held_out]),
        np.concatenate([a.begins, b.begins[1:] + a.begins[-1]]),
        np.concatenate([a.audio, b.audio]),
        np.concatenate([a.posteriors, b.posteriors]),
    )


class PhonemeSource:
    """A source.Source of phoneme_stage.PhonemeBatch; each example hangs on seed, step and place alone."""

    def __init__(self, known: Sounds, *, frames: int, back: int, ahead: int, shares: Mapping[str, float]):
        """Take recordings.

        Args:
          frames: t of an example.
          back, ahead: neighbours before and after, zeros where there is no audio.
          shares: of examples by group; within one, each second of audio is drawn as often as another.
        """
        self.known, self.frames, self.back, self.ahead = known, frames, back, ahead
        self._lengths = np.diff(known.begins)
        self._drawn = {held: self._by_group(held, shares) for held in (False, True)}

    def _by_group(self, held_out, shares):
        """(share, recordings) of each group that has any."""
        found = []
        for group in GROUPS:
            mine = np.array([g == group for g in self.known.groups]) & (self.known.held_out == held_out)
            if mine.any() and shares.get(group, 0) > 0:
                found.append((shares[group], np.flatnonzero(mine)))
        return found

    def batch(
        self, kind: str, config: Any, *, seed: int, step: int, batch_size: int,
        part: tuple[int, int] = (0, 1), held_out: bool = False,
    ) -> phoneme_stage.PhonemeBatch:  # fmt: skip
        """Make a batch as source.Source says."""
        del config
        if kind != "phonemes":
            raise ValueError(f"kind is {kind!r}; this source has phonemes only")
        places = source.part_of(batch_size, part)
        drawn = [self._example(seed, step * batch_size + place, held_out) for place in places]
        return phoneme_stage.PhonemeBatch(*(np.stack(column) for column in zip(*drawn, strict=True)))

    def batches(self, kind: str, config: Any, *, first_step: int = 0, **which: Any) -> Iterator[Any]:
        """Yield batches as source.Source says."""
        return source.prefetch(lambda ahead: self.batch(kind, config, step=first_step + ahead, **which))

    def _example(self, seed, index, held_out):
        rng = np.random.default_rng((seed, 17, index))
        groups = self._drawn[bool(held_out)]
        if not groups:
            raise errors.UserError("there is no sound to learn phonemes from; preprocess more videos")
        shares = np.array([share for share, _ in groups])
        chosen = groups[int(rng.choice(len(groups), p=shares / shares.sum()))][1]
        lengths = self._lengths[chosen]
        which = int(rng.choice(chosen, p=lengths / lengths.sum()))
        return self.stretch(which, int(rng.integers(0, max(1, self._lengths[which] - self.frames + 1))))

    def stretch(self, which: int, first: int) -> tuple[np.ndarray, ...]:
        """Features, log-posteriors and weights of `frames` frames of one recording."""
        rows = self.known.rows(which)
        wanted = np.arange(first - self.back, first + self.frames + self.ahead) + rows.start
        known = (wanted >= rows.start) & (wanted < rows.stop)
        inside, here = np.clip(wanted, rows.start, rows.stop - 1), slice(self.back, self.back + self.frames)
        features = self.known.audio[inside].astype(np.float32) * known[:, None, None]
        logs = self.known.posteriors[inside[here]].astype(np.float32)
        return features, logs, known[here].astype(np.float32)
