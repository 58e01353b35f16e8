"""The audio of one reply as it arrives, and as frames carry it away."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int16

from avct_jax.data.phonemes import hints
from avct_jax.data.speech import hearing, pcm

FRAME = hearing.FRAME


class ReplyPart(NamedTuple):
    """A chunk of a reply: the number of its first frame, their audio, and whether the last one is in it."""

    begin: int
    audio: Int16[np.ndarray, "n 640"]
    last: bool


class Reply:
    """A reply that may go on to be told."""

    def __init__(self, back: int = 0):
        """Begin to listen.

        Args:
          back: frames whose audio is kept when they have been taken.
        """
        self.ended = False
        self.peak = 0.0  # of what has been heard, full scale = 1
        self.hints: list[hints.Hint] = []
        self.heard: hearing.Hearing | None = None
        self.next = 0  # frame
        self._back = back
        self._resampler = pcm.Resampler()
        self._pieces: list[Int16[np.ndarray, " n"]] = []
        self._begin = 0  # sample that the pieces begin with
        self._samples = 0  # in all
        self._fed = 0  # samples that have been let in,
        self._measured = 0  # and those of them whose features are known

    def push(self, piece: Int16[np.ndarray, " n"] | Float[np.ndarray, " n"], rate: int) -> None:
        """Take more of the audio."""
        self._add(self._resampler.push(piece, rate))

    def end(self) -> None:
        """Take no more."""
        self._add(self._resampler.finish())
        self.ended = True

    @property
    def empty(self) -> bool:
        """Whether it ended without a sample."""
        return self.ended and not self._samples

    @property
    def frames(self) -> int | None:
        """How many frames it has, a begun one too; None where that is not known."""
        return -(-self._samples // FRAME) if self.ended else None

    def receive(self, frames: int) -> bool:
        """Let the audio of the first `frames` frames in; False where it has not come yet."""
        needed = (frames + hearing.AHEAD) * FRAME
        if not self.ended and self._samples < needed:
            return False
        self._fed = max(self._fed, min(needed, self._samples))
        sound = self._samples_of(self._measured, self._fed)
        self.peak = max(self.peak, float(np.abs(sound.astype(np.float32)).max(initial=0)) / pcm.FULL)
        return True

    def measure(self, before: hearing.Hearing | None) -> None:
        """Measure the features of the audio that was let in.

        Args:
          before: what was heard of the voice before the reply.
        """
        self.heard = self.heard or hearing.begin(before)
        if not self.heard.ended:
            sound = self._samples_of(self._measured, self._fed)
            last = self.ended and self._fed == self._samples
            self.heard, _ = hearing.push(self.heard, sound, last=last)
            self._measured = self._fed

    def take(self, count: int) -> ReplyPart:
        """Carry the next frames away, at most `count`; their audio must have come."""
        begin, frames = self.next, self.frames
        after = begin + count if frames is None else min(begin + count, frames)
        sound = self._samples_of(begin * FRAME, min(after * FRAME, self._samples))
        padded = np.pad(sound, (0, (after - begin) * FRAME - len(sound)))
        self.next = after
        self._forget(min(max(begin - self._back, 0) * FRAME, self._measured))
        return ReplyPart(begin, padded.reshape(-1, FRAME), after == frames)

    def sound(self, begin: int, after: int) -> Float[np.ndarray, " n"]:
        """Return the audio of frames begin .. after - 1, full scale = 1; zeros where there is none."""
        inside = max(begin * FRAME, 0), max(min(after * FRAME, self._fed), 0)
        found = np.zeros((after - begin) * FRAME, np.float32)
        samples = self._samples_of(*inside)
        found[inside[0] - begin * FRAME :][: len(samples)] = samples / np.float32(pcm.FULL)
        return found

    def _add(self, piece):
        if len(piece):
            self._pieces.append(piece)
            self._samples += len(piece)

    def _samples_of(self, begin, after):
        """Samples begin .. after - 1."""
        if len(self._pieces) > 1:
            self._pieces = [np.concatenate(self._pieces)]
        kept = self._pieces[0] if self._pieces else np.zeros(0, np.int16)
        return kept[begin - self._begin : after - self._begin]

    def _forget(self, sample):
        if self._pieces:
            self._pieces[0] = self._pieces[0][sample - self._begin :].copy()
            self._begin = sample
