"""The 41 phoneme symbols of the system, one a frame, and the files they come in.

Read: the released JSON ([{"word": .., "phones": [{"ph", "bg", "ed"}]}], times in 1/100 s) and Praat
TextGrids (long or short text; ARPAbet, IPA or, as MAUS writes, SAMPA). Frame i takes the phone that covers
4 i hundredths.
"""

import itertools
import json
import logging
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from avct_jax import arguments, errors
from avct_jax.data.phonemes import ipa
from avct_jax.files import file_kind, json_text, text_file

SYMBOLS = tuple(  # CMUdict's phones with NSN (noise) and SIL, alphabetical
    re.findall(
        r"\w+",
        "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG NSN OW OY "
        "P R S SH SIL T TH UH UW V W Y Z ZH",
    )
)
INDEX = {symbol: i for i, symbol in enumerate(SYMBOLS)}
SIL, NSN = INDEX["SIL"], INDEX["NSN"]
HUNDREDTHS_PER_FRAME = 4  # 40 ms, 25 frames/s
LONGEST = 24 * 3600.0  # seconds: a time beyond is a mistake, whose labels would fill the memory
MOST_UNKNOWN = 0.1  # share of phones that may be noise without a word
LONGEST_LABEL = 100  # characters of a phone's label, or of several phones': more is text of another kind
LENGTH_SLACK = (1.0, 0.1)  # phonemes may differ from the audio by 1 s or 10% of it, the larger

_log = logging.getLogger(__name__)


SILENCES = {"", "SIL", "SP", "SPN", "PAU", "#", "_", "<P:>", "<SIL>", "<EPS>", "H#", "<S>", "</S>", "..."}
ARPABET = ipa.table("AX=AH AXR=ER IX=IH UX=UW DX=T EL=L EM=M EN=N NX=N HV=HH H=HH")
SAMPA = ipa.table(r"""
    aI=AY aU=AW eI=EY @U=OW oU=OW OI=OY tS=CH dZ=JH I@=IH+R e@=EH+R U@=UH+R A:=AA A=AA Q=AA {=AE V=AH @=AH
    6=AH O:=AO O=AO E=EH e=EH 3:=ER 3`=ER 3=ER @`=ER I=IH i:=IY i=IY U=UH u:=UW u=UW b=B d=D D=DH f=F g=G
    h=HH k=K l=L l==L m=M m==M n=N n==N N=NG p=P r=R r\=R s=S S=SH t=T 4=T ?=T T=TH v=V w=W j=Y z=Z Z=ZH
""")
PHONE_TIER = re.compile(r"(^|[^a-z])(phon(e|eme)?s?|mau|phn|segments?|arpabet|ipa)$", re.IGNORECASE)


class Segment(NamedTuple):
    """A phone and when it recordings, in seconds; `phone` is one of SYMBOLS."""

    phone: str
    start_s: float
    end_s: float


def read_segments(path: str | os.PathLike) -> list[Segment]:
    """Read a phoneme file by its ending: .json (released format) or .TextGrid (Praat).

    Raises:
      UserError: the file is missing, of another kind, or cannot be understood.
    """
    path = pathlib.Path(path)
    readers = {".json": parse_json, ".textgrid": parse_textgrid}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise errors.UserError(
            f"{path}: phonemes are read from .json or .TextGrid; convert the file to one of them"
        )
    text = text_file.read(path)
    file_kind.refuse_pointer(path)
    try:
        return reader(text)
    except errors.UserError as error:
        raise errors.UserError(f"{path}: {error}") from error


def tell_of(path: str | os.PathLike, segments: Sequence[Segment]) -> None:
    """Log that nothing is said in a phoneme file, or in no notation that is known."""
    said = [segment.phone for segment in segments if segment.phone != "SIL"]
    unknown = said.count("NSN")
    if not said:
        _log.warning("%s holds nothing but silence: the mouth does not speak", path)
    elif unknown > MOST_UNKNOWN * len(said):
        told = "%s: %d of %d phones are unknown, and taken for noise; ARPAbet, IPA and SAMPA are read"
        _log.warning(told, path, unknown, len(said))


