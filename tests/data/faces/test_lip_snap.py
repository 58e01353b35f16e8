"""Lips meet where the image shows it, and stay where it does not."""

import cv2
import numpy as np
import pytest
import skimage.data

from avct_jax import face_topology as topology
from avct_jax.data.faces import crop, face_detector, lip_snap
from avct_jax.data.portrait import portrait_layers

SIZE = 256


@pytest.fixture(scope="module")
def shut():
    """The astronaut's landmarks with a shut mouth, [-1, 1]."""
    pixels = skimage.data.astronaut()
    found = face_detector.FaceLandmarker().landmarks(pixels)
    square = crop.face_square(found.points, pixels.shape)
    points = crop.to_crop(found.points, square, SIZE)
    points[:, 2] = found.points[:, 2] * SIZE / square.size
    points = (points - [0.5, 0.5, 0]) / (SIZE - 1) * 2 - [1, 1, 0]
    return points + portrait_layers.closing(points)


def painted(points, below, *, dark=60):
    """A face of one colour whose lips meet in a line `below` eye distances under the landmarks' own."""
    unit = portrait_layers.eye_distance(points)
    rows = (topology.UPPER_INNER_LIP, topology.LOWER_INNER_LIP)
    middle = sum(points[list(row), :2] for row in rows) / 2
    line = middle + np.array([0, below * unit])
    line[[0, -1]] = middle[[0, -1]]
    pixels = portrait_layers.to_pixels(line, SIZE)
    image = np.full((SIZE, SIZE, 3), 170, np.uint8)
    image[:, :8] = 20  # an image has some contrast
    cv2.polylines(image, [np.round(pixels * 16).astype(np.int32)], False, (dark,) * 3, 2, cv2.LINE_AA, 4)
    return image


def moved(before, after):
    """How far the inner lips went down on average, eye distances; the corners' neighbours left out."""
    inner = [*topology.UPPER_INNER_LIP[3:-3], *topology.LOWER_INNER_LIP[3:-3]]
    return (after - before)[inner, 1].mean() / portrait_layers.eye_distance(before)


@pytest.mark.parametrize("below", [0.025, -0.02])
def test_lips_follow_the_line(shut, below):
    after = lip_snap.snap(painted(shut, below), shut)
    np.testing.assert_allclose(moved(shut, after), below, atol=0.006)
    outer = [*topology.UPPER_OUTER_LIP, *topology.LOWER_OUTER_LIP, *topology.RIGID]
    np.testing.assert_array_equal(after[outer], shut[outer])
    body = (after - shut)[[12, 15], 1] / portrait_layers.eye_distance(shut)
    np.testing.assert_allclose(body, below * lip_snap.BODY_SHARE, atol=0.006)


def test_lips_stay_where_they_are_right(shut):
    after = lip_snap.snap(painted(shut, 0), shut)
    assert abs(moved(shut, after)) < 0.004


def test_faint_lines_are_refused(shut):
    rng = np.random.default_rng(0)
    image = painted(shut, 0.025, dark=168)
    np.testing.assert_array_equal(lip_snap.snap(image, shut), shut)
    noise = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(lip_snap.snap(noise, shut), shut)


def test_open_mouths_have_no_line(shut):
    image, opened = painted(shut, 0.025), shut.copy()
    opened[list(topology.LOWER_INNER_LIP[1:-1]), 1] += 0.06 * portrait_layers.eye_distance(shut)
    np.testing.assert_array_equal(lip_snap.snap(image, opened), opened)
