"""Subtitles: what is said when, in lines that can be read; as .srt, .vtt, or for `burnt_subtitles`."""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from avct_jax import errors
from avct_jax.data.media import line_breaks
from avct_jax.files import atomic_write

BURN = "burn"  # in the place of a file's name
ENDINGS = (".srt", ".vtt")
LINE, LINES = 42, 2  # columns of a line, lines of a cue: what broadcasters ask for; wide letters take two
SHORTEST = 0.8  # s that a cue is shown, if the next leaves it
# Where a sentence ends: at stops of wide letters; at others before a space, closing quotes along with it.
CLOSING = "[\"'”’»)\\]」』]*"  # noqa: RUF001 - quotes do look like others
END = re.compile(rf"[。！？।]+{CLOSING}|[.!?…؟۔]+{CLOSING}(?=\s|$)")  # noqa: RUF001
# Not at a single stop before a small letter, and not at that of a title or an initial.
TITLE = re.compile(r"(?:^|[\s(\"'“])(?:Mrs?|Ms|Dr|Prof|St|Mme|Sra?|e\.g|i\.e|vs|[A-Z])\.$")


class Subtitle(NamedTuple):
    """Words, and from when to when they are shown, seconds; guessed: they were not found in the sound."""

    text: str
    start: float
    end: float
    guessed: bool = False


def check_place(given: Any) -> str | None:
    """Take where subtitles go.

    Returns:
      A file's name, `BURN`, or None.

    Raises:
      UserError: it is something else.
    """
    if given is None or given == BURN:
        return given
    try:
        name = os.fspath(given)
    except TypeError:
        name = ""
    if not isinstance(name, str) or os.path.splitext(name)[1].lower() not in ENDINGS:
        raise errors.UserError(f"subtitles go to {given!r}; name a .srt or .vtt file, or say burn")
    return name


def parts(text: str) -> list[str]:
    """Divide a text into what one cue shows: at ends of sentences, else between words."""
    return [part for sentence in sentences(text) for part in line_breaks.divided(sentence, LINE * LINES)]


def sentences(text: str) -> list[str]:
    """Divide a text at ends of sentences."""
    plain, found, begin = " ".join(text.split()), [], 0
    for end in END.finditer(plain):
        before = plain[begin : end.end()]
        if end[0] == "." and (plain[end.end() :].lstrip()[:1].islower() or TITLE.search(before)):
            continue
        found.append(before.strip())
        begin = end.end()
    return [one for one in (*found, plain[begin:].strip()) if one]


def of_sentences(sentences: Iterable[tuple[str, float, float]]) -> list[Subtitle]:
    """Make cues of sentences whose times are known; parts of long ones last as long as their letters say."""
    found = []
    for text, start, end in sentences:
        pieces = parts(text)
        edges = np.cumsum([0, *(len(piece) for piece in pieces)]) / max(sum(map(len, pieces)), 1)
        times = (start + (end - start) * edges).tolist()
        found += [Subtitle(*row) for row in zip(pieces, times[:-1], times[1:], strict=True)]
    return lasting(found)


def lasting(cues: Sequence[Subtitle]) -> list[Subtitle]:
    """Let short cues stay until they can be read, or the next comes."""
    nexts = [cue.start for cue in cues[1:]] + [float("inf")]
    return [
        cue._replace(end=min(max(cue.end, cue.start + SHORTEST), after))
        for cue, after in zip(cues, nexts, strict=True)
    ]


def written(cues: Sequence[Subtitle], *, web: bool = False) -> str:
    """Return cues as SubRip text, or as WebVTT."""
    mark = "." if web else ","
    rows = ["WEBVTT\n"] if web else []
    for number, cue in enumerate(cues, 1):
        times = " --> ".join(_time(seconds, mark) for seconds in (cue.start, cue.end))
        rows.append(f"{number}\n{times}\n" + "\n".join(lines(cue.text)) + "\n")
    return "\n".join(rows)


@contextlib.contextmanager
def writing(path: str | os.PathLike, cues: Sequence[Subtitle], *inputs: Any) -> Iterator[None]:
    """Write a .srt or .vtt file, which bears its name when the block has ended well.

    Args:
      inputs: files that must not be lost.

    Raises:
      UserError: it cannot be written, or would replace an input.
    """
    atomic_write.refuse_overwriting(path, *inputs, option="--subtitles")
    with atomic_write.writing(path) as hidden:
        web = os.fspath(path).lower().endswith(".vtt")
        hidden.write_text(written(cues, web=web), encoding="utf-8")
        yield


def lines(text: str) -> list[str]:
    """Divide a cue into lines of like length."""
    return line_breaks.divided(text, LINE)


def _time(seconds: float, mark: str) -> str:
    whole = round(1000 * seconds)
    minutes, rest = divmod(whole, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{mark}{rest % 1000:03}"
