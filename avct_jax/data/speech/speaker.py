"""Text becomes a voice, and phonemes whose times are known exactly: hibari-tts, or who else can do that."""

import importlib.util
import itertools
import logging
import os
import re
import unicodedata
import wave
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, Int16

from avct_jax import errors
from avct_jax.data.phonemes import ipa, pronunciation, symbols, written_english
from avct_jax.data.speech import pcm, speech_features

MISSING = (
    "text is spoken by hibari-tts, which is missing; run `pip install 'avct-jax[speak]'`, or give a recording"
)
NO_WORD = "the text holds no word; write what is to be said, in English"
LONG, MOST = 4000, 50_000  # characters of a text: from which its length is told, and which are refused
DIGITS = 40  # of a number, that nobody reads
CHARACTERS = 14  # of English text that are spoken in a second
PAUSE = 0.2  # s of silence between sentences, beside what the voice itself leaves around them
SPEEDS = (0.5, 2.0)
# hibari-tts 0.2.1: each symbol's duration, rounded, is inside its network; the output is added in memory.
DURATIONS, UNIT = "/Round_output_0", 0.025  # s
# What is heard comes before what the durations say: hisses by 50 ms, at a speed of 1. Of what was tried from
# 0 to 75 ms lips shut best at p, b and m, and agree best with what they do by hearing alone, with this.
EARLY = 0.03  # s
# Its alphabet where it is not IPA's (misaki's): letters that stand for diphthongs, and American flaps.
MISAKI = {"A": "EY", "I": "AY", "O": "OW", "Q": "OW", "W": "AW", "Y": "OY", "T": "T", "ᵻ": "IH"}
STRESS = "ˈˌ"

_log = logging.getLogger(__name__)

Phoneme = tuple[str, float, float]  # one of symbols.SYMBOLS, start and end in seconds


class SpokenSentence(NamedTuple):
    """A sentence, or a part of one, and when it is said, seconds since the text began."""

    text: str
    start: float
    end: float


