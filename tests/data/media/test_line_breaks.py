"""Texts are broken between words, after hyphens, and between wide letters; lines are of like length."""

import pytest

from avct_jax.data.media import line_breaks


@pytest.mark.parametrize(
    "text, most, wanted",
    [
        ("one two three four", 10, ["one two", "three four"]),
        ("aaaa bb cc dd", 10, ["aaaa bb", "cc dd"]),
        ("a well-known man", 8, ["a well-", "known", "man"]),
        ("from -5 to 7-8", 8, ["from -5", "to 7-8"]),
        ("今天天气很好。我们走吧", 12, ["今天天气很", "好。我们走吧"]),
        ("我说「你好」。", 6, ["我说", "「你", "好」。"]),
        ("x" * 20, 10, ["x" * 20]),
        ("", 10, []),
    ],
)
def test_divided(text, most, wanted):
    assert line_breaks.divided(text, most) == wanted


def test_words_that_are_too_wide_are_broken_with_hyphens_where_it_is_asked():
    found = line_breaks.divided("Verordnungen gibt es", 8, breaking=True)
    assert found == ["Verordn-", "ungen", "gibt es"]


def test_any_measure_of_width_will_do():
    wide = lambda text: sum(3.0 if letter == "W" else 1.0 for letter in text)
    assert line_breaks.divided("WW ii WW ii", 9.0, wide) == ["WW ii", "WW ii"]


def test_wide_letters_take_two_columns():
    assert line_breaks.columns("ab 你好") == 7
