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
