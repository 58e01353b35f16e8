"""Pictures in which heads are to speak: their size, their faces, their squares."""

import numpy as np
import PIL.Image
import pytest
import skimage.data

from avct_jax import errors
from avct_jax.animator import portrait
from avct_jax.animator.framing import whole_picture
from tests import portraits


@pytest.fixture(scope="module")
def landmarker():
    return portrait.landmarker("mediapipe")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((513, 301), (512, 300)),
        ((3000, 4000), (2494, 3324)),
        ((2160, 3840), (2160, 3840)),
        ((100, 9001), (44, 4096)),
    ],
)
def test_pictures_are_brought_to_what_players_show(given, wanted):
    found = whole_picture.fitted(np.zeros((*given, 3), np.uint8))
    assert found.shape[:2] == wanted


def test_a_picture_that_fits_keeps_its_own_bits():
    pixels = skimage.data.astronaut()[:301, :401]
    np.testing.assert_array_equal(whole_picture.fitted(pixels), pixels[:300, :400])


@pytest.mark.parametrize(("size", "side"), [(100, 202), (140, 256), (160, 320), (330, 666)])
def test_squares_are_of_sides_that_are_drawn_pixel_by_pixel(size, side):
    points = np.zeros((478, 3))
    points[0], points[1] = (900, 900, 0), (900 + 0.8 * size, 900 + size, 0)
    points[2:] = (900 + 0.4 * size, 900 + size / 2, 0)
    found = whole_picture.square_of(points, (2000, 2000, 3))
    assert found.size == pytest.approx(side, abs=1)
    drawn = whole_picture.drawn_size(found)
    assert drawn == (side if 256 <= side <= 512 else 256 if side < 256 else 512)
    low, high = np.array([found.left, found.top]), np.array([found.left, found.top]) + found.size
    assert (low < points[:, :2].min(0)).all() and (high > points[:, :2].max(0)).all()


def test_all_faces_are_found_from_left_to_right(landmarker):
    notes = []
    seen = whole_picture.read(portraits.two_faces(), landmarker, notes, face="all")
    assert [head.number for head in seen.heads] == [1, 2] and not seen.others and not notes
    left, right = (head.points[:, 0].mean() for head in seen.heads)
    assert left < 150 < 250 < right


def test_one_face_speaks_and_the_others_are_known(landmarker):
    notes = []
    seen = whole_picture.read(portraits.two_faces(), landmarker, notes, face=1)
    (head,), (other,) = seen.heads, seen.others
    assert head.number == 1 and head.points[:, 0].mean() < 150 < 250 < other[:, 0].mean()
    assert "2 faces" in notes[0] and "number 1" in notes[0]
    largest = whole_picture.read(portraits.two_faces(), landmarker, [])
    assert largest.heads[0].number == 2


def test_a_picture_that_lies_is_turned_whole(landmarker):
    notes = []
    upright = portraits.two_faces()
    seen = whole_picture.read(np.rot90(upright).copy(), landmarker, notes, face="all")
    np.testing.assert_array_equal(seen.pixels, upright)
    assert len(seen.heads) == 2 and "turned by 90 degrees" in notes[0]


def test_orientation_of_cameras_and_transparency_are_minded(landmarker, tmp_path):
    image = PIL.Image.fromarray(skimage.data.astronaut()[:300, :400])
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    image.transpose(PIL.Image.Transpose.ROTATE_90).save(tmp_path / "a.png", exif=exif)
    notes = []
    seen = whole_picture.read(tmp_path / "a.png", landmarker, notes)
    np.testing.assert_array_equal(seen.pixels, np.asarray(image))
    assert not notes
    clear = image.convert("RGBA")
    clear.putalpha(255)
    np.testing.assert_array_equal(whole_picture.read(clear, landmarker, []).pixels, np.asarray(image))


def test_places_are_those_of_the_given_image(landmarker):
    large = np.asarray(PIL.Image.fromarray(portraits.two_faces()).resize((436 * 12, 256 * 12)))
    notes = []
    seen = whole_picture.read(large, landmarker, notes, face=(90 * 12, 110 * 12))
    assert seen.heads[0].number == 1 and "5232x3072 px: the video is" in notes[0]
    with pytest.raises(errors.UserError, match="face 3 is not in the image"):
        whole_picture.read(portraits.two_faces(), landmarker, [], face=3)
