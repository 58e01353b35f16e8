"""Which letters a language is written in, to tell who gives a text of another."""

import unicodedata
from collections import Counter

LATIN = "LATIN"
# What is not here is written in Latin letters, or not known. Names are how Unicode's of letters begin.
WRITTEN = {
    **dict.fromkeys(["be", "bg", "cv", "ky", "mk", "mn", "nog", "ru", "tg", "uk", "ba"], ("CYRILLIC",)),
    **dict.fromkeys(["az", "bs", "kk", "sr", "tt", "uz", "tk"], (LATIN, "CYRILLIC")),
    **dict.fromkeys(["ar", "ckb", "fa", "fa-latn", "ps", "sd", "ug", "ur"], ("ARABIC",)),
    **dict.fromkeys(["hi", "kok", "mr", "ne", "sa"], ("DEVANAGARI",)),
    **dict.fromkeys(["as", "bn", "bpy"], ("BENGALI",)),
    **dict.fromkeys(["el", "grc"], ("GREEK",)),
    **dict.fromkeys(["he", "yi"], ("HEBREW",)),
    **dict.fromkeys(["hy", "hyw"], ("ARMENIAN",)),
    **dict.fromkeys(["am", "ti"], ("ETHIOPIC",)),
    **dict.fromkeys(
        ["zh", "cmn", "yue", "hak", "wuu"], ("CJK", "BOPOMOFO", LATIN)
    ),  # also by its sounds: pinyin
    "ja": ("CJK", "HIRAGANA", "KATAKANA"),
    "ko": ("HANGUL", "CJK"),
    "ka": ("GEORGIAN",),
    "gu": ("GUJARATI",),
    "pa": ("GURMUKHI", "ARABIC"),
    "ku": (LATIN, "ARABIC"),
    "or": ("ORIYA",),
    "ta": ("TAMIL",),
    "te": ("TELUGU",),
    "kn": ("KANNADA",),
    "ml": ("MALAYALAM",),
    "si": ("SINHALA",),
    "th": ("THAI",),
    "lo": ("LAO",),
    "km": ("KHMER",),
    "my": ("MYANMAR",),
    "shn": ("MYANMAR",),
    "chr": ("CHEROKEE",),
}
SHARE = 0.5  # of the letters, beyond which a text is of another language


def remark(text: str, language: str) -> str | None:
    """Say so where most letters of a text are none of its language.

    Args:
      language: as `languages.check` returns it.

    Returns:
      A line, or None.
    """
    base = language.partition("-")[0]
    found = Counter(map(_system, filter(str.isalpha, text)))
    own = sum(found[name] for name in WRITTEN.get(language, WRITTEN.get(base, (LATIN,))))
    total = sum(found.values())
    if total - own <= SHARE * total:
        return None
    most = found.most_common(1)[0][0]
    most = "Chinese" if most == "CJK" else most.capitalize()
    return f"the text is in {most} letters, which are not those of {language}: is the language right?"


def _system(letter: str) -> str:
    name = unicodedata.name(letter, "?")
    return name.split()[0].removesuffix("-COMPATIBILITY") if name else "?"
