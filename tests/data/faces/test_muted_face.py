"""A filmed face's own speech, and the face without it."""

import numpy as np
import pytest

from avct_jax.data.faces import face_basis, muted_face

FRAMES = 60


def filmed(spoken, *, smile=0.0):
    """A face that says something while its head goes from left to right; px."""
    basis = face_basis.embedded()
    moved = np.einsum("tk,knd->tnd", spoken * basis.scales, basis.components)
    points = basis.canonical + moved
    points[:, [61, 291], 1] -= smile
    time = np.linspace(0, 2 * np.pi, FRAMES)
    turn = np.stack(
        [[[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]] for a in 0.2 * np.sin(time)]
    )
    return (
        80 * np.einsum("tij,tnj->tni", turn, points)
        + np.stack([200 + 20 * np.sin(time), 150 + 0 * time, 0 * time], -1)[:, None]
    )


def speech(seed=0):
    rng = np.random.default_rng(seed)
    spoken = np.cumsum(rng.normal(0, 0.3, (FRAMES, 16)), 0)
    spoken -= spoken.mean(0)
    spoken[:8] = 0  # it begins at rest
    return spoken


@pytest.mark.parametrize("seed", [0, 1])
def test_without_its_speech_a_face_is_at_rest_in_its_own_pose(seed):
    found = muted_face.mute(filmed(speech(seed)), face_basis.embedded())
    still = muted_face.mute(filmed(np.zeros((FRAMES, 16))), face_basis.embedded())
    muted, silent = (face.points + face.closed for face in (found, still))
    speaking = np.abs(found.points - still.points)[8:, 14].max()
    assert speaking > 3, "px that the lower lip went"
    lips = list(muted_face.LIPS)
    assert np.abs(muted - silent)[:, lips, :2].max() < 0.2 * speaking
    assert np.abs(muted - silent)[:, [152, 17, 200], :2].max() < 0.35 * speaking


def test_eyes_and_brows_stay_the_films():
    found = muted_face.mute(filmed(speech()), face_basis.embedded())
    upper = [33, 133, 159, 145, 263, 362, 70, 300, 10, 168]
    np.testing.assert_allclose(found.closed[:, upper], 0, atol=0.01)


def test_trembling_of_the_tracker_is_shared_by_both_places():
    """The picture is moved by the difference of two places, and hardly trembles with them."""
    given = filmed(np.zeros((FRAMES, 16)))
    trembling = given + np.random.default_rng(0).normal(0, 0.5, given.shape)
    found = muted_face.mute(trembling, face_basis.embedded())
    assert found.closed[:, [205, 425, 152], :2].std(0).max() < 0.25


def test_a_mouth_that_is_never_shut_is_brought_together():
    points = face_basis.embedded().canonical.copy()
    points[list(muted_face.topology.LOWER_INNER_LIP[1:-1]), 1] += 0.1
    gap = lambda face: np.linalg.norm(face[14] - face[13])
    assert gap(points) > 0.1 and gap(muted_face.shut(points)) == pytest.approx(muted_face.REST_GAP, abs=0.01)
