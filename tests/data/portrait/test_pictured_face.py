"""Faces of a picture: numbered from left to right, drawn, picked, and found again where they lie."""

import cv2
import numpy as np
import pytest
import skimage.data

from avct_jax import errors
from avct_jax.data.faces import face_detector
from avct_jax.data.portrait import pictured_face, upright
from tests import portraits

FOUND = [
    pictured_face.PicturedFace(1, (10.0, 20.0, 40.0, 60.0), 0.9),
    pictured_face.PicturedFace(2, (30.0, 20.0, 90.0, 80.0), 0.8, True),
]


@pytest.fixture(scope="module")
def landmarker():
    return face_detector.FaceLandmarker()


@pytest.fixture(scope="module")
def two(landmarker):
    """A picture, and its faces."""
    pixels = portraits.two_faces()
    return pixels, pictured_face.find_all(pixels, landmarker)


def test_faces_are_numbered_from_the_left_and_the_largest_is_known(two):
    left, right = two[1]
    assert (left.number, right.number) == (1, 2) and (left.largest, right.largest) == (False, True)
    assert left.box[2] < 180 < right.box[0] and 1.2 < right.size / left.size < 1.7
    assert min(left.score, right.score) > 0.7
    assert str(left).startswith(f"face 1: x {round(left.box[0])} to ") and str(right).endswith(
        ", the largest"
    )


def test_a_picked_face_is_the_one_that_is_found(two, landmarker):
    pixels, faces = two
    for face in faces:
        found = upright.find(pixels, landmarker, picked=face)
        nose = found.points[face_detector.NOSE_TIP, :2]
        assert np.hypot(*(nose - face.centre)) < 0.25 * face.size and found.faces == 2
    largest = upright.find(pixels, landmarker).points
    np.testing.assert_array_equal(upright.find(pixels, landmarker, picked=faces[1]).points, largest)


def test_faces_of_a_lying_picture_are_boxed_as_it_lies_and_found_upright(two, landmarker):
    pixels, faces = two
    lying = pictured_face.turn(pixels, 90)
    found = pictured_face.find_all(lying, landmarker)
    assert len(found) == 2
    for face in faces:
        expected = pictured_face.turn_box(face.box, pixels.shape, 90)
        near = min(found, key=lambda one: np.abs(np.subtract(one.box, expected)).max())
        np.testing.assert_allclose(near.box, expected, atol=12)
        again = upright.find(lying, landmarker, picked=near)
        assert again.turned == 270
        nose = again.points[face_detector.NOSE_TIP, :2]
        assert np.hypot(*(nose - face.centre)) < 0.25 * face.size, "the same face, in the picture as it stood"


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_places_turn_with_the_picture(degrees):
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[4:8, 5:15] = 255
    turned = pictured_face.turn(pixels, degrees)
    box = pictured_face.turn_box((5.0, 4.0, 15.0, 8.0), pixels.shape, degrees)
    left, top, right, bottom = map(int, box)
    assert turned[top:bottom, left:right].all() and turned.sum() == pixels.sum()
    back = pictured_face.turn_box(box, turned.shape, -degrees)
    assert back == (5, 4, 15, 8)


@pytest.mark.parametrize(
    ("wanted", "number"), [(1, 1), (2, 2), ((12.0, 50.0), 1), ((85.0, 70.0), 2), ((34.0, 40.0), 1)]
)
def test_a_number_or_a_place_picks(wanted, number):
    assert pictured_face.pick(FOUND, wanted, "'a.jpg'").number == number


@pytest.mark.parametrize(
    ("found", "wanted", "said"),
    [
        (FOUND, 3, "face 3 is not in 'a.jpg', which has 2 faces; `--list-faces` shows them"),
        (FOUND[:1], 2, "face 2 is not in 'a.jpg', which has one face; `--list-faces` shows them"),
        (FOUND, (5.0, 5.5), "no face is at 5,5.5 in 'a.jpg'; `--list-faces` shows where they are"),
        ([], 1, "no face was found in 'a.jpg'; use a portrait of a whole face, seen from the front"),
    ],
)
def test_a_face_that_is_not_there_is_refused_in_one_line(found, wanted, said):
    with pytest.raises(errors.UserError) as caught:
        pictured_face.pick(found, wanted, "'a.jpg'")
    assert str(caught.value) == said


def test_numbers_are_drawn_at_the_faces_and_nowhere_else():
    drawn = pictured_face.draw(np.full((100, 120, 3), 128, np.uint8), FOUND[:1])
    changed = (drawn != 128).any(-1)
    assert changed[20, 11:40].all() and changed[20:60, 10].all() and not changed[:, 45:].any()
    other = pictured_face.draw(np.full((100, 120, 3), 128, np.uint8), [FOUND[0]._replace(number=7)])
    assert (drawn[25:50, 13:38] != other[25:50, 13:38]).any()


def test_a_picture_without_a_face_has_none(landmarker):
    assert pictured_face.find_all(cv2.resize(skimage.data.coffee(), (200, 200)), landmarker) == []
