"""Texts as they are spoken: what is taken, exact phonemes, sentence by sentence."""
# ruff: noqa: RUF001 - letters of the phonetic alphabet do look like others

import importlib.metadata
import importlib.util
import logging
import wave

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.phonemes import symbols
from avct_jax.data.speech import speaker

VERSION = "0.2.1"
spoken_here = pytest.mark.skipif(
    importlib.util.find_spec("hibari") is None or importlib.metadata.version("hibari-tts") != VERSION,
    reason=f"hibari-tts {VERSION} is not installed (extra `speak`)",
)
TEXT = "Bob may help you move. Is that so?"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "a text of NoneType is given; write what is to be said"),
        ("", "the text is empty; write what is to be said"),
        (" \n\t", "the text is empty; write what is to be said"),
        ("... — !?", "the text holds no word; write what is to be said, in English"),
        (
            "Привет, мир",
            "the text holds no English word ('Привет,', 'мир'); write English, or name its language",
        ),
        ("日本語", "the text holds no English word ('日本語'); write English, or name its language"),
        (50_001 * "a", "the text has 50001 characters, some 60 minutes of speech; 50000 are the most"),
    ],
)
def test_what_cannot_be_said_is_refused_in_one_line(text, said):
    with pytest.raises(errors.UserError) as caught:
        speaker.checked(text)
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "kept", "notes"),
    [
        ("Hello, world.", "Hello, world.", []),
        ("It costs 42 €, naïve café — Łódź 😀.", "It costs 42 €, naïve café — Łódź 😀.", []),
        ("Say Привет, Bob. ٣", "Say       , Bob.  ", ["left out of the text, not English: 'Привет,', '٣'"]),
        (1000 * "words ", 1000 * "words ", ["the text has 6000 characters, some 7 minutes of speech"]),
    ],
)
def test_what_is_left_out_or_long_is_told_once(text, kept, notes, caplog):
    with caplog.at_level(logging.WARNING, "avct_jax"):
        assert speaker.checked(text) == kept
    assert [record.getMessage() for record in caplog.records] == notes


def test_without_the_extra_the_remedy_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.UserError, match=r"run `pip install 'avct-jax\[speak\]'`, or give a recording"):
        speaker.HibariSpeaker()


def test_letters_become_phonemes_that_follow_each_other():
    letters = ["", "h", "ə", "l", "ˈ", "O", " ", "m", "ˈ", "I", "ː", ",", "ʤ", "T", "̃", "."]
    found = speaker.align(letters, np.full(len(letters), 0.025), 1.0)
    assert found == [
        ("SIL", 1.0, 1.025),
        ("HH", 1.025, 1.05),
        ("AH", 1.05, 1.075),
        ("L", 1.075, 1.1),
        ("OW", 1.1, 1.15),
        ("NSN", 1.15, 1.175),
        ("M", 1.175, 1.2),
        ("AY", 1.2, 1.275),
        ("SIL", 1.275, 1.3),
        ("JH", 1.3, 1.325),
        ("T", 1.325, 1.375),
        ("SIL", 1.375, 1.4),
    ]


def test_phonemes_are_moved_within_their_piece():
    rows = [("SIL", 1.0, 1.2), ("M", 1.2, 1.3), ("SIL", 1.3, 1.5)]
    assert speaker.earlier(rows, 0.05, 1.0, 1.5) == [
        ("SIL", 1.0, 1.15),
        ("M", 1.15, 1.25),
        ("SIL", 1.25, 1.5),
    ]


