"""When the words of a transcript are said."""

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from avct_jax.data.phonemes import languages, recognition
from avct_jax.data.speech import speech_features

Span = tuple[float, float] | None  # seconds; None where the words and the sound do not fit


def part_times(
    wav: Float[np.ndarray, "n"], parts: Sequence[str], language: str = languages.ENGLISH
) -> list[tuple[str, float, float, bool]]:
    """Find when the parts of a transcript are said.

    Args:
      wav: 16 kHz mono, any scale.
      parts: of the transcript, in order.
      language: of it, as `languages.check` returns it.

    Returns:
      Each part with its start and end, seconds, and whether these are guessed: what is not found lies evenly
      between what is.
    """
    words = [[word.variants for word in languages.pronounce(part, language)] for part in parts]
    spans = word_spans(wav, [ways for part in words for ways in part])
    ends = np.cumsum([0, *map(len, words)])
    known: list[Span] = []
    for first, last in itertools.pairwise(ends):
        found = [span for span in spans[first:last] if span]
        known.append((found[0][0], found[-1][1]) if found else None)
    total = len(wav) / speech_features.SAMPLE_RATE
    rows = zip(parts, _filled(known, total), known, strict=True)
    return [(part, *times, span is None) for part, times, span in rows]


def word_spans(wav: Float[np.ndarray, "n"], words: Sequence[recognition.Variants]) -> list[Span]:
    """Find when words are said.

    Args:
      wav: as `part_times`.
      words: for each the ways to say it, ARPAbet.
    """
    ranges: Sequence[tuple[int, int]] = [(0, len(wav))]
    shares: Sequence[Sequence[recognition.Variants] | None] = [words]
    if len(wav) > recognition.WHOLE_SECONDS * speech_features.SAMPLE_RATE:
        ranges = recognition.pieces(wav)
        shares = recognition.share_words(wav, ranges, words, recognition.has_hama())
    found: list[Span] = []
    for (begin, end), share in zip(ranges, shares, strict=True):
        if share:
            found += _spans_of_piece(wav[begin:end], share, begin / speech_features.SAMPLE_RATE)
    return found + [None] * (len(words) - len(found))


def _spans_of_piece(wav, words, start) -> list[Span]:
    raw = [one for one in recognition.align(wav, words) or [] if one.phone != "SIL"]
    ends = recognition.word_ends([one.phone for one in raw], words)
    if ends is None:
        return [None] * len(words)
    move = start + recognition.SHIFT
    edges = zip([0, *ends], ends, strict=False)
    return [(raw[a].start_s + move, raw[b - 1].end_s + move) for a, b in edges]


def _filled(spans: Sequence[Span], total: float) -> list[tuple[float, float]]:
    """What is not known lies evenly between its neighbours."""
    found, i = [], 0
    while i < len(spans):
        if (span := spans[i]) is not None:
            found.append(span)
            i += 1
            continue
        j = next((k for k in range(i, len(spans)) if spans[k] is not None), len(spans))
        before = found[-1][1] if found else 0.0
        after = next((span[0] for span in spans[j : j + 1] if span), total)
        edges = np.linspace(before, max(after, before), j - i + 1).tolist()
        found += list(itertools.pairwise(edges))
        i = j
    return found
