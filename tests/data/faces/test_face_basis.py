"""Pose and size taken out of landmarks, and the components of speech."""

import numpy as np
import pytest
from scipy.spatial import transform

from avct_jax.data.faces import face_basis


@pytest.fixture(scope="module")
def basis():
    return face_basis.embedded()


def speaking(basis, frames=20, seed=0):
    """A mean face that speaks with known coefficients."""
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(0, 1, (frames, len(basis.scales))).astype(np.float32)
    moved = np.einsum("tk,knd->tnd", coefficients * basis.scales, basis.components)
    return coefficients, basis.canonical + moved


def test_align_takes_turn_size_and_place_away(basis):
    _, points = speaking(basis)
    turn = transform.Rotation.from_rotvec([0.2, -0.3, 0.1]).as_matrix()
    moved = 37 * points @ turn.T + [100, 80, -5]
    aligned = face_basis.align(moved.astype(np.float32), basis.canonical)
    np.testing.assert_allclose(aligned.points, points, atol=1e-4)
    np.testing.assert_allclose(aligned.scale, 1 / 37, rtol=1e-4)
    np.testing.assert_allclose(aligned.rotation[0], turn.T, atol=1e-4)


def test_coefficients_give_the_motion_back(basis):
    coefficients, points = speaking(basis)
    found = face_basis.coefficients(points.astype(np.float32), basis.canonical, basis)
    np.testing.assert_allclose(found, coefficients, atol=2e-3)


def test_components_are_orthonormal_and_leave_the_pose_alone(basis):
    flat = basis.components.reshape(len(basis.scales), -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(len(flat)), atol=1e-4)
    assert np.abs(basis.components[:, list(face_basis.topology.RIGID)]).max() < 1e-6
    assert np.abs(basis.components[:, list(face_basis.topology.LEFT_UPPER_LID)]).max() < 1e-6


def test_canonical_face_is_upright_with_eyes_one_apart(basis):
    left, right = basis.canonical[33], basis.canonical[263]
    np.testing.assert_allclose(np.linalg.norm(right - left), 1, atol=1e-4)
    np.testing.assert_allclose(right[1:], left[1:], atol=1e-4)
    assert basis.canonical[face_basis.topology.CHIN, 1] > basis.canonical[1, 1] > left[1]


def test_rest_is_the_shut_mouth(basis):
    shut = np.repeat(basis.canonical[None], 10, 0)
    wide = shut.copy()
    wide[:, 14, 1] += 0.2
    found = face_basis.rest(np.concatenate([wide, shut, wide]))
    np.testing.assert_allclose(found, basis.canonical, atol=1e-6)


def test_fit_finds_the_directions_that_were_put_in(basis):
    rng = np.random.default_rng(1)
    known = basis.components[:2]
    moves = np.einsum("tk,knd->tnd", rng.normal(0, [0.3, 0.1], (500, 2)), known)
    found = face_basis.fit([moves], basis.canonical, components=2)
    share = face_basis.moved_by_speech(basis.canonical)[:, None]
    expected = (known * share).reshape(2, -1)
    overlap = np.abs((found.components.reshape(2, -1) * expected).sum(1)) / np.linalg.norm(expected, axis=1)
    assert overlap.min() > 0.97


def test_blink_share_is_one_for_shut_lids(basis):
    points = np.repeat(basis.canonical[None], 20, 0)
    upper, lower = face_basis.topology.APERTURES[1]
    points[8, list(upper)] = points[8, list(lower)]
    shares = face_basis.blink_share(points)
    assert shares[8, 0] > 0.95 and shares[8, 1] < 0.05 and shares[0].max() < 0.05
