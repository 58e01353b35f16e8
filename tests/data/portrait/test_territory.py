"""What of a picture is a head's own."""

import numpy as np
import pytest

from avct_jax.data.faces import crop
from avct_jax.data.portrait import portrait_layers, territory
from tests import portraits

SHAPE = (600, 900, 3)


def face(x, y, size):
    """Landmarks in a box around a place."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-size / 2, size / 2, (478, 3)) + np.array([x, y, 0])
    points[:2, :2] = (x - size / 2, y - size / 2), (x + size / 2, y + size / 2)
    return points


def test_own_place_fades_towards_borders_behind_which_the_picture_goes_on():
    weight = territory.own(crop.Square(0, 200, 200), face(100, 310, 110), [], SHAPE)
    middle = territory.FINE // 2
    assert weight[middle, middle] == 1 and weight[0].max() == 0 and weight[-1].max() == 0
    assert weight[middle, -1] == 0 and weight[middle, 0] == 1, "the picture's own edge is no border"
    assert np.abs(np.diff(weight[middle])).max() < 0.2


def test_two_heads_share_what_lies_between_them():
    faces = [face(300, 300, 120), face(420, 320, 100)]
    squares = [crop.Square(180, 170, 240), crop.Square(320, 210, 200)]
    whole = np.zeros((2, *SHAPE[:2]))
    for i, square in enumerate(squares):
        weight = territory.own(square, faces[i], [faces[1 - i]], SHAPE)
        y, x = square.top, square.left
        whole[i, y : y + square.size, x : x + square.size] = territory.enlarge(weight, square.size)
    assert whole.sum(0).max() <= 1.01, "nothing is drawn by both"
    assert whole[0, 300, 300] == 1 and whole[1, 300, 300] == 0
    assert whole[1, 320, 420] == 1 and whole[0, 320, 420] == 0


@pytest.fixture(scope="module")
def layers():
    pixels, points = portraits.astronaut(256)
    canonical = portrait_layers.face_basis.embedded().canonical
    return portrait_layers.make(pixels, points, np.asarray(canonical))


def test_what_is_not_a_heads_own_is_held_where_somebody_is_near(layers):
    held = territory.hold(layers, np.zeros((territory.FINE, territory.FINE), np.float32))
    around = layers.vertices[-len(layers.sway) :, :2]
    below, above = (
        (around[:, 1] > 1) & (np.abs(around[:, 0]) < 0.7),
        (around[:, 1] < -1) & (np.abs(around[:, 0]) > 0.7),
    )
    assert layers.sway[below].max() > 0.5, "her shoulders slide along the square's lower border"
    assert not held.sway[below].any() and not held.shares[below].any()
    np.testing.assert_array_equal(held.shares[above], layers.shares[above])  # behind her there is nobody


def test_a_heads_own_place_is_not_held(layers):
    held = territory.hold(layers, np.ones((territory.FINE, territory.FINE), np.float32))
    np.testing.assert_array_equal(held.shares, layers.shares)
    np.testing.assert_array_equal(held.sway, layers.sway)
