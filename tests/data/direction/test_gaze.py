"""Eyes that look at a place: the head's turning is made up for, and lids go along."""

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.direction import gaze
from avct_jax.data.faces import face_basis

EYES = gaze.OwnEyes(0.0, np.array([0.1, 0.1]))
AHEAD = np.zeros(3)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("camera", (0, 0)), ("10,-5", (10, -5)), ((3, 4), (3, 4)), (np.array([1, 2]), (1, 2))],
)
def test_gaze_is_read(given, wanted):
    assert gaze.read(given) == wanted


@pytest.mark.parametrize(
    "given", ["up", "1,2,3", (99, 0), (0, 99), None, 5, ("a", 0), (True, 0), (float("nan"), 0)]
)
def test_other_gaze_is_refused(given):
    with pytest.raises(errors.UserError, match=r"gaze is .*; give x,y in degrees, x -25 to 25 .* or camera"):
        gaze.read(given)


def test_angles_are_ways_of_an_eyeball():
    found = gaze.look(np.array([[10.0, 0.0], [0.0, 10.0]]), np.zeros((2, 3)), EYES, AHEAD)
    way = 12 / 90 * np.sin(np.radians(10))
    np.testing.assert_allclose(found.gaze, [[way, 0], [0, -way]], atol=1e-6)
    assert (found.lids[0] == 0).all() and (found.lids[1] < -0.1).all()


def test_eyes_keep_to_the_camera_while_the_head_turns():
    """Yaw to the right: eyes go to the left in the head; a nod down: up."""
    turned = np.array([[0.0, -0.1, 0.0], [0.1, 0.0, 0.0]])
    found = gaze.look(np.zeros((2, 2)), turned, EYES, AHEAD)
    np.testing.assert_allclose(found.gaze[0], [-12 / 90 * np.sin(0.1), 0], atol=1e-6)
    np.testing.assert_allclose(found.gaze[1], [0, -12 / 90 * np.sin(0.1)], atol=1e-6)


def test_portrait_that_looks_aside_is_brought_to_the_camera():
    canonical = face_basis.embedded().canonical
    points = canonical.copy()
    points[468:] += [0.04, 0.0, 0.0]
    eyes = gaze.own(points, canonical, AHEAD)
    assert np.degrees(eyes.aside) == pytest.approx(np.degrees(np.arcsin(0.04 * 90 / 12)) - 4, abs=0.2)
    found = gaze.look(np.zeros((1, 2)), np.zeros((1, 3)), eyes, AHEAD)
    assert -0.04 < found.gaze[0, 0] < -0.025
    assert gaze.own(canonical, canonical, AHEAD).aside == 0
