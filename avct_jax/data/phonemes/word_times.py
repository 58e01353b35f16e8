"""Phonemes of words whose times are known: what speech synthesisers tell beside their audio."""

from typing import NamedTuple

from avct_jax.data.phonemes import pronunciation

LONGEST = 0.14  # seconds a phoneme lasts at most in a word whose end is not told


class SaidPhoneme(NamedTuple):
    """A row of what `Stream.push_audio(phonemes=...)` takes: ARPAbet, seconds since the reply began."""

    symbol: str
    start: float
    end: float


class WordTimes:
    """Words of one reply in, their phonemes out, spread evenly over each word.

    English: other languages' words get English sounds. Against exact phonemes the lips' opening of a sentence
    correlates by 0.95 with words' starts and ends, by 0.94 with starts alone, and by 0.90 without words.
    """

    def __init__(self):
        """Begin a reply."""
        self._open: tuple[tuple[str, ...], float] | None = None

    def add(self, word: str, start: float, end: float | None = None) -> list[SaidPhoneme]:
        """Take a word, and return the phonemes whose times are known by it.

        Args:
          word: one word, with signs around it or not; several together tell too little and are left out.
          start: seconds since the reply began.
          end: the same; where it is not told, the next word's start is it.
        """
        known = self._close(start)
        phones = _phones(word)
        if phones and end is not None:
            return known + _spread(phones, start, end)
        if phones:
            self._open = phones, start
        return known

    def finish(self) -> list[SaidPhoneme]:
        """Return the phonemes of a last word whose end was not told."""
        return self._close(float("inf"))

    def _close(self, latest):
        if self._open is None:
            return []
        (phones, start), self._open = self._open, None
        return _spread(phones, start, min(latest, start + LONGEST * len(phones)))


def _phones(text: str) -> tuple[str, ...]:
    """How a word is said most often; none for a sentence, or another script."""
    if len(text.split()) != 1:
        return ()
    return tuple(phone for word in pronunciation.pronounce(text) for phone in word.variants[0])


def _spread(phones, start, end):
    start, width = max(start, 0.0), (end - max(start, 0.0)) / len(phones)
    if width <= 0:
        return []
    return [SaidPhoneme(p, start + i * width, start + (i + 1) * width) for i, p in enumerate(phones)]
