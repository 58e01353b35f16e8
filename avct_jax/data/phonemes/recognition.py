"""Which phone recordings when: recognised, or aligned with a text, offline.

pocketsphinx carries its acoustic model. Alone it recognises phones (allphone); it aligns far better than it
recognises, so phones come from a transcript, or from hama's network where installed, when there is a choice.
"""

import importlib.util
import logging
import re
import threading
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from avct_jax import errors
from avct_jax.data.phonemes import decoders, ipa, languages, pronunciation, symbols
from avct_jax.data.speech import speech_features, voice

# Measured on five voices with reference phones (26 to 78% of frames hang on these): pocketsphinx places
# boundaries early, and silence begins too soon after a phone and ends too late before one.
SHIFT = 0.025  # s, added to every boundary
SILENCE_TRIM = (0.02, 0.04)  # s, by which silences begin later and end sooner
PIECE_SECONDS = 15.0  # longest stretch recognised at once; shorter ones cost accuracy, longer ones memory
WHOLE_SECONDS = 60.0  # longest audio aligned with its transcript at once; 45 MB a minute
TRUSTED_DISTANCE = 0.75  # edits per phone between heard and written; unrelated texts lie above 0.8
MOST_PHONES = 25.0  # phones/s; the fastest talkers reach 20, and a phone lasts at least 30 ms here
SHORTEST_SECONDS = 0.12  # less audio than this holds no phone that could be found
SILENCE_ODDS = 0.1  # that a pause stands between two words
CENTISECONDS = 100  # pocketsphinx frames/s

NO_WORD = "the transcript holds no {} word; write what is said, name its language, or leave it out"
BY_TRANSCRIPT = ("a transcript", "leave --transcript out")  # what needs pocketsphinx, and the way out

Variants = Sequence[Sequence[str]]
Method = Literal["auto", "pocketsphinx", "hama"]

log = logging.getLogger(__name__)
_one_at_a_time = threading.Lock()  # a pocketsphinx decoder holds the state of one utterance


def recognise(
    wav: Float[np.ndarray, "n"],
    *,
    method: Method = "auto",
    transcript: str | None = None,
    language: str = languages.ENGLISH,
    silent: Bool[np.ndarray, " t"] | None = None,
) -> list[symbols.Segment]:
    """The phones of a recording and their times, silence included, from 0 to its end.

    Args:
      wav: 16 kHz mono, any scale and length.
      method: "pocketsphinx" recognises alone (about 47% of frames as the reference), "hama" recognises with
        that optional package and aligns (70%), "auto" is hama where it is installed.
      transcript: what is said; aligned (78%). When that fails, a line is logged and `method` used.
      language: of the transcript, as `languages.check` returns it.
      silent: frames in which nobody speaks, where they are known (`voice.Speech.silent`).

    Raises:
      UserError: hama is asked for and not installed, or the transcript holds no word.
    """
    words = _words_of(transcript, language) if transcript is not None else None
    check_method(method)
    if _nobody_speaks(wav, silent):
        return [symbols.Segment("SIL", 0.0, len(wav) / speech_features.SAMPLE_RATE)]
    decoders.pocketsphinx(*(BY_TRANSCRIPT if words is not None else ()))
    use_hama = method == "hama" or (method == "auto" and has_hama())
    found: list[symbols.Segment] | None = None
    if words is not None and len(wav) <= WHOLE_SECONDS * speech_features.SAMPLE_RATE:
        found = align(wav, words)
        if found is None:
            log.warning("the transcript could not be aligned with the sound; recognising phonemes instead")
    if found is None:
        ranges = pieces(wav)
        shares = share_words(wav, ranges, words, use_hama) if words is not None else [None] * len(ranges)
        found = []
        for (begin, end), share in zip(ranges, shares, strict=True):
            start = begin / speech_features.SAMPLE_RATE
            piece = _recognise_piece(wav[begin:end], use_hama, share)
            found += [symbols.Segment(p, a + start, b + start) for p, a, b in piece]
    return finish(found, wav)


def check_transcript(transcript: str, language: str) -> None:
    """Refuse a text that nothing can be said of; far quicker than aligning it.

    Raises:
      UserError: so it is.
    """
    english = languages.is_english(language)
    if not (pronunciation.can_be_said(transcript) if english else re.search(r"\w", transcript)):
        raise errors.UserError(NO_WORD.format("English" if english else language))


