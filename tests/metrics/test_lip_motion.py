"""Opening, rounding and closure of lips whose answer is known."""

import numpy as np
import pytest

from avct_jax.data.faces import face_detector
from avct_jax.data.phonemes import symbols
from avct_jax.metrics import lip_motion

B, AA, M = (symbols.INDEX[phone] for phone in ("B", "AA", "M"))


def lips(gap, width):
    """Faces with outer eye corners 100 px apart, the lips' gap and width in px."""
    points = np.tile(np.random.default_rng(0).uniform(80, 180, (1, 478, 3)), (len(gap), 1, 1))
    points[:, face_detector.OUTER_EYE_CORNERS, :2] = [(78, 100), (178, 100)]
    points[:, face_detector.UPPER_INNER_LIP, :2] = 128, 160
    points[:, face_detector.LOWER_INNER_LIP, 0] = 128
    points[:, face_detector.LOWER_INNER_LIP, 1] = 160 + np.asarray(gap)
    points[:, face_detector.OUTER_MOUTH_CORNERS, 1] = 162
    points[:, face_detector.OUTER_MOUTH_CORNERS[0], 0] = 128 - np.asarray(width) / 2
    points[:, face_detector.OUTER_MOUTH_CORNERS[1], 0] = 128 + np.asarray(width) / 2
    return points


def test_gap_and_width_are_in_eye_distances_whatever_the_scale():
    points = lips([0, 4, 12], [50, 40, 45])
    for scaled in (points, 3 * points + 7, points.astype(np.float32) / 128 - 1):
        np.testing.assert_allclose(lip_motion.lip_gap(scaled), [0, 0.04, 0.12], atol=1e-6)
        np.testing.assert_allclose(lip_motion.mouth_width(scaled), [0.5, 0.4, 0.45], atol=1e-6)


def test_spread_does_not_grow_where_the_face_is_lost():
    course = np.array([0.0, 0.1, 0.0, 0.1])
    assert lip_motion.spread(course) == pytest.approx(0.05)
    lost = np.where([True, True, False, False], course, np.nan)
    assert lip_motion.spread(lost) == pytest.approx(0.05 / np.sqrt(2))
    assert lip_motion.spread(np.full(4, np.nan)) == 0 and np.isnan(lip_motion.spread(np.zeros(0)))


def test_open_share_counts_frames_above_a_25th_of_the_face():
    assert lip_motion.open_share(np.array([0.039, 0.041, 0.2, np.nan])) == 0.5
    assert lip_motion.open_share(np.full(3, np.nan)) == 0


def test_closure_asks_each_bilabial_within_a_frame_around():
    gap = np.full(12, 0.1)
    gap[[4, 9]] = 0.02
    labels = np.full(12, AA)
    labels[2:4], labels[5], labels[7] = B, M, B  # shut just after, just before, and two frames away
    assert lip_motion.bilabial_runs(labels) == [(2, 4), (5, 6), (7, 8)]
    assert lip_motion.closure(gap, labels) == pytest.approx(2 / 3)
    gap[6] = 0.0249
    assert lip_motion.closure(gap, labels) == 1


def test_closure_tells_neighbouring_bilabials_apart():
    labels = np.array([AA, B, B, M, M, AA])
    assert lip_motion.bilabial_runs(labels) == [(1, 3), (3, 5)]
    assert lip_motion.bilabial_runs(np.array([M])) == [(0, 1)] and not lip_motion.bilabial_runs(labels[:0])


def test_closure_is_not_reached_by_losing_the_face_and_unknown_without_bilabials():
    labels = np.full(6, B)
    assert lip_motion.closure(np.full(6, np.nan), labels) == 0
    assert lip_motion.closure(np.zeros(6), labels[:3]) == 1
    assert np.isnan(lip_motion.closure(np.zeros(6), np.full(6, AA)))
    assert np.isnan(lip_motion.closure(np.zeros(6), np.zeros(0, int)))
