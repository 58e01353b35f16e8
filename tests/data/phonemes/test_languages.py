"""Words of other languages by stand-ins of g2p2 and espeak-ng, and by the true ones where they are."""
# ruff: noqa: RUF001 - letters of the phonetic alphabet do look like others

import importlib.util
import lzma
import shutil
import sys
import types

import pytest

from avct_jax import errors
from avct_jax.data.phonemes import languages, pronunciation

SPOKEN = {"guten": "ɡuːtən", "tag": "taːk", "zwölf": "t͡svœlf"}


KEPT = (languages._model, languages._model_file, languages._espeak_knows)


@pytest.fixture(autouse=True)
def forget():
    """What is installed differs from test to test."""
    for cached in KEPT:
        cached.cache_clear()
    yield
    for cached in KEPT:
        cached.cache_clear()


@pytest.fixture
def nobody(monkeypatch):
    """Neither is installed."""
    monkeypatch.setattr(languages.shutil, "which", lambda _: None)
    monkeypatch.setattr(languages, "_model_file", lambda _: None)


@pytest.fixture
def german(monkeypatch, tmp_path):
    """g2p2 with a model of German."""

    class Model:
        @staticmethod
        def from_bytes(data):
            assert data == b"the model"
            return Model()

        def phonemize_many(self, words):
            return [SPOKEN.get(word, "") for word in words]

    stand_in = types.ModuleType("g2p2")
    stand_in.Model, stand_in.expand_numbers = Model, lambda text, code: text.replace("12", "Zwölf")
    monkeypatch.setitem(sys.modules, "g2p2", stand_in)
    file = tmp_path / "de.g2p.xz"
    file.write_bytes(lzma.compress(b"the model"))
    monkeypatch.setattr(languages, "_model_file", lambda code: file if code.startswith("de") else None)


@pytest.fixture
def program(monkeypatch, tmp_path):
    """A program called espeak-ng that answers with a line; its path is where it is looked for."""

    def make(script):
        path = tmp_path / "espeak-ng"
        path.write_text(f'#!/bin/sh\ncat > {tmp_path}/heard\necho "$@" > {tmp_path}/options\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setattr(languages.shutil, "which", lambda _: str(path))
        return tmp_path

    monkeypatch.setattr(languages, "_model_file", lambda _: None)
    return make


@pytest.mark.parametrize("given", [None, 3, "", "German", "d", "de_", "de;rm", "en-", "../de"])
def test_what_is_no_code_is_refused(given):
    with pytest.raises(errors.UserError, match="give its code, such as en, de or pt-br"):
        languages.check(given)


@pytest.mark.usefixtures("nobody")
def test_who_is_missing_is_told():
    assert languages.check("EN") == "en" and languages.check("en_US") == "en-us"
    with pytest.raises(errors.UserError, match=r"language pt-br; run `pip install 'g2p2\[pt,numbers\]'`, or"):
        languages.check("pt-BR")


def test_english_is_said_by_its_dictionary():
    assert languages.pronounce("Hello, 2 worlds!", "en-gb") == pronunciation.pronounce("Hello, 2 worlds!")


@pytest.mark.usefixtures("german")
def test_g2p2_says_words_and_numbers(caplog):
    assert languages.check("de-AT") == "de-at"
    words = languages.pronounce("Guten Tag, 12 Äpfel!", "de")
    assert [(word.text, " ".join(word.variants[0])) for word in words] == [
        ("guten", "G UW T AH N"),
        ("tag", "T AA K"),
        ("zwölf", "T S V ER L F"),
    ]
    assert caplog.messages == ["left out of the transcript, how they are said is not known: 'äpfel'"]


def test_espeak_says_words(program):
    folder = program("echo ' ɡˈuːtən t(en)ˈaː(de)k'; echo 't_svˈœlf'")
    words = languages.pronounce("Guten Tag. 12!", "de")
    assert [word.text for word in words] == ["Guten", "Tag.", "12!"]
    assert [" ".join(word.variants[0]) for word in words] == ["G UW T AH N", "T AA K", "T S V ER L F"]
    assert (folder / "heard").read_text() == "Guten Tag. 12!"
    assert (folder / "options").read_text() == "-b 1 -v de -q --ipa --stdin\n"


def test_words_that_espeak_joins_are_nameless(program):
    program("echo 'ɛtil'")
    assert [word.text for word in languages.pronounce("est il", "fr")] == [""]


def test_failures_of_espeak_are_one_line(program, monkeypatch):
    program("echo 'Error: The specified voice does not exist.' >&2; exit 1")
    with pytest.raises(errors.UserError, match=r"cannot speak the text: Error: The specified voice does not"):
        languages.espeak("a", language="xx")
    with pytest.raises(errors.UserError, match="nobody here knows the language xx"):
        languages.check("xx")
    program("sleep 2")
    monkeypatch.setattr(languages, "SECONDS", 0.2)
    with pytest.raises(errors.UserError, match=r"cannot speak the text: .* timed out"):
        languages.espeak("a", language="de")


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs the program espeak-ng")
@pytest.mark.parametrize(
    "code, text, first",
    [("de", "Bitte", "B IH T AH"), ("fr", "Bonjour", "B AO ZH UW R"), ("es", "Mamá", "M AA M AA")],
)
def test_the_true_espeak(code, text, first, monkeypatch):
    monkeypatch.setattr(languages, "_model_file", lambda _: None)
    assert [" ".join(word.variants[0]) for word in languages.pronounce(text, code)] == [first]


@pytest.mark.skipif(
    importlib.util.find_spec("g2p2_group_germanic") is None, reason="needs pip install 'g2p2[de,numbers]'"
)
def test_the_true_g2p2():
    words = languages.pronounce("Bitte 12", "de")
    assert [" ".join(word.variants[0]) for word in words] == ["B IH T AH", "T S V ER L F"]
