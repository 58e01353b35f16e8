"""Measures of landmarks, on faces whose answer is known."""

import numpy as np
import pytest

from avct_jax.data.faces import face_detector
from avct_jax.metrics import landmarks

PAIRED = (landmarks.mouth_distance, lambda a, b: landmarks.keypoint_distance(a, b, size=256))


def talking(frames=40, seed=0):
    """A random face, its lips a ring that opens and shuts; outer eye corners 100 apart."""
    points = np.tile(np.random.default_rng(seed).uniform(80, 180, (1, 478, 3)), (frames, 1, 1))
    points[:, face_detector.OUTER_EYE_CORNERS, :2] = [(78, 100), (178, 100)]
    opening = 5 + 4 * np.sin(np.arange(frames) / 3)
    for ring, width in ((landmarks.OUTER_LIPS, 25), (landmarks.INNER_LIPS, 18)):
        angle = np.pi + 2 * np.pi * np.arange(20) / 20
        points[:, ring, 0] = 128 + width * np.cos(angle)
        points[:, ring, 1] = 170 - np.outer(opening, np.sin(angle))
    return points


def test_mouth_distance_is_zero_for_the_same_mouth_moved_and_scaled():
    points = talking()
    moved = 1.7 * points + np.arange(40)[:, None, None]
    assert landmarks.mouth_distance(points, points[:30]) == 0
    assert landmarks.mouth_distance(moved, points) == pytest.approx(0, abs=1e-12)


def test_mouth_distance_is_that_of_the_points_in_units_of_the_face():
    real, made = talking(), talking()
    made[:, landmarks.OUTER_LIPS, 0] += 3
    made[:, landmarks.INNER_LIPS, 0] -= 3  # the centroid stays
    assert landmarks.mouth_distance(made, real) == pytest.approx(0.03)
    assert landmarks.mouth_distance(made.astype(np.float32) / 128 - 1, real) == pytest.approx(0.03, rel=1e-4)


def test_keypoint_distance_is_in_pixels_of_256():
    real = talking()
    moved = real + np.array([3, 4, 9])
    assert landmarks.keypoint_distance(moved, real, size=256) == pytest.approx(5)
    assert landmarks.keypoint_distance(moved / 128 - 1, real / 128 - 1, size=2) == pytest.approx(5)


@pytest.mark.parametrize("measure", PAIRED)
def test_losing_the_face_never_helps(measure):
    real, made = talking(), talking()
    made[:, landmarks.OUTER_LIPS, 1] += 0.3
    lost = made.copy()
    lost[10:15] = np.nan
    assert measure(lost, real) > 5 * measure(made, real)
    assert np.isfinite(measure(np.full_like(made, np.nan), real))


@pytest.mark.parametrize("measure", (*PAIRED, landmarks.jitter_ratio))
def test_frames_without_a_real_face_are_not_asked_for(measure):
    real, made = talking(), talking() * 1.02
    expected = measure(made[:20], real[:20])
    real[20:] = np.nan
    assert measure(made, real) == pytest.approx(expected, rel=0.1)
    assert np.isnan(measure(made, np.full_like(real, np.nan)))
    assert np.isnan(measure(made[:0], real))


def test_jitter_is_zero_in_steady_motion_and_two_alternating_steps_otherwise():
    points = np.tile(talking(1), (30, 1, 1)) + np.arange(30)[:, None, None]
    assert landmarks.jitter(points) == pytest.approx(0, abs=1e-12)
    points[::2, :, 0] += 1  # acceleration of 2 in each frame, the face's scale is 100
    assert landmarks.jitter(points) == pytest.approx(0.02)
    assert landmarks.jitter_ratio(2 * points, points) == pytest.approx(1)


def test_jitter_does_not_fall_where_the_face_is_lost():
    points = talking()
    points[20:, :, 0] += np.where(np.arange(20) % 2, 2, 0)[:, None]
    lost = points.copy()
    lost[25:35] = np.nan
    assert landmarks.jitter(lost) > 0.9 * landmarks.jitter(points)
    assert landmarks.jitter_ratio(lost, points) >= 1
    assert np.isnan(landmarks.jitter(np.full_like(points, np.nan))) and np.isnan(landmarks.jitter(points[:2]))


def test_opening_when_silent_is_of_the_silent_frames_alone():
    opening, silent = np.array([0.0, 0.02, 0.5, np.nan, 0.1]), np.array([True, True, False, False])
    assert landmarks.opening_when_silent(opening, silent) == pytest.approx(0.01)
    assert landmarks.opening_when_silent(opening, np.array([True, True, False, True])) == pytest.approx(
        0.52 / 3
    )
    assert np.isnan(landmarks.opening_when_silent(opening, np.zeros(5, bool)))
    assert np.isnan(landmarks.opening_when_silent(np.full(5, np.nan), np.ones(5, bool)))
