"""Words' times become phonemes' times."""

import pytest

from avct_jax.data.phonemes import hints, word_times


def test_phonemes_share_a_word_evenly():
    rows = word_times.WordTimes().add("boat,", 1.0, 1.3)
    assert [row.symbol for row in rows] == ["B", "OW", "T"]
    assert [row.start for row in rows] == pytest.approx([1.0, 1.1, 1.2])
    assert [row.end for row in rows] == pytest.approx([1.1, 1.2, 1.3])
    assert len(hints.read(rows)) == 3


def test_word_ends_where_the_next_begins_but_not_in_a_pause():
    words = word_times.WordTimes()
    assert words.add("Call", 0.0) == []
    call = words.add("me", 0.3)
    assert [(row.symbol, round(row.end, 3)) for row in call] == [("K", 0.1), ("AO", 0.2), ("L", 0.3)]
    me = words.add("when", 5.0)
    assert me[-1].end == pytest.approx(0.3 + 2 * word_times.LONGEST)
    assert words.finish()[-1].end == pytest.approx(5.0 + 3 * word_times.LONGEST) and words.finish() == []


@pytest.mark.parametrize("text", ["a whole sentence", "...", "", "мир"])
def test_what_is_no_word_tells_nothing(text):
    words = word_times.WordTimes()
    assert words.add(text, 0.0, 1.0) == words.add(text, 0.0) == words.finish() == []


def test_times_out_of_order_tell_nothing():
    words = word_times.WordTimes()
    assert words.add("call", 1.0, 0.5) == [] and words.add("me", 1.0) == []
    assert words.add("when", 0.5, 0.8)[0].symbol == "W"