def test_labels_are_the_phonemes_of_frames():
    rows = [("SIL", 0.0, 0.1), ("M", 0.1, 0.2), ("NSN", 0.2, 0.24)]
    text = speaker.SpokenText(np.zeros(24000 // 4 + 1, np.float32), 24000, rows)
    names = [symbols.SYMBOLS[i] for i in text.labels]
    assert names == ["SIL", "SIL", "SIL", "M", "M", "NSN", "SIL"]
    assert text._replace(phonemes=None).labels is None and text.seconds == pytest.approx(0.25, abs=1e-4)


@pytest.mark.parametrize("pcm", [np.array([0, 0.5, -1], np.float32), np.array([0, 16384, -32768], np.int16)])
def test_a_wav_file_holds_what_was_spoken(pcm, tmp_path):
    speaker.write_wav(tmp_path / "a.wav", speaker.SpokenText(pcm, 24000))
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getnchannels(), file.getframerate()) == (1, 24000)
        assert np.frombuffer(file.readframes(3), "<i2").tolist() == [0, 16384, -32768]


def test_any_speaker_will_do():
    class Beep:
        def speak(self, text):
            return speaker.SpokenText(np.zeros(160, np.int16), 16000)

    assert isinstance(Beep(), speaker.Speaker) and not isinstance(object(), speaker.Speaker)


@pytest.fixture(scope="module")
def voice():
    return speaker.HibariSpeaker()


@spoken_here
def test_phonemes_are_those_of_the_words_and_last_as_long_as_the_audio(voice):
    said = voice.speak(TEXT)
    names = [name for name, _, _ in said.phonemes if name not in ("SIL", "NSN")]
    words = "B AA B M EY HH EH L P Y UW M UW V IH Z DH AE T S OW"
    assert " ".join(names) == words
    times = np.array([row[1:] for row in said.phonemes])
    np.testing.assert_allclose(times[1:, 0], times[:-1, 1], atol=0.2 + 1e-6)
    assert (np.diff(times, axis=1) > 0).all() and times[-1, 1] == pytest.approx(said.seconds, abs=0.001)
    assert said.sample_rate == 24000 and 0.05 < np.abs(said.pcm).max() <= 1


@spoken_here
def test_phonemes_are_where_they_are_heard(voice):
    said = voice.speak("Sheep asleep. A sheep asleep.")
    hiss = lambda begin, end: np.abs(np.diff(said.pcm[int(begin * 24000) : int(end * 24000)], 2)).mean()
    loud: dict[str, list[float]] = {name: [] for name in ("SH", "S", "IY", "SIL")}
    for name, begin, end in said.phonemes:
        loud.get(name, []).append(hiss(begin, end))
    assert min(loud["SH"] + loud["S"]) > 2 * np.median(loud["IY"])
    assert max(loud["SIL"]) < 0.7 * min(loud["SH"])


@spoken_here
def test_sentences_come_one_by_one_and_join_to_the_whole(voice):
    whole, pieces = voice.speak(TEXT), list(voice.speak_sentences(TEXT))
    assert len(pieces) == 2
    np.testing.assert_array_equal(np.concatenate([piece.pcm for piece in pieces]), whole.pcm)
    assert pieces[0].phonemes + pieces[1].phonemes == whole.phonemes
    assert not pieces[1].pcm[:4800].any() and pieces[1].pcm[4800:].any(), "0.2 s of silence between"
    assert pieces[1].phonemes[0][1] == pytest.approx(pieces[0].seconds + 0.2, abs=1e-4)
    np.testing.assert_array_equal(speaker.HibariSpeaker().speak(TEXT).pcm, whole.pcm)


@spoken_here
def test_a_fast_voice_is_shorter_and_its_phonemes_too(voice):
    usual, fast = voice.speak(TEXT), speaker.HibariSpeaker(speed=1.5).speak(TEXT)
    assert fast.seconds < 0.85 * usual.seconds
    assert fast.phonemes[-1][2] == pytest.approx(fast.seconds, abs=0.001)
    with pytest.raises(errors.UserError, match=r"the speed is 3; it must be from 0\.5 to 2"):
        speaker.HibariSpeaker(speed=3.0)


@spoken_here
def test_a_network_without_the_node_speaks_without_phonemes(voice, monkeypatch, caplog):
    monkeypatch.setattr(speaker, "DURATIONS", "/Nothing_output_0")
    with caplog.at_level(logging.WARNING, "avct_jax"):
        other = speaker.HibariSpeaker()
    said = other.speak(TEXT)
    assert said.phonemes is None and said.labels is None and len(caplog.records) == 1
    np.testing.assert_array_equal(said.pcm, voice.speak(TEXT).pcm)


@spoken_here
@pytest.mark.parametrize(
    "text", ["42", "$9.99 — “really?”", "a\0b\x1b[1m c", "x" * 600, "Straße, smørrebrød!", "😀 yes"]
)
def test_odd_texts_are_spoken(voice, text):
    said = voice.speak(text)
    assert 0.3 < said.seconds < 60 and np.abs(said.pcm).max() > 0.02
    assert said.phonemes[-1][2] == pytest.approx(said.seconds, abs=0.001)


@spoken_here
def test_a_text_is_refused_before_the_first_sentence(voice):
    with pytest.raises(errors.UserError, match="the text is empty"):
        voice.speak_sentences("")


def test_a_long_sentence_is_shown_in_the_parts_in_which_it_is_said():
    assert speaker.shared("one two three four", [10, 30]) == ["one", "two three four"]
    assert speaker.shared(" one two ", [5]) == ["one two"] and speaker.shared("?", []) == []
