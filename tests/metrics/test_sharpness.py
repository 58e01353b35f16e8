"""Detail of faces, in images of noise whose detail is known."""

import cv2
import numpy as np
import pytest

from avct_jax import face_topology
from avct_jax.metrics import landmarks, sharpness


def noise(side=256, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)


def face_at(x=128, y=128, radius=60):
    """Landmarks whose oval is a circle, the mouth a small ellipse inside, eyes 80 px apart."""
    points = np.tile(np.float32([x, y, 0]), (478, 1))
    for ring, wide, high in ((face_topology.FACE_OVAL, radius, radius), (landmarks.OUTER_LIPS, 20, 8)):
        angle = 2 * np.pi * np.arange(len(ring)) / len(ring)
        points[list(ring), 0] = x + wide * np.cos(angle)
        points[list(ring), 1] = y + high * np.sin(angle)
    points[[33, 263], 0] = x - 40, x + 40
    return points


def test_detail_is_of_the_regions_alone():
    grey, points = np.full((256, 256), 90, np.uint8), face_at()
    assert sharpness.detail(grey, points).tolist() == [0, 0]
    grey[:40] = noise()[:40]  # above the face
    grey[70:80, 70:80] = noise()[70:80, 70:80]  # in a corner of its box
    assert sharpness.detail(grey, points).tolist() == [0, 0]
    grey[80:100, 100:150] = noise()[80:100, 100:150]  # inside the face, not about the mouth
    found = sharpness.detail(grey, points)
    assert found[0] > 10 and found[1] == 0


def test_detail_is_the_spread_of_the_laplacian():
    grey = noise()
    found = sharpness.detail(grey, face_at())
    expected = cv2.Laplacian(grey, cv2.CV_32F).std()
    np.testing.assert_allclose(found, expected, rtol=0.05)
    np.testing.assert_allclose(sharpness.detail(grey // 2, face_at()), expected / 2, rtol=0.05)
    assert (sharpness.detail(cv2.GaussianBlur(grey, (0, 0), 1.5), face_at()) < 0.1 * found).all()


def test_detail_of_lost_faces_and_of_faces_outside_is_unknown():
    assert np.isnan(sharpness.detail(noise(), np.full((478, 3), np.nan, np.float32))).all()
    assert np.isnan(sharpness.detail(noise(), face_at(x=-300))).all()
    assert np.isfinite(sharpness.detail(noise(), face_at(x=10))).all()


def test_share_is_of_the_frames_that_show_a_real_face():
    real = np.array([[10.0, 20], [10, 20], [np.nan, np.nan], [10, 20]])
    made = np.array([[5.0, 5], [5, 5], [99, 99], [np.nan, np.nan]])
    assert sharpness.share(made, real).tolist() == pytest.approx([1 / 3, 1 / 6])  # the lost frame has none
    assert sharpness.share(made[:2], real).tolist() == [0.5, 0.25]
    assert np.isnan(sharpness.share(made, np.full_like(real, np.nan))).all()


def test_share_of_image_is_of_the_portrait_or_of_the_first_frame():
    made = np.array([[np.nan, np.nan], [8.0, 4], [4, 2]])
    unknown = np.full(2, np.nan)
    assert sharpness.share_of_image(made, np.array([8.0, 8])).tolist() == [0.5, 0.25]
    assert sharpness.share_of_image(made, unknown).tolist() == [0.5, 0.5]
    assert np.isnan(sharpness.share_of_image(made[:1], unknown)).all()
    assert sharpness.share_of_image(made[:1], np.array([8.0, 8])).tolist() == [0, 0]


def test_portrait_is_measured_at_the_videos_scale():
    small = cv2.GaussianBlur(noise(), (0, 0), 1)
    image = cv2.cvtColor(
        cv2.resize(small, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC), cv2.COLOR_GRAY2RGB
    )
    found = sharpness.at_scale(image, 3 * face_at(), 80)
    np.testing.assert_allclose(found, sharpness.detail(small, face_at()), rtol=0.1)
    assert (found > 2 * sharpness.at_scale(image, 3 * face_at(), 240)).all()
