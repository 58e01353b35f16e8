"""Subtitles drawn into frames: which font has their letters, how large they are, where they stand."""

import functools
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from avct_jax import errors
from avct_jax.data.media import line_breaks, subtitles

HEIGHT, MARGIN = 0.055, 0.04  # of the frame's shorter side: letters; of the frame: what is kept free
OUTLINE, STEP, WIDEST = 0.1, 1.25, 26  # of a letter's size: its edge; from line to line; a line
LINES = 2, 3  # of a cue; where that would make letters smaller than a share of what is usual
SHARE = 0.75
SMALLEST = 4  # px, of letters
FINE, FINER = (
    40,
    4,
)  # px, letters below it are drawn so many times as large and made smaller: not rounded to px
FONTS = (  # Pillow's own has English letters only
    "",
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf"),
    *("NotoSansCJK-Regular.ttc", "msyh.ttc", "PingFang.ttc", "Arial Unicode.ttf"),
)


class _Lettering(NamedTuple):
    """How all cues of a film are written.

    Attributes:
      font: enlarged by `finer`.
      finer: how many times as large letters are drawn as they are shown.
      rows: lines of each cue.
    """

    font: Any
    finer: int
    rows: list[list[str]]


def font_for(texts: Iterable[str]) -> str:
    """Find a font that has all letters of some texts: Pillow's own, or one of the system's.

    Returns:
      Its file's name; "" is Pillow's own.

    Raises:
      UserError: there is none.
    """
    letters = {letter for text in texts for letter in text if not letter.isspace()}
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


def burned(blocks: Iterable[Any], cues: Sequence[subtitles.Subtitle], rate: float) -> Iterator[Any]:
    """Yield blocks of frames with their cues drawn at the bottom.

    Args:
      blocks: (n, h, w, 3), 8 bits.
      rate: frames a second.
    """
    done, drawn, lettering = 0, {}, None
    for block in blocks:
        block = np.array(block)
        for i, frame in enumerate(block):
            time = (done + i) / rate
            current = next((k for k, cue in enumerate(cues) if cue.start <= time < cue.end), None)
            if current is None:
                continue
            if current not in drawn:
                lettering = lettering or _fitting([cue.text for cue in cues], *frame.shape[:2])
                drawn = {current: _picture(lettering, lettering.rows[current], *frame.shape[:2])}
            top, ink, opacity = drawn[current]
            place = frame[top : top + len(ink)]
            place[:] = np.round(place + opacity * (ink - place.astype(np.float32)))
        done += len(block)
        yield block


def _fitting(texts: Sequence[str], height: int, width: int) -> _Lettering:
    """The largest letters, the same for all cues, of which each cue fits into the frame in few lines."""
    name, usual = font_for([*texts, "-"]), max(round(HEIGHT * min(height, width)), SMALLEST)
    for size in range(usual, SMALLEST - 1, -1):
        most = LINES[0] if size >= SHARE * usual else LINES[1]
        found = _lettering(texts, name, size, width)
        if size == SMALLEST or max(map(len, found.rows), default=0) <= most:
            return found
    raise AssertionError


def _lettering(texts: Sequence[str], name: str, size: int, width: int) -> _Lettering:
    finer = FINER if size < FINE else 1
    font = _font(name, finer * size)
    most = min((1 - 2 * MARGIN) * width * finer, WIDEST * font.size)
    measure = functools.partial(_width, font)
    return _Lettering(
        font, finer, [line_breaks.divided(text, most, measure, breaking=True) for text in texts]
    )


def _width(font: Any, row: str) -> float:
    """Of a line, with its edge."""
    return sum(_words(font, row)[1]) + 2 * OUTLINE * font.size


def _words(font: Any, row: str) -> tuple[list[str], list[float]]:
    """The words of a line and how far it goes on after each; a line from right to left is one word.

    Edges make spaces between words narrower; they are made wider by as much.
    """
    words = [row] if any(unicodedata.bidirectional(x) in ("R", "AL") for x in row) else row.split(" ")
    gap = font.getlength(" ") + OUTLINE * font.size
    steps = [font.getlength(word) + gap for word in words]
    return words, [*steps[:-1], steps[-1] - gap]


def _picture(
    lettering: _Lettering, rows: Sequence[str], height: int, width: int
) -> tuple[int, Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w 1"]]:
    """A strip of letters: its top, colours, and how much it covers."""
    import PIL.Image
    import PIL.ImageDraw

    font, finer = lettering.font, lettering.finer
    edge, step = max(1, round(OUTLINE * font.size)), round(STEP * font.size)
    tall = -(-(step * len(rows) + 2 * edge) // finer)
    strip = PIL.Image.new("LA", (width * finer, tall * finer))
    drawing = PIL.ImageDraw.Draw(strip)
    for i, row in enumerate(rows):
        words, steps = _words(font, row)
        x = (width * finer - sum(steps)) / 2
        for word, forth in zip(words, steps, strict=True):
            drawing.text(
                (x, edge + i * step), word, (255, 255), font, "la", stroke_width=edge, stroke_fill=(0, 255)
            )
            x += forth
    found = np.asarray(strip.reduce(finer) if finer > 1 else strip, np.float32)
    top = max(0, height - round(MARGIN * height) - len(found))
    found = found[-(height - top) :]
    return top, np.repeat(found[..., :1], 3, -1), found[..., 1:] / 255


@functools.lru_cache(maxsize=64)
def _font(name: str, size: int) -> Any:
    import PIL.ImageFont

    return PIL.ImageFont.truetype(name, size) if name else PIL.ImageFont.load_default(size)
