"""Blinks at given times, and at a rate that changes."""

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.direction import blink_times


@pytest.mark.parametrize("text", ["0.5\n2\n", "[2, 0.5]", "# seconds\n2.0\n\n0.5  # the first\n"])
def test_times_are_read_of_lines_and_json(tmp_path, text):
    (tmp_path / "blinks.txt").write_text(text)
    assert blink_times.read(tmp_path / "blinks.txt") == (0.5, 2.0) == blink_times.read([2, 0.5])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.5\nsoon", "line 2: 'soon' is no time; give seconds from 0"),
        ("x" * 500, "line 1: 'xxxxxxxxxxxx...xxxxxxxxxxxxx' is no time; give seconds from 0"),
        ("[1, -2]", "entry 2: -2 is no time; give seconds from 0"),
        ("[1, 2", "is no JSON; give a list of times in seconds"),
        ('{"a": 1}', "holds no list; give a list of times in seconds"),
    ],
)
def test_what_is_no_time_is_refused_by_its_place(tmp_path, text, said):
    (tmp_path / "b.txt").write_text(text)
    with pytest.raises(errors.UserError) as caught:
        blink_times.read(tmp_path / "b.txt")
    assert said in str(caught.value) and "b.txt" in str(caught.value) and "\n" not in str(caught.value)


def test_eyes_are_shut_in_the_frame_of_the_time():
    found = blink_times.shut((0.0, 1.0), 50)
    assert found[0] == found[25] == 1 and (found[8:24] == 0).all() and found.sum() > 4


def test_rate_changes_how_often_eyes_blink():
    rate = np.repeat([0.0, 1.0, 3.0], 1500)
    shut = blink_times.at_rate(rate, np.zeros(4500, bool), 1)
    begins = np.flatnonzero((shut[1:] > 0) & (shut[:-1] == 0))
    counts = np.histogram(begins, [0, 1500, 3000, 4500])[0]
    assert counts[0] == 0 and 15 < counts[1] < 35 and 2 < counts[2] / counts[1] < 4
