"""What every animator shares: subtitles' times."""

import numpy as np
import pytest

from avct_jax.animator import base
from avct_jax.data.phonemes import word_alignment


@pytest.mark.parametrize("place", ["burn", "a.srt"])
def test_guessed_times_of_subtitles_are_noted(place, monkeypatch):
    rows = [("Hello.", 0.1, 1.0, False), ("Good day.", 1.0, 2.0, True)]
    monkeypatch.setattr(word_alignment, "part_times", lambda *_: rows)
    request, notes = base.Request(transcript="Hello. Good day.", subtitles=place), []
    found = base.cues_of(np.zeros(32000, np.float32), request, notes)
    assert [cue.guessed for cue in found] == [False, True]
    assert notes == ["times of 1 of 2 subtitles are guessed: the sound does not fit their text"]
    known = request._replace(captions=[["Hello.", 0, 1.0]]).checked().checked()
    assert [cue.guessed for cue in base.cues_of(None, known, notes)] == [False] and len(notes) == 1