class SpokenText(NamedTuple):
    """A text as it was spoken.

    Attributes:
      pcm: mono samples, int16 or floats of -1 to 1.
      sample_rate: samples a second.
      phonemes: (symbol, start, end), seconds since the text began, ARPAbet; None where they are not known.
      sentences: when which is said, for subtitles; none where it is not known.
    """

    pcm: Float[np.ndarray, " n"] | Int16[np.ndarray, " n"]
    sample_rate: int
    phonemes: list[Phoneme] | None = None
    sentences: tuple[SpokenSentence, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.pcm) / self.sample_rate

    @property
    def labels(self) -> Int[np.ndarray, " t"] | None:
        """The phoneme of each frame of 40 ms, as `phonemes=` of `Animator.animate` takes them."""
        if self.phonemes is None:
            return None
        frames = -(-len(self.pcm) * speech_features.FRAME_RATE // self.sample_rate)
        return symbols.labels_from_segments([symbols.Segment(*row) for row in self.phonemes], frames)


@runtime_checkable
class Speaker(Protocol):
    """Speaks texts; a synthesiser of your own needs this one method."""

    def speak(self, text: str) -> SpokenText:
        """Speak a text.

        Raises:
          UserError: it cannot be spoken.
        """
        ...


class HibariSpeaker:
    """The voice of hibari-tts 0.2.1 (extra `speak`): American English, female, 24 kHz, made on the CPU."""

    sample_rate = 24000

    def __init__(self, *, speed: float = 1.0, seed: int = 0, pause: float = PAUSE):
        """Load it.

        Args:
          speed: factor on how fast it speaks, 0.5 to 2.
          seed: of the noise in its breath; the same gives the same samples.
          pause: seconds of silence between sentences.

        Raises:
          UserError: hibari-tts is missing, or the speed out of range.
        """
        check_installed()
        if not SPEEDS[0] <= speed <= SPEEDS[1]:
            raise errors.UserError(f"the speed is {speed:g}; it must be from 0.5 to 2, 1 is usual")
        import hibari  # pyright: ignore[reportMissingImports]

        self._voice: Any = hibari.Hibari()
        self._told = _DurationSession.of(self._voice)
        self._speed, self._seed, self._pause = speed, seed, pause
        if self._told is None:
            _log.warning("this hibari-tts does not tell its phonemes (0.2.1 does): lips follow what is heard")
        else:
            self._voice.sess = self._told

    def speak(self, text: str) -> SpokenText:
        """Speak a text, whole.

        Raises:
          UserError: it is empty, too long, or holds no English word.
        """
        return joined(list(self.speak_sentences(text)))

    def speak_sentences(self, text: str) -> Iterator[SpokenText]:
        """Speak a text sentence by sentence, each as soon as it is ready.

        Yields:
          Pieces of one voice, to be joined; times of phonemes are seconds since the whole text began, as
          `Stream.push_audio` takes them.

        Raises:
          UserError: as `speak`, before the first.
        """
        return self._pieces(checked(text))

    def _pieces(self, text):
        rng, begin, empty = np.random.default_rng(self._seed), 0, True
        for sentence in self._voice.split_sentences(written_english.read_out(text)):
            parts = [said for said in self._voice.phonemize(sentence) if any(map(_spell, said))]
            for said, words in zip(parts, shared(sentence, list(map(len, parts))), strict=True):
                ids = self._voice.ids(said)
                wav = self._voice.from_ids(ids, self._speed, rng)
                lead = 0 if empty else round(self._pause * self.sample_rate)
                start, end = begin + lead, begin + lead + len(wav)
                rows = self._phonemes(said, ids, len(wav), start / self.sample_rate)
                shown = SpokenSentence(words, start / self.sample_rate, end / self.sample_rate)
                yield SpokenText(np.pad(wav, (lead, 0)), self.sample_rate, rows, (shown,))
                begin, empty = end, False
        if empty:
            raise errors.UserError(NO_WORD)

    def _phonemes(self, said, ids, count, begin):
        """The rows of one piece, if the durations are what they are taken for."""
        durations = None if self._told is None else self._told.durations
        heard = [letter for letter in said if letter in self._voice.vocab]
        if durations is None or not len(durations) == len(ids) == len(heard) + 2:
            return None
        if abs(UNIT * durations.sum() - count / self.sample_rate) > UNIT:
            return None
        rows = align(["", *heard, ""], UNIT * durations, begin)
        return earlier(rows, EARLY / self._speed, begin, begin + count / self.sample_rate)


def shared(sentence: str, sizes: Sequence[int]) -> list[str]:
    """Divide a sentence between words into parts of such relative sizes; a voice says long ones in parts."""
    words, total = sentence.split(), max(sum(sizes), 1)
    edges = [round(len(words) * sum(sizes[:i]) / total) for i in range(len(sizes) + 1)]
    return [" ".join(words[a:b]) for a, b in itertools.pairwise(edges)]


def joined(pieces: Sequence[SpokenText]) -> SpokenText:
    """Make one of what was spoken piece by piece, whose times are of the whole."""
    rows = [piece.phonemes for piece in pieces]
    known = [row for one in rows if one for row in one] if None not in rows else None
    sentences = tuple(one for piece in pieces for one in piece.sentences)
    return SpokenText(
        np.concatenate([piece.pcm for piece in pieces]), pieces[0].sample_rate, known, sentences
    )


class _DurationSession:
    """hibari's network with one output more; it is called as its own session is."""

    def __init__(self, session: Any):
        self._session = session
        self.durations: Float[np.ndarray, " n"] | None = None

    @classmethod
    def of(cls, voice: Any) -> "_DurationSession | None":
        """Open it; None where the network has no such node."""
        import onnxruntime  # pyright: ignore[reportMissingImports]

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        with open(voice.model_path, "rb") as file:
            network = with_output(file.read(), DURATIONS)
        try:
            session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        except Exception:  # onnxruntime's own, of several kinds: there is no such node
            return None
        return cls(session)

    def run(self, names: Sequence[str] | None, given: dict[str, Any]) -> list[Any]:
        """Return what hibari's own session does, and keep the durations."""
        *found, durations = self._session.run(names, given)
        self.durations = np.asarray(durations, np.float64).reshape(-1)
        return found


def with_output(network: bytes, name: str) -> bytes:
    """Return an ONNX network that also gives the value of this name.

    Protocol buffers merge what is written twice: a second graph of one output, behind the first, adds it.
    """
    return network + _field(7, _field(12, _field(1, name.encode())))  # ModelProto.graph.output.name


def _field(number: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def align(letters: Sequence[str], durations: Float[np.ndarray, " n"], begin: float) -> list[Phoneme]:
    """Return the phonemes of letters in hibari's alphabet, one after another.

    A stress belongs to the letter after it, other marks to the one before; between words nothing is known to
    be said (NSN); signs and what is around a sentence are silence.

    Args:
      letters: "" is silence.
      durations: seconds each.
      begin: of the first, seconds.
    """
    rows: list[Phoneme] = []
    time, start = begin, begin
    for letter, duration in zip(letters, map(float, durations), strict=True):
        time += duration
        if letter and letter in STRESS:
            continue
        names = _spell(letter) or (["NSN"] if letter == " " else ["SIL"])
        if letter and not _spell(letter) and unicodedata.category(letter) in ("Mn", "Lm", "Sk") and rows:
            rows[-1] = (*rows[-1][:2], round(time, 6))
        else:
            edges = np.round(np.linspace(start, time, len(names) + 1), 6).tolist()
            rows += zip(names, edges[:-1], edges[1:], strict=True)
        start = time
    return rows


def earlier(rows: Sequence[Phoneme], seconds: float, begin: float, end: float) -> list[Phoneme]:
    """Move phonemes so far towards a piece's begin; the last one lasts to its end."""
    move = lambda time: round(max(time - seconds, begin), 6)
    moved = [(name, move(start), move(after)) for name, start, after in rows]
    return [*moved[:-1], (*moved[-1][:2], round(end, 6))]


def _spell(letter: str) -> list[str]:
    """ARPAbet of one letter of hibari's alphabet; nothing for marks, spaces and silence."""
    if letter in MISAKI:
        return [MISAKI[letter]]
    return [name for name in ipa.to_arpabet(letter) if name != "NSN"] if letter else []


def write_wav(path: str | os.PathLike, spoken: SpokenText) -> None:
    """Write what was spoken as a wav file of 16 bits."""
    with wave.open(os.fspath(path), "wb") as file:
        file.setparams((1, 2, spoken.sample_rate, 0, "NONE", ""))
        file.writeframes(pcm.whole(pcm.samples(spoken.pcm)).astype("<i2").tobytes())


def check_installed() -> None:
    """Refuse to speak where hibari-tts is not installed.

    Raises:
      UserError: so it is.
    """
    if importlib.util.find_spec("hibari") is None or importlib.util.find_spec("onnxruntime") is None:
        raise errors.UserError(MISSING)


def checked(text: Any) -> str:
    """Take a text that is to be said; what is not English is left out, which is logged, as is a long text.

    Raises:
      UserError: it is no text, or empty, or too long, or holds no English word.
    """
    text = checked_length(text)
    foreign = [word for word in text.split() if any(map(_is_foreign, word))]
    kept = "".join(" " if _is_foreign(letter) else letter for letter in text)
    if not pronunciation.can_be_said(kept):
        only = f"the text holds no English word ({errors.few(foreign)}); write English, or name its language"
        raise errors.UserError(only if foreign else NO_WORD)
    if foreign:
        _log.warning("left out of the text, not English: %s", errors.few(foreign))
    return kept


def checked_length(text: Any) -> str:
    """Take a text in any language; a long one is logged.

    Raises:
      UserError: it is no text, or empty, or too long.
    """
    if not isinstance(text, str):
        raise errors.UserError(f"a text of {type(text).__name__} is given; write what is to be said")
    if not text.strip():
        raise errors.UserError("the text is empty; write what is to be said")
    length = f"the text has {len(text)} characters, some {len(text) / CHARACTERS / 60:.0f} minutes of speech"
    if len(text) > MOST:
        raise errors.UserError(f"{length}; {MOST} are the most, give parts of it")
    if long := re.search(rf"\d{{{DIGITS},}}", text):
        raise errors.UserError(
            f"the text has a number of {len(long[0])} digits; write it as it is to be read"
        )
    if len(text) > LONG:
        _log.warning("%s", length)
    return text


def _is_foreign(letter: str) -> bool:
    """Whether it is a letter or a digit of another script."""
    if letter.isascii() or not (letter.isalpha() or letter.isdecimal()):
        return False
    return not unicodedata.name(letter, "").startswith("LATIN")
