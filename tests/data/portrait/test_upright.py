"""Faces that lie or stand on their heads are turned upright; faces that the edge cuts are known."""

import numpy as np
import pytest
import skimage.data

from avct_jax.animator import portrait as portraits
from avct_jax.data.faces import face_detector
from avct_jax.data.portrait import upright

HEAD = skimage.data.astronaut()[:256, 96:352]


@pytest.fixture(scope="module")
def landmarker():
    return face_detector.FaceLandmarker()


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_image_is_turned_until_its_face_is_upright(landmarker, degrees):
    found = upright.find(np.ascontiguousarray(np.rot90(HEAD, degrees // 90)), landmarker)
    assert found.turned == degrees and abs(upright.roll(found.points)) < 10
    np.testing.assert_array_equal(found.pixels, HEAD)


def test_a_image_that_is_to_stay_is_not_turned(landmarker):
    lying = np.ascontiguousarray(np.rot90(HEAD))
    found = upright.find(lying, landmarker, turn=False)
    assert found.turned == 0 and found.pixels is lying and abs(upright.roll(found.points) + 90) < 10


def test_a_image_without_a_face_has_none_whichever_way_up(landmarker):
    assert upright.find(skimage.data.coffee()[:200, :200], landmarker) is None


@pytest.mark.parametrize("degrees", [90, 270])
def test_a_lying_face_that_is_cut_is_turned(landmarker, degrees):
    lying = np.ascontiguousarray(np.rot90(HEAD[:162], degrees // 90))  # below the mouth
    found = upright.find(lying, landmarker)
    assert found.turned == degrees and upright.beyond_edge(found.points, found.pixels.shape) > upright.OVER


def test_a_face_cut_below_the_eyes_does_not_stand_on_its_head(landmarker):
    assert upright.find(HEAD[:120].copy(), landmarker) is None


@pytest.mark.parametrize("cut, said", [((0, 0), 0), ((115, 0), 1), ((0, 100), 1)])
def test_a_face_cut_by_the_edge_is_told(landmarker, cut, said):
    notes = []
    portraits.read_portrait(HEAD[cut[1] :, cut[0] :].copy(), landmarker, notes, least=10)
    assert sum("cut off by the image's edge" in note for note in notes) == said, notes
