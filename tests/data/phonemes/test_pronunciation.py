"""English text to phones."""

import pytest

from avct_jax.data.phonemes import pronunciation, symbols


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It cost $5, 3.5% more.", "it cost five dollars three point five percent more"),
        ("In 1999, 2005 and 2015", "in nineteen ninety nine two thousand five and twenty fifteen"),
        ("the 21st, the 100th", "the twenty first the one hundredth"),
        ("1101st of 2,012th", "one thousand one hundred first of two thousand twelfth"),
        ("1,234,567", "one million two hundred thirty four thousand five hundred sixty seven"),
        ("Dr. O\u2019Neil's “don\u2019t” - 007!", "doctor o'neil's don't zero zero seven"),
        ("... !", ""),
    ],
)
def test_spoken_words_are_what_one_would_say(text, words):
    assert " ".join(pronunciation.spoken_words(text)) == words


def test_pronunciations_hold_every_variant_of_the_dictionary():
    assert pronunciation.pronunciations("the") == (("DH", "AH"), ("DH", "IY"))
    assert pronunciation.pronunciations("nbcx")[0][:4] == ("EH", "N", "B", "IY")


def test_pronunciations_of_unknown_words_are_phones(monkeypatch):
    monkeypatch.setattr(pronunciation, "_network", lambda: None)
    pronunciation.pronunciations.cache_clear()
    for word in ("zelenskyy", "grokked", "brexit's", "ångströmly", "b'z"):
        assert set(pronunciation.pronunciations(word)[0]) <= set(symbols.SYMBOLS)
    pronunciation.pronunciations.cache_clear()


def test_spell_out_knows_common_letters():
    assert pronunciation.spell_out("thoughtcrime") == ("TH", "AO", "T", "K", "R", "AY", "M")
    assert pronunciation.spell_out("knack") == ("N", "AE", "K")


def test_pronounce_leaves_out_another_script(caplog):
    assert [word.text for word in pronunciation.pronounce("yes 你好")] == ["yes"]
    assert "你好" in caplog.text