def from_indices(given: Any) -> Int[np.ndarray, "t"]:
    """Take labels that are in memory: one of SYMBOLS' indices a frame.

    Raises:
      UserError: they are something else.
    """
    labels, known = arguments.array(given, "a row of phonemes"), len(SYMBOLS)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or ((labels < 0) | (labels >= known)).any():
        raise errors.UserError(f"phonemes are given that are not whole numbers from 0 to {known - 1}")
    return labels.astype(np.int32)


def read_phoneme_json(path: str | os.PathLike) -> Int[np.ndarray, "t"]:
    """The frame labels of a phoneme file in the released JSON format; int(last "ed" / 4) frames."""
    return labels_from_segments(read_segments(path))


def parse_json(text: str) -> list[Segment]:
    """Segments of the released JSON format, in order of time."""
    try:
        phones = [phone for word in json_text.parse(text) for phone in word["phones"]]
        segments = [Segment(_arpabet(p["ph"])[0], p["bg"] / 100, p["ed"] / 100) for p in phones]
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        expected = '[{"word": .., "phones": [{"ph": "AA", "bg": 0, "ed": 12}, ..]}, ..]'
        raise errors.UserError(f"not phonemes in the released JSON format; write {expected}") from error
    return sorted(_checked(segments), key=lambda segment: segment.start_s)


def write_phoneme_json(path: str | os.PathLike, segments: Sequence[Segment]) -> None:
    """Write segments in the released JSON format; phones between two silences become one nameless word."""
    words: list[dict[str, Any]] = []
    for silent, run in itertools.groupby(segments, key=lambda s: s.phone == "SIL"):
        phones = [{"ph": s.phone, "bg": round(100 * s.start_s), "ed": round(100 * s.end_s)} for s in run]
        words.append({"word": "sil" if silent else "", "phones": phones})
    pathlib.Path(path).write_text(json.dumps(words, indent=1), encoding="utf-8")


def parse_textgrid(text: str) -> list[Segment]:
    """Segments of the interval tier of a Praat TextGrid that holds phones (named phones, phonemes, MAU ..).

    Of several such tiers, one for each speaker, that with the most phones is read; which is logged. Only
    free-standing numbers and quoted strings count, which is Praat's own rule and makes the long and the short
    text format one. Unknown symbols become NSN.
    """
    tiers = _interval_tiers(text)
    names = [name for name, _ in tiers]
    spoken = lambda tier: sum(label.strip().upper() not in SILENCES for label, _, _ in tier)
    found = [(name, tier) for name, tier in tiers if PHONE_TIER.search(name.strip())]
    usable = found or (tiers if len(tiers) == 1 else [("", None)])
    name, chosen = max(usable, key=lambda pair: spoken(pair[1] or ()))
    if sum(spoken(tier) > 0 for _, tier in found) > 1:
        _log.warning("tiers of phones are %s: %r is read", [known for known, _ in found], name)
    if chosen is None:
        raise errors.UserError(f'no interval tier called "phones" among {names}; rename the tier of phones')
    read = _notation([label for label, _, _ in chosen])
    segments = []
    for label, start, end in chosen:
        phones = read(label)
        for i, phone in enumerate(phones):
            step = (end - start) / len(phones)
            segments.append(Segment(phone, start + i * step, start + (i + 1) * step))
    return sorted(_checked(segments), key=lambda segment: segment.start_s)


