"""When parts of a transcript are said, by the demo's sentence whose words are known."""

import json
import pathlib

import numpy as np
import pytest

import avct_jax
from avct_jax import demo
from avct_jax.data.phonemes import recognition, word_alignment
from avct_jax.data.speech import audio_io

ASSETS = pathlib.Path(avct_jax.__file__).parent / "assets"


@pytest.fixture(scope="module")
def wav():
    with demo.sentence() as path:
        return audio_io.read_audio(path)


def test_parts_lie_where_their_words_are_said(wav):
    runs = [row["phones"] for row in json.loads((ASSETS / "sentence.aligned.json").read_text())]
    hello, rest = [row for row in runs if row[0]["ph"] != "SIL"][:2]
    end = max(phone["ed"] for row in runs for phone in row if phone["ph"] != "SIL")
    parts = ["Hello!", (ASSETS / "sentence.txt").read_text().removeprefix("Hello!")]
    found = word_alignment.part_times(wav, parts)
    assert not any(guessed for *_, guessed in found)
    found = [row[1:3] for row in found]
    wanted = [(hello[0]["bg"], hello[-1]["ed"]), (rest[0]["bg"], end)]
    np.testing.assert_allclose(found, np.array(wanted) / 100, atol=0.06)


def test_what_does_not_fit_lies_evenly(wav, monkeypatch):
    monkeypatch.setattr(recognition, "align", lambda *_: None)
    found = word_alignment.part_times(wav, ["One two.", "Three."])
    half = len(wav) / 32000
    assert [row[1:] for row in found] == [
        (0, pytest.approx(half), True),
        (pytest.approx(half), pytest.approx(2 * half), True),
    ]


def test_gaps_are_filled_between_what_is_known():
    spans = [None, (1.0, 2.0), None, None, (4.0, 5.0)]
    assert word_alignment._filled(spans, 6.0) == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    assert word_alignment._filled([(1.0, 2.0), None], 6.0) == [(1, 2), (2, 6)]


def test_words_of_a_long_recording_are_found_piece_by_piece(monkeypatch):
    wav = np.zeros(61 * 16000, np.float32)
    monkeypatch.setattr(recognition, "pieces", lambda _: [(0, 480000), (480000, len(wav))])
    shares = [[(("AA",),)], None]
    monkeypatch.setattr(recognition, "share_words", lambda *_: shares)
    monkeypatch.setattr(recognition, "align", lambda *_: [recognition.symbols.Segment("AA", 1.0, 2.0)])
    words = [(("AA",),), (("B",),)]
    assert word_alignment.word_spans(wav, words) == [(1.025, 2.025), None]
