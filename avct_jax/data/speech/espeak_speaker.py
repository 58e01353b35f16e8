"""espeak-ng's voices: more than a hundred languages, robotic, of a program that the user installs."""

import io
import re
import wave
from collections.abc import Iterator
from typing import Any

import numpy as np

from avct_jax import errors
from avct_jax.data.phonemes import languages, recognition
from avct_jax.data.speech import speaker, speech_features

SENTENCE = re.compile(r"[^.!?…。！？।\n]+[.!?…。！？।]*")  # noqa: RUF001 - their stops do look like others
WORDS_A_MINUTE = 160  # at a speed of 1
PAUSE = 0.15  # s between sentences


class EspeakSpeaker:
    """Speaks by the program espeak-ng; phonemes by aligning its own IPA with what it says."""

    sample_rate = 22050

    def __init__(self, language: str, *, speed: float = 1.0):
        """Look for it.

        Args:
          language: a code that espeak-ng knows, such as "de" or "pt-br"; "de+f3" is a variant of its voice.
          speed: factor on how fast it speaks, 0.5 to 2.

        Raises:
          UserError: the program is not installed, lacks the language, or the speed is out of range.
        """
        if not speaker.SPEEDS[0] <= speed <= speaker.SPEEDS[1]:
            raise errors.UserError(f"the speed is {speed:g}; it must be from 0.5 to 2, 1 is usual")
        self._voice, self._rate = language, str(round(WORDS_A_MINUTE * speed))
        self._language = language.partition("+")[0].lower()
        languages.espeak("", "-q", language=self._voice)

    def speak(self, text: str) -> speaker.SpokenText:
        """Speak a text, whole.

        Raises:
          UserError: it is empty, or nothing of it can be said.
        """
        return speaker.joined(list(self.speak_sentences(text)))

    def speak_sentences(self, text: str) -> Iterator[speaker.SpokenText]:
        """Speak a text sentence by sentence; see `HibariSpeaker.speak_sentences`.

        Raises:
          UserError: as `speak`, before the first.
        """
        sentences = [found[0].strip() for found in SENTENCE.finditer(speaker.checked_length(text))]
        sentences = [one for one in sentences if re.search(r"\w", one)]
        if not sentences:
            raise errors.UserError("the text holds no word; write what is to be said")
        return self._pieces(sentences)

    def _pieces(self, sentences: list[str]) -> Iterator[speaker.SpokenText]:
        begin = 0
        for number, sentence in enumerate(sentences):
            said = _samples(languages.espeak(sentence, "-s", self._rate, "--stdout", language=self._voice))
            lead = round(PAUSE * self.sample_rate) if number else 0
            start = (begin + lead) / self.sample_rate
            begin += lead + len(said)
            yield speaker.SpokenText(
                np.pad(said, (lead, 0)),
                self.sample_rate,
                self._phonemes(sentence, said, start),
                (speaker.SpokenSentence(sentence, start, begin / self.sample_rate),),
            )

    def _phonemes(self, sentence: str, said: Any, start: float) -> list[speaker.Phoneme]:
        """Rows of a sentence; where its IPA does not fit, of what is heard."""
        import soxr

        wav = soxr.resample(said.astype(np.float32) / 2**15, self.sample_rate, speech_features.SAMPLE_RATE)
        words = [word.variants for word in languages.pronounce(sentence, self._language)]
        if words and (found := recognition.align(wav, words)) is not None:
            found = recognition.finish(found, wav)
        else:
            found = recognition.recognise(wav)
        return [(one.phone, start + one.start_s, start + one.end_s) for one in found]


def _samples(wav: bytes) -> Any:
    """The samples of a wav file whose header may not know its length."""
    try:
        with wave.open(io.BytesIO(wav)) as file:
            return np.frombuffer(file.readframes(len(wav)), "<i2").copy()
    except (wave.Error, EOFError):
        raise errors.UserError("espeak-ng wrote no sound; is its voice installed?") from None