def check_method(method: str) -> None:
    """Refuse a recogniser that is not there.

    Raises:
      UserError: hama is asked for and not installed.
    """
    if method == "hama" and not has_hama():
        raise errors.UserError("phonemes by hama: it is not installed; pip install hama, or use pocketsphinx")


def align(wav: Float[np.ndarray, "n"], words: Sequence[Variants]) -> list[symbols.Segment] | None:
    """Place known words in time: the likeliest path through their phones, pauses allowed between words.

    Args:
      words: for each word the ways to say it, each a sequence of ARPAbet phones.

    Returns:
      pocketsphinx's own times, neither shifted nor trimmed (see `finish`); None when no path fits.
    """
    shortest = sum(min(map(len, ways)) for ways in words)
    if shortest > MOST_PHONES * len(wav) / speech_features.SAMPLE_RATE:
        return None  # pocketsphinx would search long for a path that cannot be
    raw = _decode_graph(wav, words)
    spoken = [s.phone for s in raw if s.phone != "SIL"]
    return raw if word_ends(spoken, words) is not None else None


def finish(segments: Sequence[symbols.Segment], wav: Float[np.ndarray, "n"]) -> list[symbols.Segment]:
    """Shift, trim silences, join what touches, and fill the audio from 0 to its end."""
    total = len(wav) / speech_features.SAMPLE_RATE
    merged = symbols.merge_silences(segments)
    starts = [s.start_s + SHIFT for s in merged]
    for i, segment in enumerate(merged):
        if segment.phone != "SIL":
            continue
        length = segment.end_s - segment.start_s
        starts[i] += min(SILENCE_TRIM[0], length / 2) if i else 0
        if i + 1 < len(starts):
            starts[i + 1] -= min(SILENCE_TRIM[1], length / 2)
    ends = [*starts[1:], total]
    if merged:
        starts[0] = 0.0
    placed = (
        symbols.Segment(s.phone, min(a, total), min(b, total))
        for s, a, b in zip(merged, starts, ends, strict=True)
    )
    return [s for s in placed if s.end_s > s.start_s] or [symbols.Segment("SIL", 0.0, total)]


def segments_from_words(
    words: Sequence[tuple[str, float, float]], wav: Float[np.ndarray, "n"]
) -> list[symbols.Segment]:
    """Phones inside words whose times are known, as in grid_s1_words.csv.

    `segments_from_words([("sil", 0, 0.95), ("bin", 0.95, 1.18), ..], audio_io.read_audio(clip))`, then
    `phonemes.labels_from_segments(segments, frames)`. The whole clip is aligned once (2% of real time), and
    each word's phones are stretched to the times given; a word that lies elsewhere is divided evenly.

    Args:
      words: (word, start, end) in order, seconds; "sil", "sp" and "" are silence.
      wav: the clip, 16 kHz mono.
    """
    total = len(wav) / speech_features.SAMPLE_RATE
    spoken = [w for w in words if w[0].upper() not in symbols.SILENCES]
    variants = [pronunciation.pronunciations(w[0].lower()) or (("NSN",),) for w in spoken]
    raw = [s for s in _decode_graph(wav, variants) if s.phone != "SIL"] if spoken else []
    ends = word_ends([s.phone for s in raw], variants) or [0] * len(spoken)
    out: list[symbols.Segment] = []
    for (_, start, end), ways, first, last in zip(spoken, variants, [0, *ends], ends, strict=False):
        out += _fill(out, start) + _stretch(raw[first:last], ways[0], start, end)
    return out + _fill(out, total)


