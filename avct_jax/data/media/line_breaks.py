"""Where a text may be broken into lines: between words, after hyphens, between wide letters."""

import itertools
import unicodedata
from collections.abc import Callable

import numpy as np

HYPHENS = "-\u2010"
OPENING = ("Ps", "Pi")  # brackets and quotes, by Unicode's categories
STEPS = 24  # widths that are tried until lines are of like length
Measure = Callable[[str], float]


def columns(text: str) -> int:
    """Count columns of a text: letters, wide ones (Chinese, Japanese, Korean) twice."""
    return len(text) + sum(map(_is_wide, text))


def divided(text: str, most: float | int, measure: Measure = columns, *, breaking: bool = False) -> list[str]:
    """Divide a text into as few parts as can be, of like width.

    Args:
      most: width of a part.
      measure: gives the width of a text.
      breaking: a word that is wider is broken; otherwise it stands out.
    """
    pieces = [part for piece in _pieces(text) for part in _broken(*piece, most, measure, breaking)]
    fewest = _rows(pieces, most, measure)
    if len(fewest) < 2:
        return fewest
    least = max(measure(text) / len(fewest), *(measure(piece) for _, piece in pieces))
    widths = np.linspace(min(least, most), most, STEPS).tolist()
    return next(found for width in widths if len(found := _rows(pieces, width, measure)) == len(fewest))


def _is_wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"


def _pieces(text: str) -> list[tuple[str, str]]:
    """What is not to be broken, each after the space that is before it where it does not begin a line."""
    found: list[tuple[str, str]] = []
    for word in text.split():
        space, piece = " ", word[0]
        for before, letter in itertools.pairwise(word):
            opens, kind = unicodedata.category(before) in OPENING, unicodedata.category(letter)
            tied = opens or (kind[0] in "PM" and kind not in OPENING)
            wide = _is_wide(before) or _is_wide(letter)
            if (wide and not tied) or (before in HYPHENS and piece[:-1].isalpha() and letter.isalpha()):
                found.append((space, piece))
                space, piece = "", ""
            piece += letter
        found.append((space, piece))
    return found


def _broken(
    space: str, piece: str, most: float | int, measure: Measure, breaking: bool
) -> list[tuple[str, str]]:
    """Break a piece that is too wide, with hyphens."""
    found = []
    while breaking and len(piece) > 2 and measure(piece) > most:
        fits = (n for n in range(len(piece) - 1, 1, -1) if measure(piece[:n] + "-") <= most)
        count = next(fits, 1)
        found.append((space, piece[:count] + "-"))
        space, piece = " ", piece[count:]
    return [*found, (space, piece)]


def _rows(pieces: list[tuple[str, str]], most: float | int, measure: Measure) -> list[str]:
    """As much into each line as it takes."""
    rows: list[str] = []
    for space, piece in pieces:
        if rows and measure(rows[-1] + space + piece) <= most:
            rows[-1] += space + piece
        else:
            rows.append(piece)
    return rows
