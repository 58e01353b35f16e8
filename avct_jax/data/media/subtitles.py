"""Subtitles: what is said when, in lines that can be read; .srt, .vtt, or drawn into frames."""

import contextlib
import functools
import os
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from avct_jax import errors
from avct_jax.files import atomic_write

BURN = "burn"  # in the place of a file's name
ENDINGS = (".srt", ".vtt")
LINE, LINES = 42, 2  # characters of a line, lines of a cue: what broadcasters ask for
SMALLEST = 4  # px, of letters: no line is cut in a picture of 96 px
SHORTEST = 0.8  # s that a cue is shown, if the next leaves it
HEIGHT, MARGIN, OUTLINE = 0.055, 0.04, 0.1  # of the frame: letters, what is kept free; of a letter: its edge
FONTS = (  # Pillow's own has English letters only
    "",
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf"),
    *("NotoSansCJK-Regular.ttc", "msyh.ttc", "PingFang.ttc", "Arial Unicode.ttf"),
)
PARTS = re.compile(r"[^.!?…。！？।]+[.!?…。！？।]*[\"'”’»)\]]*\s*")  # noqa: RUF001 - their stops do look like others


class Subtitle(NamedTuple):
    """Words, and from when to when they are shown, seconds."""

    text: str
    start: float
    end: float


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
    return [
        part
        for sentence in PARTS.findall(" ".join(text.split()))
        for part in divided(sentence.strip(), LINE * LINES)
    ]


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
    return divided(text, LINE)


def divided(text: str, most: int) -> list[str]:
    """Divide a text between words into as few parts of at most so many letters as can be, of like length."""
    wrap = lambda width: textwrap.wrap(text, width, break_long_words=False)
    fewest = wrap(most)
    if len(fewest) < 2:
        return fewest
    widths = range(-(-len(text) // len(fewest)), most)
    return next((found for width in widths if len(found := wrap(width)) == len(fewest)), fewest)


def _time(seconds: float, mark: str) -> str:
    whole = round(1000 * seconds)
    minutes, rest = divmod(whole, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{mark}{rest % 1000:03}"


def font_for(cues: Iterable[Subtitle]) -> str:
    """Find a font that has all letters of some cues: Pillow's own, or one of the system's.

    Returns:
      Its file's name; "" is Pillow's own.

    Raises:
      UserError: there is none.
    """
    letters = {letter for cue in cues for letter in cue.text if not letter.isspace()}
    lacking = {name: _lacking(name, letters) for name in FONTS}
    name = next((name for name, missing in lacking.items() if not missing), None)
    if name is None:
        few = errors.few(min(lacking.values(), key=len))
        raise errors.UserError(f"no font here has the letters {few}; name a .srt file instead of burn")
    return name


def _lacking(name: str, letters: Iterable[str]) -> list[str]:
    try:
        font = _font(name, 32)
    except OSError:  # it is not installed
        return sorted(letters)
    unknown = bytes(font.getmask("\uffff"))
    return [letter for letter in sorted(letters) if bytes(font.getmask(letter)) == unknown]


def burned(blocks: Iterable[Any], cues: Sequence[Subtitle], rate: float) -> Iterator[Any]:
    """Yield blocks of frames with their cues drawn at the bottom.

    Args:
      blocks: (n, h, w, 3), 8 bits.
      rate: frames a second.
    """
    done, drawn, font = 0, {}, None
    for block in blocks:
        block = np.array(block)
        for i, frame in enumerate(block):
            time = (done + i) / rate
            current = next((k for k, cue in enumerate(cues) if cue.start <= time < cue.end), None)
            if current is None:
                continue
            if current not in drawn:
                font = font or _fitting(cues, *frame.shape[:2])
                drawn = {current: _picture(cues[current].text, font, *frame.shape[:2])}
            top, ink, opacity = drawn[current]
            place = frame[top : top + len(ink)]
            place[:] = np.round(place + opacity * (ink - place.astype(np.float32)))
        done += len(block)
        yield block


def _fitting(cues: Sequence[Subtitle], height: int, width: int) -> Any:
    """One font for all cues, whose longest line is not wider than the frame."""
    name, size = font_for(cues), max(round(HEIGHT * min(height, width)), SMALLEST)
    longest = max((row for cue in cues for row in lines(cue.text)), key=_font(name, size).getlength)
    while size > SMALLEST and _font(name, size).getlength(longest) > (1 - 2 * MARGIN) * width:
        size -= 1
    return _font(name, size)


def _picture(
    text: str, font: Any, height: int, width: int
) -> tuple[int, Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w 1"]]:
    """A strip of letters: its top, colours, and how much it covers."""
    import PIL.Image
    import PIL.ImageDraw

    shown, step, edge = lines(text), round(1.25 * font.size), max(1, round(OUTLINE * font.size))
    strip = PIL.Image.new("LA", (width, step * len(shown) + 2 * edge))
    drawing = PIL.ImageDraw.Draw(strip)
    for i, row in enumerate(shown):
        drawing.text(
            (width / 2, edge + i * step), row, (255, 255), font, "ma", stroke_width=edge, stroke_fill=(0, 255)
        )
    found = np.asarray(strip, np.float32)
    top = max(0, height - round(MARGIN * height) - len(found))
    return top, np.repeat(found[..., :1], 3, -1), found[..., 1:] / 255


@functools.lru_cache(maxsize=64)
def _font(name: str, size: int) -> Any:
    import PIL.ImageFont

    return PIL.ImageFont.truetype(name, size) if name else PIL.ImageFont.load_default(size)
