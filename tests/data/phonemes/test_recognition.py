"""Phones of a recording: silence, odd input, words with times, and agreement with reference labels."""

import itertools
import json
import pathlib
import sys
from typing import NamedTuple

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.phonemes import decoders, recognition, symbols
from avct_jax.data.speech import audio_io

SYNTHETIC = pathlib.Path(__file__).parents[2] / "voices" / "flite.json"  # 7.1 s
SENTENCE = (
    "Please call me when the boat leaves the harbor. Five big fish jumped over my uncle's wooden table, and "
    "everybody laughed."
)
SPEECH = pathlib.Path(__file__).parents[4] / "shared" / "data" / "speech"
REAL = SPEECH / "id02039_bV0jGP-CtN4_00308.txt_000.json"  # 5.8 s
needs_real = pytest.mark.skipif(not REAL.exists(), reason=f"needs a real voice with labels, {REAL.name}")


def buzz(seconds: float) -> np.ndarray:
    """A vowel-like buzz that comes and goes four times a second."""
    time = np.arange(round(seconds * 16000)) / 16000
    tone = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 20))
    return (0.2 * tone * np.maximum(0, np.sin(2 * np.pi * 2 * time))).astype(np.float32)


class Voice(NamedTuple):
    """A recording, what it says, the phoneme of each frame, and the least agreement by method."""

    wav: np.ndarray
    transcript: str
    labels: np.ndarray
    least: dict[str, float]

    def agreement(self, segments: list[symbols.Segment]) -> float:
        found = symbols.labels_from_segments(segments, len(self.labels))
        return float((found == self.labels).mean())


@pytest.fixture(params=["synthetic", pytest.param("real", marks=needs_real)])
def voice(request) -> Voice:
    if request.param == "synthetic":
        # Flite's own times lie half a frame before those of voices that people have labelled.
        least = {"transcript": 0.6, "pieces": 0.6, "hama": 0.5, "pocketsphinx": 0.4}
        path, said = SYNTHETIC.with_suffix(".flac"), SENTENCE
    else:
        least = {"transcript": 0.8, "pieces": 0.7, "hama": 0.75, "pocketsphinx": 0.4}
        words = [word["word"] for word in json.loads(REAL.read_text())]
        path, said = REAL.with_suffix(".wav"), " ".join(word for word in words if word != "sil")
    labels = symbols.read_phoneme_json(path.with_suffix(".json"))
    return Voice(audio_io.read_audio(path), said, labels, least)


def covers(segments: list[symbols.Segment], seconds: float) -> bool:
    joined = all(a.end_s == b.start_s for a, b in itertools.pairwise(segments))
    return joined and segments[0].start_s == 0 and abs(segments[-1].end_s - seconds) < 1e-9


@pytest.mark.parametrize("method", ["pocketsphinx", "auto"])
@pytest.mark.parametrize("samples", [640, 4000, 32000])
def test_recognise_hears_silence_in_silence(method, samples):
    wav = np.zeros(samples, np.float32)
    assert {s.phone for s in recognition.recognise(wav, method=method)} == {"SIL"}
    assert {s.phone for s in recognition.recognise(wav, transcript="hello you")} == {"SIL"}


def test_silence_that_is_known_is_not_sought_again():
    found = recognition.recognise(buzz(1.0), silent=np.ones(25, bool))
    assert found == [symbols.Segment("SIL", 0.0, 1.0)]


@pytest.mark.parametrize("seconds", [0.04, 0.3, 2.0])
def test_recognise_covers_the_audio_without_gaps(seconds):
    wav = buzz(seconds)
    assert covers(recognition.recognise(wav, method="pocketsphinx"), seconds)


def test_recognise_falls_back_when_the_transcript_is_far_too_long(caplog):
    segments = recognition.recognise(buzz(1.0), method="pocketsphinx", transcript="one hundred words " * 40)
    assert covers(segments, 1.0)
    assert "could not be aligned" in caplog.text


def test_recognise_without_pocketsphinx_says_what_to_do(monkeypatch):
    for decoder in (decoders.aligner, decoders.allphone):
        decoder.cache_clear()
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    lines = {
        "transcript": "a transcript needs .* or leave --transcript out$",
        "method": "or give them by --ph",
    }
    for how in ({"transcript": "hello"}, {"method": "pocketsphinx"}):
        with pytest.raises(errors.UserError, match=lines[next(iter(how))]):
            recognition.recognise(buzz(1.0), **how)


def test_recognise_refuses_a_transcript_without_words():
    with pytest.raises(errors.UserError, match="no English word"):
        recognition.recognise(buzz(1.0), transcript="?!")


def test_pieces_cut_in_the_quietest_place():
    wav = np.random.default_rng(0).normal(0, 0.1, 40 * 16000).astype(np.float32)
    wav[12 * 16000 : int(12.4 * 16000)] = 0
    ranges = recognition.pieces(wav)
    assert [a for a, _ in ranges[1:]] == [b for _, b in ranges[:-1]]
    assert ranges[0][0] == 0 and ranges[-1][1] == len(wav)
    assert 12 * 16000 < ranges[0][1] < 12.4 * 16000
    assert max(b - a for a, b in ranges) <= recognition.PIECE_SECONDS * 16000


def test_split_script_finds_where_the_first_piece_ends():
    text = [
        "DH",
        "AH",
        "K",
        "AE",
        "T",
        "S",
        "AE",
        "T",
        "AA",
        "N",
        "DH",
        "AH",
        "M",
        "AE",
        "T",
    ]  # the cat sat on ..
    heard = ["AH", "K", "AE", "T", "S", "EH", "T", "AO", "N", "DH", "AH"]
    middle, distance = recognition._split_script(heard, 7, text)
    assert middle == 8
    assert distance == pytest.approx(2 / 8)  # DH missed, EH for AE


def test_segments_from_words_keep_the_words_times():
    words = [("sil", 0.0, 0.5), ("bin", 0.5, 0.9), ("blue", 0.9, 1.3), ("sil", 1.3, 2.0)]
    segments = recognition.segments_from_words(words, buzz(2.0))
    assert [s.phone for s in segments] == ["SIL", "B", "IH", "N", "B", "L", "UW", "SIL"]
    assert covers(segments, 2.0)
    assert [segments[i].start_s for i in (1, 4, 7)] == [0.5, 0.9, 1.3]


def test_recognise_agrees_with_reference_phones(voice):
    aligned = recognition.recognise(voice.wav, transcript=voice.transcript)
    assert voice.agreement(aligned) > voice.least["transcript"]
    alone = recognition.recognise(voice.wav, method="pocketsphinx")
    assert voice.agreement(alone) > voice.least["pocketsphinx"]


def test_recognise_with_hama_agrees_better(voice):
    pytest.importorskip("hama", reason="needs hama")
    heard = recognition.recognise(voice.wav, method="hama")
    assert voice.agreement(heard) > voice.least["hama"]


def test_long_transcripts_are_shared_out_to_pieces(voice, monkeypatch):
    monkeypatch.setattr(recognition, "WHOLE_SECONDS", 1.0)
    monkeypatch.setattr(recognition, "PIECE_SECONDS", 3.0)
    aligned = recognition.recognise(voice.wav, transcript=voice.transcript)
    assert voice.agreement(aligned) > voice.least["pieces"]
