"""Correlation of mouth openings."""

import numpy as np
import pytest

from avct_jax.metrics import mouth_opening


def test_opening_correlation_is_one_for_the_same_course_at_another_scale():
    x = np.random.default_rng(0).uniform(0, 0.05, 50)
    assert mouth_opening.opening_correlation(0.5 * x + 0.01, x) == pytest.approx(1)
    assert mouth_opening.opening_correlation(-x, x[:40]) == pytest.approx(-1)


def test_opening_correlation_is_zero_for_a_still_face():
    x = np.random.default_rng(0).uniform(0, 0.05, 50)
    assert mouth_opening.opening_correlation(np.full(50, 0.02), x) == 0.0


def test_opening_correlation_does_not_reward_a_lost_face():
    x = np.linspace(0, 1, 50)
    lost = np.where(np.arange(50) < 25, np.nan, x)
    assert 0 < mouth_opening.opening_correlation(lost, x) < 0.9
    with pytest.raises(ValueError, match="no frame shows a face"):
        mouth_opening.opening_correlation(np.full(50, np.nan), x)


def test_best_opening_correlation_takes_out_a_lag_of_five_frames_at_most():
    x = np.random.default_rng(0).uniform(0, 0.05, 60)
    for lag in (-5, -1, 0, 3):
        moved = x[5 + lag : 55 + lag]
        assert mouth_opening.best_opening_correlation(moved, x[5:55]) == pytest.approx(1)
    assert mouth_opening.best_opening_correlation(x[:50], x[7:57]) < 0.6
    assert mouth_opening.best_opening_correlation(x[:50], x[1:51]) > mouth_opening.opening_correlation(
        x[:50], x[1:51]
    )


def test_best_opening_correlation_is_that_of_short_videos_and_lost_faces_too():
    assert mouth_opening.best_opening_correlation(np.arange(3.0), np.arange(4.0)) == pytest.approx(1)
    lost = np.r_[np.linspace(0, 1, 4), np.full(6, np.nan)]
    assert mouth_opening.best_opening_correlation(lost, np.linspace(0, 1, 10)) < 0.9
    assert mouth_opening.best_opening_correlation(np.full(9, 0.1), np.linspace(0, 1, 9)) == 0
    with pytest.raises(ValueError, match="common frames"):
        mouth_opening.best_opening_correlation(np.zeros(2), np.zeros(9))
