"""The International Phonetic Alphabet by the 41 symbols that lips know: by what is seen, where ears differ.

Sounds that English lacks go to one of the same viseme: lips shut for every bilabial stop, nasal, trill and
click, lip to teeth for labiodentals, round for rounded vowels. Length, stress, tone and other marks are
dropped, so nasal vowels are oral ones. Every letter of the IPA's chart of 2020 has its place.
"""
# ruff: noqa: RUF001 - letters of the phonetic alphabet do look like others

import unicodedata
from collections.abc import Mapping

UNKNOWN = "NSN"
# Combining, raised and spacing marks, spaces, stops; raised digits, signs and brackets of tones; joiners.
MARKS = ("Mn", "Lm", "Sk", "Zs", "Po", "No", "Sm", "Ps", "Pe", "Cf", "Pd", "Pc")


def table(text: str) -> dict[str, str]:
    """Read "aɪ=AY ɪə=IH+R": what is written, and the ARPAbet phones it stands for."""
    pairs = (pair.rsplit("=", 1) for pair in text.split())
    return {written: phones for written, phones in pairs}


ENGLISH = table("""
    aɪ=AY aʊ=AW eɪ=EY oʊ=OW əʊ=OW ɔɪ=OY tʃ=CH dʒ=JH tɕ=CH dʑ=JH ʧ=CH ʤ=JH ɪə=IH+R eə=EH+R ʊə=UH+R ɜɹ=ER
    əɹ=ER aj=AY aw=AW ej=EY ow=OW ɔj=OY ɑ=AA a=AA ɒ=AA æ=AE ʌ=AH ə=AH ɐ=AH ɘ=AH ᵊ=AH ɤ=AH ɔ=AO ɛ=EH e=EY
    ɜ=ER ɝ=ER ɚ=ER ø=ER œ=ER ɪ=IH ɨ=IH i=IY o=OW ʊ=UH ɵ=UH u=UW ʉ=UW ɯ=UW y=UW b=B ɓ=B d=D ɖ=D ɗ=D ð=DH
    f=F ɸ=F g=G ɡ=G ɟ=G ɣ=G h=HH ɦ=HH x=HH χ=HH k=K c=K q=K l=L ɫ=L ʎ=L ɭ=L m=M ɱ=M n=N ɲ=N ɴ=N ŋ=NG p=P
    r=R ɹ=R ɻ=R ʁ=R ʀ=R ɽ=R s=S ʃ=SH ʂ=SH ɕ=SH t=T ʈ=T ɾ=T ʔ=T θ=TH v=V β=V ʋ=V w=W ɰ=W ʍ=W j=Y ɥ=W z=Z
    ʒ=ZH ʐ=ZH
""")
OTHERS = table("""
    ʘ=P ʙ=B ⱱ=V ʦ=T+S ʣ=D+Z ʨ=CH ʥ=JH ʈʂ=CH ɖʐ=JH ɳ=N ɟʝ=JH cx=CH ʝ=Y ɬ=L ɮ=L ɺ=L ʟ=L ɢ=G ʛ=G ɠ=G ʄ=G
    ǀ=T ǁ=L ǃ=T ǂ=CH ʇ=T ʖ=L ʗ=T ħ=HH ʕ=HH ʜ=HH ʢ=HH ʡ=T ɧ=SH ʑ=ZH ɞ=ER ɶ=AA ʏ=UH ᵻ=IH ᵿ=UH ɿ=IH ʅ=ER
    ʮ=UW ʯ=UW ɩ=IH ɷ=UH ʓ=ZH ʆ=SH ƥ=P ƭ=T ƈ=K ƙ=K ʠ=K ȴ=L ȵ=N ȶ=T ȡ=D
""")
ALL = ENGLISH | OTHERS


def to_arpabet(text: str) -> list[str]:
    """Return the ARPAbet of a string in IPA, longest symbols first; NSN for a letter that is none."""
    text = unicodedata.normalize("NFC", text).replace("ɜ˞", "ɝ").replace("ə˞", "ɚ").replace("ç", "x")
    kept = [c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) not in MARKS or c == "ᵊ"]
    return spell("".join(kept), ALL)


def spell(letters: str, symbols: Mapping[str, str]) -> list[str]:
    """Return what letters stand for by a table, the longest of up to three first; NSN for what it lacks."""
    phones, i = [], 0
    while i < len(letters):
        size = next((n for n in (3, 2, 1) if letters[i : i + n] in symbols), 0)
        phones += symbols[letters[i : i + size]].split("+") if size else [UNKNOWN]
        i += max(size, 1)
    return phones