def labels_from_segments(segments: Sequence[Segment], frames: int | None = None) -> Int[np.ndarray, "t"]:
    """One label a frame: of the phone that covers 4 i hundredths of a second; SIL where none does.

    Args:
      segments: in order of time.
      frames: length of the answer; by default int(latest end / 4 hundredths).
    """
    starts = np.round([100 * s.start_s for s in segments], 6)
    ends = np.round([100 * s.end_s for s in segments], 6)
    if frames is None:
        frames = int(ends.max() / HUNDREDTHS_PER_FRAME) if len(ends) else 0
    labels = np.full(frames, SIL, np.int32)
    for segment, start, end in zip(segments, starts, ends, strict=True):
        first, last = -(-start // HUNDREDTHS_PER_FRAME), -(-end // HUNDREDTHS_PER_FRAME)
        labels[int(first) : int(last)] = INDEX[segment.phone]
    return labels


def merge_silences(segments: Sequence[Segment]) -> list[Segment]:
    """Make one silence of those that follow each other."""
    merged: list[Segment] = []
    for segment in segments:
        if merged and merged[-1].phone == segment.phone == "SIL":
            merged[-1] = merged[-1]._replace(end_s=segment.end_s)
        else:
            merged.append(segment)
    return merged


def fit_to_frames(labels: Int[np.ndarray, "t"], frames: int) -> Int[np.ndarray, "frames"]:
    """Cut or lengthen labels to the audio's frames: a missing tail is silence.

    Raises:
      UserError: the lengths differ by more than a second and more than a tenth: not the same recording.
    """
    seconds, audio = (n * HUNDREDTHS_PER_FRAME / 100 for n in (len(labels), frames))
    if abs(seconds - audio) > max(LENGTH_SLACK[0], LENGTH_SLACK[1] * audio):
        lengths = f"the phonemes last {seconds:.1f} s, the sound {audio:.1f} s"
        raise errors.UserError(f"{lengths}; give phonemes of this very recording")
    kept = labels[:frames]
    return np.concatenate([kept, np.full(frames - len(kept), SIL)]).astype(np.int32)


def _arpabet(label: str) -> list[str]:
    symbol = label.strip().upper().rstrip("012")
    if symbol in SILENCES:
        return ["SIL"]
    symbol = ARPABET.get(symbol, symbol)
    return [symbol if symbol in INDEX else "NSN"]


def _notation(labels: Sequence[str]):
    """The reader that understands most of a tier's labels; ARPAbet when in doubt."""

    def phonetic(label: str) -> list[str]:
        return ipa.to_arpabet(label) or ["NSN"]

    def sampa(label: str) -> list[str]:
        return ipa.spell(label.strip(), SAMPA)

    def short(read):
        def read_short(label: str) -> list[str]:
            if label.strip().upper() in SILENCES:
                return ["SIL"]
            return read(label) if len(label) <= LONGEST_LABEL else ["NSN"]

        return read_short

    readers = (_arpabet, short(phonetic), short(sampa))
    return max(readers, key=lambda read: sum("NSN" not in read(label) for label in labels))


def _interval_tiers(text: str) -> list[tuple[str, list[tuple[str, float, float]]]]:
    """The tiers by Praat's own rule. praatio and tgt go by lines and refuse or cut files that Praat reads."""
    tokens = re.findall(r'"((?:[^"]|"")*)"|(?<!\S)([-+]?\d[\d.]*(?:[eE][-+]?\d+)?)(?!\S)', text)
    tiers = []
    try:
        values = [float(number) if number else quoted.replace('""', '"') for quoted, number in tokens]
        if values[1] != "TextGrid":
            raise ValueError("another kind of object")
        at = 5  # two strings, the grid's two times, the number of tiers
        for _ in range(int(values[4])):
            kind, name, size = values[at], values[at + 1], int(values[at + 4])
            if not 0 <= size <= len(values):
                raise ValueError("a tier of more intervals than there are numbers")
            width = 3 if kind == "IntervalTier" else 2
            items = [values[i : i + width] for i in range(at + 5, at + 5 + width * size, width)]
            at += 5 + width * size
            if width == 3:
                tiers.append(
                    (str(name), [(str(label), float(begin), float(end)) for begin, end, label in items])
                )
    except (IndexError, ValueError, TypeError, OverflowError) as error:
        raise errors.UserError("not a Praat TextGrid in text format; save it from Praat as text") from error
    return tiers


def _checked(segments: list[Segment]) -> list[Segment]:
    if not segments:
        raise errors.UserError("holds no phones; write at least one")
    for segment in segments:
        if not 0 <= segment.start_s <= segment.end_s < LONGEST:
            raise errors.UserError(
                f"{segment.phone} from {segment.start_s} to {segment.end_s} s; times must go forward, "
                "and end within a day"
            )
    return segments
