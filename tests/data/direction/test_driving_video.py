"""A video's head motion: as far as its head turns, filled in where it has none, back and forth at its end."""

import cv2
import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.direction import driving_video
from avct_jax.data.media import video_io
from tests import portraits

SIZE = 256
ROLLS = 12 * np.sin(np.arange(30) / 29 * np.pi)  # degrees


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A head that leans to the right and back, with two frames that show none."""
    pixels, _ = portraits.astronaut(SIZE)
    path = tmp_path_factory.mktemp("film") / "head.mp4"
    frames = [
        cv2.warpAffine(
            pixels,
            cv2.getRotationMatrix2D((128, 128), -roll, 0.9),
            (SIZE, SIZE),
            borderMode=cv2.BORDER_REPLICATE,
        )
        for roll in ROLLS
    ]
    frames[14] = frames[15] = np.full_like(pixels, 128)
    with video_io.VideoWriter(path, size=SIZE) as writer:
        writer.write(np.stack(frames))
    return path


def test_head_turns_as_the_videos(film):
    notes = []
    poses = driving_video.read(film, 30, notes)
    turned = np.degrees(poses[:, 2] - poses[0, 2])
    np.testing.assert_allclose(turned, ROLLS, atol=1.5)
    assert len(notes) == 1 and "no face in 2 of 30 frames" in notes[0] and "interpolated" in notes[0]


def test_video_that_is_too_short_goes_back_and_forth(film):
    notes = []
    poses = driving_video.read(film, 80, notes)
    np.testing.assert_array_equal(poses[30:58], poses[1:29][::-1])
    assert any("80 are needed: its motion goes back and forth" in note for note in notes)


def test_turns_stay_within_what_a_portrait_bears():
    found = driving_video.bounded(np.radians([[2.0, 60.0, -60.0]]))
    np.testing.assert_allclose(np.degrees(found), [[2, 22, -25]], atol=0.6)


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("0 0 0")
    assert driving_video.is_video(tmp_path / "a.txt") and not driving_video.is_video("a.csv")
    with pytest.raises(errors.UserError, match=r"end with '\.txt'; give a \.npy file .* or a video"):
        driving_video.check(tmp_path / "a.txt")


def test_video_without_a_face_is_refused(tmp_path):
    with video_io.VideoWriter(tmp_path / "grey.mp4", size=64) as writer:
        writer.write(np.full((5, 64, 64, 3), 128, np.uint8))
    with pytest.raises(errors.UserError, match="no face was found in 5 of 5 frames"):
        driving_video.read(tmp_path / "grey.mp4", 5, [])
