"""Every letter of the International Phonetic Alphabet has a symbol, and lips that fit it."""
# ruff: noqa: RUF001 - letters of the phonetic alphabet do look like others

import pytest

from avct_jax.data.phonemes import ipa, symbols

# The chart of 2020: pulmonic and other consonants, clicks, implosives, vowels.
CHART = (
    "pbtdʈɖcɟkɡqɢʔmɱnɳɲŋɴʙrʀⱱɾɽɸβfvθðszʃʒʂʐçʝxɣχʁħʕhɦɬɮʋɹɻjɰlɭʎʟʘǀǃǂǁɓɗʄɠʛʍwɥʜʢʡɕʑɺɧ"
    "iyɨʉɯuɪʏʊeøɘɵɤoəɛœɜɞʌɔæɐaɶɑɒ"
)
VISEMES = {
    "lips shut": ("pbmɓʘʙ", "P B M"),
    "lip to teeth": ("fvɱⱱ", "F V M"),
    "round": ("yʉuʏʊøɵoœɞɔɒɶwʍɥ", "UW UH OW AO ER AA W"),
    "spread": ("iɨɪejʝ", "IY IH EY Y EH"),
    "open": ("aɑɐæɶɒ", "AA AE AH"),
    "hissing": ("szʃʒʂʐɕʑɧ", "S Z SH ZH"),
}


@pytest.mark.parametrize("letter", CHART)
def test_each_letter_of_the_chart_is_known(letter):
    found = ipa.to_arpabet(letter)
    assert len(found) == 1 and found[0] in symbols.INDEX and found != ["NSN"]


@pytest.mark.parametrize("name", VISEMES)
def test_lips_do_what_is_seen(name):
    letters, allowed = VISEMES[name]
    assert {ipa.to_arpabet(letter)[0] for letter in letters} <= set(allowed.split())


@pytest.mark.parametrize(
    "word, phones",
    [
        ("ˈt͡sʋœlf", "T S V ER L F"),
        ("bɔ̃ʒuːʁ", "B AO ZH UW R"),
        ("ni²¹⁴⁻³⁵xɑʊ̯²¹⁴⁻²¹⁽⁴⁾", "N IY HH AA UH"),
        ("ɕi˥˩", "SH IY"),
        ("pʰa-b̥a", "P AA B AA"),
        ("ɟʝaç", "JH AA HH"),
        ("a☃", "AA NSN"),
    ],
)
def test_marks_and_tones_are_dropped(word, phones):
    assert " ".join(ipa.to_arpabet(word)) == phones


def test_tables_name_known_symbols_only():
    assert {phone for phones in ipa.ALL.values() for phone in phones.split("+")} <= set(symbols.SYMBOLS)
    assert not set(ipa.ENGLISH) & set(ipa.OTHERS)
