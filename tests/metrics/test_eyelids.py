"""Blinks, in openings whose answer is known."""

import numpy as np
import pytest

from avct_jax.metrics import eyelids

OPEN, SHUT = 0.3, 0.02


def course(*blinks, frames=100):
    """Open eyes that are shut from one frame up to another."""
    opening = np.full(frames, OPEN)
    for begin, end in blinks:
        opening[begin:end] = SHUT
    return opening


def test_eye_opening_is_the_distance_of_the_lids_over_the_eye():
    points = np.random.default_rng(0).uniform(80, 180, (2, 478, 3))
    points[:, (33, 133, 362, 263), :2] = [(0, 0), (30, 0), (60, 0), (90, 0)]
    points[:, (159, 145), :2] = [(15, -5), (15, 4)]
    points[:, (386, 374), :2] = [(75, -3), (75, 0)]
    points[1] = np.nan
    np.testing.assert_allclose(eyelids.eye_opening(points), [0.2, np.nan])


def test_blinks_are_short_and_begin_and_end_within_the_video():
    opening = course((0, 2), (20, 24), (60, 63), (98, 100))
    assert eyelids.blinks(opening).tolist() == [4, 3]
    assert eyelids.blinks_per_minute(opening) == pytest.approx(2 / 4 * 60)
    assert eyelids.blink_length(opening) == pytest.approx(140)
    assert eyelids.blinks(course((20, 24), (60, 80))).tolist() == [4]  # asleep


def test_lids_that_sink_by_a_third_do_not_blink():
    opening = course()
    opening[30:34] = 0.65 * OPEN
    assert eyelids.blinks_per_minute(opening) == 0
    opening[30:34] = 0.55 * OPEN
    assert eyelids.blinks_per_minute(opening) == 15


def test_usual_opening_is_that_of_the_time_around():
    opening = course((40, 43), (140, 143), frames=200)
    opening[100:] *= 0.4  # looks down, or laughs, from here on
    assert eyelids.blinks(opening).tolist() == [3, 3]


def test_losing_the_face_is_no_blink_and_takes_none_away_but_its_own():
    opening = course((20, 24), (60, 63))
    opening[18:30] = np.nan
    assert eyelids.blinks(opening).tolist() == [3]
    lost = course()
    lost[40:44] = np.nan
    assert eyelids.blinks_per_minute(lost) == 0 == eyelids.blinks_per_minute(np.full(50, np.nan))


def test_videos_without_blinks_have_no_length_of_them():
    assert np.isnan(eyelids.blink_length(course())) and np.isnan(eyelids.blinks_per_minute(np.zeros(0)))
    assert eyelids.blinks_per_minute(course((1, 2), frames=3)) == pytest.approx(60 * 25 / 3)
