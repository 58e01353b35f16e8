"""A text in letters that are not its language's is told of."""
# ruff: noqa: RUF001 - letters of other scripts do look like others

import pytest

from avct_jax.data.phonemes import languages, writing_systems


@pytest.mark.parametrize(
    "text, language, letters",
    [
        ("Привет, мир", "en", "Cyrillic"),
        ("Привет, мир", "de", "Cyrillic"),
        ("Good morning", "ru", "Latin"),
        ("你好", "en-us", "Chinese"),
        ("Guten Morgen", "el", "Latin"),
    ],
)
def test_a_text_of_another_language_is_told(text, language, letters):
    found = writing_systems.remark(text, language)
    assert found and f"in {letters} letters" in found and language in found


@pytest.mark.parametrize(
    "text, language",
    [
        ("Good morning, Пётр!", "en"),  # most of it is
        ("Überall Bäume", "de"),
        ("Привет", "ru"),
        ("Zdravo", "sr"),
        ("Здраво", "sr"),
        ("你好，我叫 Peter", "zh"),
        ("今日は", "ja"),
        ("안녕하세요", "ko"),
        ("Xin chào", "vi"),
        ("123 !", "ru"),
    ],
)
def test_other_texts_are_not(text, language):
    assert languages.FORM.fullmatch(language) and writing_systems.remark(text, language) is None
