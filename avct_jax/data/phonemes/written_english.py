"""Abbreviations of written English that a synthesiser would misread, or take for the end of a sentence."""

import re

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September")
MONTHS += ("October", "November", "December")
# Before a number, or a word that shows that the sentence goes on.
SHORT = {
    r"\bNo\.(?=\s*\d)": "number",
    r"\bNos\.(?=\s*\d)": "numbers",
    r"\bpp\.(?=\s*\d)": "pages",
    r"\bp\.(?=\s*\d)": "page",
    r"\bvol\.(?=\s*\d)": "volume",
    r"\bfig\.(?=\s*\d)": "figure",
    r"\bca\.(?=\s*\d)": "about",
    r"\bapprox\.": "approximately",
    r"\bi\.\s?e\.,?": "that is,",
    r"\be\.\s?g\.,?": "for example,",
    r"\betc\.(?=,)": "et cetera",
    r"\betc\.": "et cetera.",
    r"\bvs\.?(?=\s)": "versus",
    r"\bdept\.": "department",
    r"\best\.(?=\s*\d)": "established",
}
RULES = [(re.compile(pattern, re.IGNORECASE), words) for pattern, words in SHORT.items()]
MONTH = re.compile(rf"\b({'|'.join(f'{name[:3]}t?' for name in MONTHS)})\.(?=\s*\d)")
DAY = re.compile(rf"\b({'|'.join(MONTHS)}) (\d{{1,2}})(?=,? \d{{4}}\b|[,.;:!?]|$)")
ENDINGS = {1: "st", 2: "nd", 3: "rd"}


def read_out(text: str) -> str:
    """Return a text whose abbreviations are the words that are said; "Jan. 5, 1990" is January 5th, 1990."""
    for pattern, words in RULES:
        text = pattern.sub(lambda found, words=words: _cased(words, found[0]), text)
    text = MONTH.sub(lambda found: _month(found[1]), text)
    return DAY.sub(lambda found: f"{found[1]} {_ordinal(int(found[2]))}", text)


def _cased(words: str, written: str) -> str:
    """Begin with a capital where what is written does, but for "No.", which does so within a sentence too."""
    return words[0].upper() + words[1:] if written[0].isupper() and not words.startswith("number") else words


def _month(short: str) -> str:
    return next(name for name in MONTHS if name.startswith(short[:3]))


def _ordinal(day: int) -> str:
    tail = "th" if day // 10 == 1 else ENDINGS.get(day % 10, "th")
    return f"{day}{tail}"
