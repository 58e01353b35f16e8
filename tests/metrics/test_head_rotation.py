"""Heads that turn by known angles."""

import numpy as np
import pytest
from scipy.spatial import transform

from avct_jax.data.faces import face_basis
from avct_jax.metrics import head_rotation


def turning(angles):
    """The mean head turned by angles (t, 3) in degrees, as large as in an image of 256 px."""
    turns = transform.Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    canonical = face_basis.embedded().canonical.astype(np.float64)
    return 70 * np.einsum("tij,nj->tni", turns, canonical) + np.array([128, 120, 0])


def swing(frames=300, degrees=(4, 3, 2), period=25):
    phase = 2 * np.pi * np.arange(frames) / period
    return np.stack([d * np.sin(phase + i) for i, d in enumerate(degrees)], 1)


def test_angles_are_those_that_the_head_was_turned_by():
    angles = swing()
    np.testing.assert_allclose(head_rotation.angles(turning(angles)), angles, atol=1e-5)


def test_turns_are_spreads_by_axis_whatever_place_and_scale():
    points = turning(swing())
    expected = 0.935 / np.sqrt(2) * np.array([4, 3, 2])  # five frames' mean keeps 0.935 of a swing of 25
    for seen in (points, 0.01 * points - 3):
        np.testing.assert_allclose(head_rotation.head_turns(seen), expected, rtol=0.005)


def test_slow_drift_counts_within_three_seconds_alone():
    drift = np.outer(np.arange(750) / 750, [0, 30, 0])
    found = head_rotation.head_turns(turning(drift))
    assert found.yaw == pytest.approx(3 / np.sqrt(12), rel=0.02) and found.pitch < 0.01


def test_one_wild_stretch_is_not_a_videos_motion():
    angles = swing(degrees=(1, 1, 1))
    angles[:75] *= 20
    assert head_rotation.head_turns(turning(angles)).pitch < 1


def test_losing_the_face_is_no_motion():
    points = turning(swing())
    lost = points.copy()
    lost[np.arange(300) % 25 < 15] = np.nan
    assert all(
        a < b for a, b in zip(head_rotation.head_turns(lost), head_rotation.head_turns(points), strict=True)
    )
    assert head_rotation.head_turns(np.full_like(points, np.nan)) == (0, 0, 0)
    assert np.isnan(head_rotation.head_turns(points[:0])).all()


def test_short_videos_are_one_window():
    assert head_rotation.head_turns(turning(swing(40))).pitch > 1
    assert head_rotation.head_turns(turning(swing(3))).pitch < 0.01 and head_rotation.head_turns(
        turning(swing(1))
    ) == (0, 0, 0)