def pieces(wav: Float[np.ndarray, "n"]) -> list[tuple[int, int]]:
    """Sample ranges of at most 24 s that cover the audio, cut where it is quietest."""
    limit, at, cuts = int(PIECE_SECONDS * speech_features.SAMPLE_RATE), 0, [0]
    size = speech_features.FRAME_SAMPLES
    while len(wav) - at > limit:
        window = wav[at + limit // 2 : at + limit]
        blocks = window[: len(window) // size * size].reshape(-1, size)
        energy = np.convolve(np.mean(blocks**2, 1), np.ones(5), mode="same")[2:-2]
        at += limit // 2 + (int(np.argmin(energy)) + 2) * size + size // 2
        cuts.append(at)
    return list(zip(cuts, [*cuts[1:], len(wav)], strict=True))


def _words_of(transcript: str, language: str) -> Sequence[Variants]:
    words = [word.variants for word in languages.pronounce(transcript, language)]
    if not words:
        raise errors.UserError(NO_WORD.format("English" if languages.is_english(language) else language))
    return words


def share_words(
    wav: Float[np.ndarray, "n"], ranges: Sequence[tuple[int, int]], words: Sequence[Variants], use_hama: bool
) -> list[Sequence[Variants] | None]:
    """Which words of a long transcript are said in which piece; None where text and audio seem unrelated.

    The phones heard in a piece and the two after it are matched with the text ahead by least edits; the word
    where the first piece's phones end begins the next share. What is compared at once is bounded.
    """
    heard = [_heard(wav[begin:end], use_hama) for begin, end in ranges]
    shares: list[Sequence[Variants] | None] = []
    at = 0
    for i, piece in enumerate(heard):
        ahead = [phone for later in heard[i + 1 : i + 3] for phone in later]
        limit = int(1.5 * (len(piece) + len(ahead))) + 50
        script, owner = [], []
        for w in range(at, len(words)):
            script += words[w][0]
            owner += [w] * len(words[w][0])
            if len(script) > limit:
                break
        middle, distance = _split_script([*piece, *ahead], len(piece), script)
        until = _nearest_word(owner, middle, at) if i + 1 < len(heard) else len(words)
        shares.append(words[at:until] if distance < TRUSTED_DISTANCE else None)
        at = until
    return shares


def _nearest_word(owner: Sequence[int], middle: int, at: int) -> int:
    """The word that begins nearest to phone `middle` of the text; owner names each phone's word."""
    if middle >= len(owner):
        return owner[-1] + 1 if owner else at
    word = owner[middle]
    return word + (2 * (middle - owner.index(word)) > owner.count(word))


def _split_script(heard: Sequence[str], cut: int, script: Sequence[str]) -> tuple[int, float]:
    """Match what was heard with the beginning of a text by least edits.

    Returns:
      How many phones of the text lie before heard[:cut] ends, and the edits per phone up to there.
    """
    if not heard or not script:
        return 0, 0.0
    names = np.array(script)
    costs = np.empty((len(heard) + 1, len(script) + 1))
    steps = np.arange(len(script) + 1.0)
    costs[0] = steps
    for i, phone in enumerate(heard):
        best = costs[i] + 1
        best[1:] = np.minimum(best[1:], costs[i, :-1] + (names != phone))
        costs[i + 1] = np.minimum.accumulate(best - steps) + steps
    i, j = len(heard), int(np.argmin(costs[-1]))
    while i > cut:
        if costs[i, j] == costs[i - 1, j] + 1:
            i -= 1
        elif j and costs[i, j] == costs[i, j - 1] + 1:
            j -= 1
        else:
            i, j = i - 1, j - 1
    return j, float(costs[i, j]) / max(i, j, 1)


def _heard(wav: Float[np.ndarray, "n"], use_hama: bool) -> list[str]:
    """The phones heard in a piece, without silences or times."""
    if _nobody_speaks(wav):
        return []
    if use_hama:
        return [phone for word in _hama_words(wav) for phone in word[0]]
    return [s.phone for s in _allphone(wav) if s.phone != "SIL"]


def _recognise_piece(
    wav: Float[np.ndarray, "n"], use_hama: bool, words: Sequence[Variants] | None = None
) -> list[symbols.Segment]:
    seconds = len(wav) / speech_features.SAMPLE_RATE
    silence = [symbols.Segment("SIL", 0.0, seconds)]
    if _nobody_speaks(wav):
        return silence
    for source in ("transcript", "hama"):
        if source == "hama":
            words = _hama_words(wav) if use_hama else None
        if words is not None:
            aligned = align(wav, words) if words else silence
            if aligned is not None:
                return aligned
            log.warning("the %s's phones could not be aligned with %.1f s of sound", source, seconds)
    return _allphone(wav) or silence


def _allphone(wav: Float[np.ndarray, "n"]) -> list[symbols.Segment]:
    with _one_at_a_time:
        return _run(decoders.allphone(), wav)


def _hama_words(wav: Float[np.ndarray, "n"]) -> list[Variants]:
    heard = decoders.hama()(speech_features.normalised(wav), speech_features.SAMPLE_RATE).word_phoneme_text
    spelled = (ipa.to_arpabet(word) for word in heard.split("|"))
    words = [tuple(phone for phone in word if phone != "NSN") for word in spelled]
    return [(word,) for word in words if word]


def _decode_graph(wav: Float[np.ndarray, "n"], words: Sequence[Variants]) -> list[symbols.Segment]:
    """Run pocketsphinx over a graph: a word's phones in a row, its variants side by side, pauses between."""
    arcs: list[tuple] = []
    here, states = 0, 1
    for ways in [None, *[w for word in words for w in (word, None)]]:
        end, states = states, states + 1
        if ways is None:
            arcs += [(here, end, SILENCE_ODDS, "sil"), (here, end, 1 - SILENCE_ODDS)]
            here = end
            continue
        for phones in ways:
            at = here
            for i, phone in enumerate(phones):
                last = i + 1 == len(phones)
                to, states = (end, states) if last else (states, states + 1)
                arcs.append((at, to, 1.0 if i else 1 / len(ways), phone.lower()))
                at = to
        here = end
    with _one_at_a_time:
        decoder = decoders.aligner()
        decoder.add_fsg("graph", decoder.create_fsg("graph", 0, here, arcs))
        decoder.activate_search("graph")
        return _run(decoder, wav)


def _run(decoder: Any, wav: Float[np.ndarray, "n"]) -> list[symbols.Segment]:
    """Decode a whole recording; [] when no path is left."""
    # a little noise: digital silence would upset the removal of the cepstral mean
    noise = np.random.default_rng(0).uniform(-2, 2, len(wav))
    samples = np.round(speech_features.normalised(wav) * 30000 + noise).astype("<i2")
    try:
        decoder.start_utt()
        decoder.process_raw(samples.tobytes(), no_search=False, full_utt=True)
        decoder.end_utt()
        entries = list(decoder.seg() or [])
    except RuntimeError as error:
        log.warning(
            "pocketsphinx gave up on %.1f s of sound: %s", len(wav) / speech_features.SAMPLE_RATE, error
        )
        return []
    return [
        symbols.Segment(_symbol(s.word), s.start_frame / CENTISECONDS, (s.end_frame + 1) / CENTISECONDS)
        for s in entries
        if s.word != "(NULL)"
    ]


def _symbol(word: str) -> str:
    symbol = word.split("(")[0].upper()
    return symbol if symbol in symbols.INDEX else "SIL"  # <s>, </s>, [NOISE], +SPN+


def word_ends(spoken: Sequence[str], words: Sequence[Variants]) -> list[int] | None:
    """Where each word ends in a row of phones; None unless the row is one variant of each word, in order."""
    reached: list[dict[int, int]] = [{0: 0}]  # end -> where that word began
    for ways in words:
        steps = {
            begin + len(phones): begin
            for begin in reached[-1]
            for phones in ways
            if tuple(spoken[begin : begin + len(phones)]) == tuple(phones)
        }
        reached.append(steps)
    if len(spoken) not in reached[-1]:
        return None
    ends, at = [], len(spoken)
    for steps in reversed(reached[1:]):
        ends.append(at)
        at = steps[at]
    return ends[::-1]


def _stretch(
    raw: Sequence[symbols.Segment], phones: Sequence[str], start: float, end: float
) -> list[symbols.Segment]:
    """Phones over [start, end] in the proportions found there, or evenly when they were found elsewhere."""
    overlap = min(raw[-1].end_s, end) - max(raw[0].start_s, start) if raw else 0.0
    if overlap > 0.5 * (end - start):
        marks = np.interp([s.start_s for s in raw[1:]], [raw[0].start_s, raw[-1].end_s], [start, end])
        phones = [s.phone for s in raw]
    else:
        marks = np.linspace(start, end, len(phones) + 1)[1:-1]
    edges = [start, *(float(m) for m in marks), end]
    return [symbols.Segment(p, a, b) for p, a, b in zip(phones, edges[:-1], edges[1:], strict=True)]


def _fill(before: Sequence[symbols.Segment], until: float) -> list[symbols.Segment]:
    """Silence from the last segment's end to `until`, if there is any."""
    end = before[-1].end_s if before else 0.0
    return [symbols.Segment("SIL", end, until)] if until > end else []


def _nobody_speaks(wav: Float[np.ndarray, "n"], silent: Bool[np.ndarray, " t"] | None = None) -> bool:
    if len(wav) < SHORTEST_SECONDS * speech_features.SAMPLE_RATE:
        return True
    return bool((voice.silent_frames(wav) if silent is None else silent).all())


def has_hama() -> bool:
    return importlib.util.find_spec("hama") is not None
