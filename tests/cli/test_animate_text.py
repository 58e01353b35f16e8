"""`avct animate --text`: words in the place of a recording, without any synthesiser but a toy."""

import importlib.util
import wave

import numpy as np
import PIL.Image
import pytest

from avct_jax.cli import main
from avct_jax.cli.commands import animate
from avct_jax.data.phonemes import symbols
from avct_jax.data.speech import speaker

ROWS = [("SIL", 0.0, 0.12), ("M", 0.12, 0.2), ("AA", 0.2, 0.4)]


class ToySpeaker:
    """Says a ramp for whatever text."""

    said: list[str]

    def speak(self, text):
        self.said.append(text)
        return speaker.SpokenText(np.linspace(-0.5, 0.5, 9600, dtype=np.float32), 24000, ROWS)


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """What is animated in the end, in a folder that has an image."""
    monkeypatch.chdir(tmp_path)
    PIL.Image.new("RGB", (8, 8)).save("a.png")
    calls = []

    def record(image, audio, output, request, *_):
        with wave.open(audio) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            calls.append((output, request, file.getframerate(), samples))
        return 0

    ToySpeaker.said = []
    monkeypatch.setattr(animate, "animate", record)
    monkeypatch.setattr(speaker, "HibariSpeaker", ToySpeaker)
    monkeypatch.setattr(speaker, "check_installed", lambda: None)
    return calls


def test_a_text_is_spoken_and_its_phonemes_are_told(asked):
    assert main.main(["animate", "--image", "a.png", "--text", "Hello, world!", "--seed", "3"]) == 0
    ((output, request, rate, samples),) = asked
    assert ToySpeaker.said == ["Hello, world!"] and output == "a_says_Hello_world.mp4"
    assert rate == 24000 and len(samples) == 9600 and samples[0] == -16384
    assert [symbols.SYMBOLS[i] for i in request.phonemes] == 3 * ["SIL"] + 2 * ["M"] + 5 * ["AA"]
    assert request.seed == 3 and request.transcript is None


def test_a_file_of_text_is_spoken(asked, tmp_path):
    (tmp_path / "words.txt").write_text("One. Two.\n", encoding="utf-16")
    assert main.main(["animate", "--image", "a.png", "--text-file", "words.txt"]) == 0
    assert ToySpeaker.said == ["One. Two.\n"] and asked[0][0] == "a_says_words.mp4"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the following arguments are required: --audio, or --text or --text-file"),
        (["--text", "a", "--audio", "b"], "not allowed with"),
        (["--text", "a", "--text-file", "a.png"], "not allowed with"),
        (["--text", " "], "the text is empty; write what is to be said"),
        (["--text", "?!"], "the text holds no word"),
        (["--text", "Да"], "the text holds no English word ('Да'); write English, or name its language"),
        (["--text", "a", "--transcript", "a"], "--transcript is of a recording, and a text is given"),
        (["--text", "a", "--audio-track", "2"], "--audio-track is of a recording, and a text is given"),
        (["--text-file", "none.txt"], "none.txt"),
        (["--text", "a", "--size", "99"], "size 99 px"),
    ],
)
def test_what_cannot_be_spoken_is_refused_in_one_line_and_before_it_is(words, said, asked, capsys):
    assert main.main(["animate", "--image", "a.png", *words]) == main.REFUSED
    assert said in (shown := capsys.readouterr().err) and shown.count("\n") == 1
    assert not asked and not ToySpeaker.said


def test_without_the_extra_the_remedy_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    PIL.Image.new("RGB", (8, 8)).save("a.png")
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "hibari" else found(name))
    assert main.main(["animate", "--image", "a.png", "--text", "a"]) == main.REFUSED
    shown = capsys.readouterr().err
    assert "run `pip install 'avct-jax[speak]'`" in shown and shown.count("\n") == 1
