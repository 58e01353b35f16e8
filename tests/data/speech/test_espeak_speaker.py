"""A voice of espeak-ng: what it says when, by a stand-in and by the true program."""

import io
import shutil
import wave

import numpy as np
import pytest

from avct_jax import demo, errors
from avct_jax.data.phonemes import languages, pronunciation, recognition, symbols
from avct_jax.data.speech import audio_io, espeak_speaker, speaker, voices

NEEDS = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs the program espeak-ng")
TEXT = "Bitte, Mama. Ein Papagei! 12 Bäume?"


@pytest.fixture
def said(monkeypatch):
    """The demo's sentence, whatever is to be said."""
    with demo.sentence() as path:
        samples = (audio_io.read_audio(path) * 2**15).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 22050, 0, "NONE", ""))
        out.writeframes(samples.tobytes())
    monkeypatch.setattr(languages, "espeak", lambda *_, language: file.getvalue())
    monkeypatch.setattr(
        languages, "pronounce", lambda *_: [pronunciation.Word("a", (("AA",),))]
    )  # which the sentence is not
    return samples


def test_sentences_follow_each_other_with_pauses_between(said):
    pieces = list(espeak_speaker.EspeakSpeaker("de").speak_sentences(TEXT))
    assert [piece.sentences[0].text for piece in pieces] == ["Bitte, Mama.", "Ein Papagei!", "12 Bäume?"]
    lead = round(espeak_speaker.PAUSE * 22050)
    np.testing.assert_array_equal(pieces[1].pcm, np.pad(said, (lead, 0)))
    whole = speaker.joined(pieces)
    assert len(whole.pcm) == 3 * len(said) + 2 * lead
    assert whole.sentences[2].start == pytest.approx(2 * (len(said) + lead) / 22050)
    assert whole.sentences[2].end == pytest.approx(whole.seconds)


@pytest.mark.usefixtures("said")
def test_phonemes_are_heard_where_the_words_do_not_fit(monkeypatch):
    monkeypatch.setattr(recognition, "align", lambda *_: None)
    heard = [
        symbols.Segment("SIL", 0.0, 0.5),
        symbols.Segment("M", 0.5, 1.0),
        symbols.Segment("SIL", 1.0, 2.0),
    ]
    monkeypatch.setattr(recognition, "recognise", lambda wav: heard)
    found = espeak_speaker.EspeakSpeaker("de").speak("Bitte")
    assert [row[0] for row in found.phonemes] == ["SIL", "M", "SIL"]
    assert found.phonemes[1][1:] == (0.5, 1.0)


@pytest.mark.usefixtures("said")
@pytest.mark.parametrize("text", ["", "...", "?!"])
def test_texts_without_words_are_refused(text):
    with pytest.raises(errors.UserError, match="write what is to be said"):
        espeak_speaker.EspeakSpeaker("de").speak(text)


@pytest.mark.usefixtures("said")
def test_speeds_out_of_range_are_refused():
    with pytest.raises(errors.UserError, match=r"must be from 0\.5 to 2"):
        espeak_speaker.EspeakSpeaker("de", speed=3.0)


def test_a_program_that_writes_nothing_is_told(monkeypatch):
    monkeypatch.setattr(languages, "espeak", lambda *_, language: b"")
    with pytest.raises(errors.UserError, match="wrote no sound"):
        espeak_speaker.EspeakSpeaker("de").speak("Bitte")


@NEEDS
def test_the_true_voice_tells_its_phonemes():
    found = voices.of("de").speak("Bitte, Mama.")
    spoken = [phone for phone, _, _ in found.phonemes if phone != "SIL"]
    assert spoken == ["B", "IH", "T", "AH", "M", "AA", "M", "AA"]
    loud = np.abs(found.pcm.astype(float))
    for phone, start, end in found.phonemes:
        begin, after = (round(time * found.sample_rate) for time in (start, end))
        if phone in ("AA", "IH"):
            assert loud[begin:after].mean() > loud.mean()


@NEEDS
def test_languages_that_it_lacks_are_refused():
    with pytest.raises(errors.UserError, match="nobody here knows the language zz"):
        voices.checked("a", "zz")
