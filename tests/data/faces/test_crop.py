"""The square around a head."""

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.faces import crop


def head(x, y, extent):
    """Points whose box is `extent` high, three quarters as wide, around x, y."""
    across, down = 0.375 * extent, 0.5 * extent
    return np.array([[x - across, y, 0], [x + across, y, 0], [x, y - down, 0], [x, y + down, 0]], np.float32)


def test_square_has_the_measured_share_and_place():
    square = crop.face_square(head(500, 400, 119), (1000, 1000, 3))
    assert square.size == 200  # 119 / 0.595
    assert abs((500 - square.left) / 200 - 0.5) < 0.01 and abs((400 - square.top) / 200 - 0.573) < 0.01


@pytest.mark.parametrize("x, y", [(70, 70), (930, 930), (500, 60)])
def test_square_is_moved_into_the_image(x, y):
    left, top, size = crop.face_square(head(x, y, 119), (1000, 1000, 3))
    assert size == 200 and left >= 0 and top >= 0 and left + size <= 1000 and top + size <= 1000


def test_square_grows_over_the_edge_only_for_a_tight_image():
    loose = crop.face_square(head(100, 150, 140), (300, 210, 3))
    assert loose.size == 210 and loose.left == 0  # a little smaller than 235 rather than padded
    tight = crop.face_square(head(75, 100, 190), (200, 150, 3))
    assert tight.size > 200 and tight.left < 0 and tight.left + tight.size > 150


@pytest.mark.parametrize("side", [128, 256, 1024])
def test_square_leaves_a_head_crop_alone(side):
    points = head(0.52 * side, 0.55 * side, 0.65 * side)
    assert crop.face_square(points, (side, side, 3)) == crop.Square(0, 0, side)


def test_square_ignores_unknown_points():
    points = head(500, 400, 119)
    with_gaps = np.concatenate([points, np.full((3, 3), np.nan, np.float32)])
    assert crop.face_square(with_gaps, (900, 900)) == crop.face_square(points, (900, 900))


def test_clip_square_is_the_median_and_ignores_lost_frames():
    track = np.stack([head(500, 400, 119)] * 5 + [head(0, 0, 400), np.full((4, 3), np.nan, np.float32)])
    assert crop.clip_square(track, (1000, 1000)) == crop.face_square(track[0], (1000, 1000))
    with pytest.raises(errors.UserError, match="no face"):
        crop.clip_square(track[-1:], (1000, 1000))


def test_crop_repeats_the_edges():
    image = np.random.default_rng(0).integers(0, 256, (20, 10, 3), dtype=np.uint8)
    found = crop.crop(image, crop.Square(-5, 0, 20), 20)
    np.testing.assert_array_equal(found[:, 5:15], image)
    np.testing.assert_array_equal(found[:, :5], np.repeat(image[:, :1], 5, axis=1))


def test_crop_shrinks_without_aliasing():
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(crop.crop(stripes, crop.Square(0, 0, 512), 128)) <= 1


def test_crop_and_points_agree():
    image = np.zeros((300, 400, 3), np.uint8)
    image[196:204, 296:304] = 255  # centre at 300, 200
    square = crop.Square(250, 150, 128)
    y, x = np.argwhere(crop.crop(image, square)[:, :, 0] > 128).mean(0) + 0.5
    np.testing.assert_allclose(crop.to_crop(np.array([[300.0, 200.0]]), square)[0], [x, y], atol=0.3)
    assert crop.to_crop(np.array([[300.0, 200.0, 7.0]]), square)[0, 2] == 14


def test_clip_square_takes_points_that_are_never_known():
    points = np.stack([np.concatenate([head(500, 400, 119), np.full((2, 3), np.nan, np.float32)])] * 3)
    assert crop.clip_square(points, (1000, 1000)) == crop.face_square(points[0], (1000, 1000))
