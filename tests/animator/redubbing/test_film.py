"""Films: the order in which they are shown, and their frames in that order."""

import numpy as np
import PIL.Image
import pytest

from avct_jax import errors
from avct_jax.animator.redubbing import film, source
from avct_jax.data.faces import face_detector, muted_face
from avct_jax.data.media import video_io
from avct_jax.data.speech import speaker

SHADES = 30


def stretch(begin, frames):
    face = muted_face.MutedFace(np.zeros((frames, 478, 3)), *[np.zeros(1)] * 5)
    return film.FilmStretch(begin, face)


def made(frames, *stretches, path="none", size=(32, 48)):
    return film.Film(str(path), size, frames, stretches)


@pytest.fixture(scope="module")
def shades(tmp_path_factory):
    """Every frame is brighter than the one before by 8."""
    path = tmp_path_factory.mktemp("film") / "a.mp4"
    with video_io.VideoWriter(path, size=(32, 48)) as writer:
        for i in range(SHADES):
            writer.write(np.full((32, 48, 3), 8 * i, np.uint8))
    return path


def test_a_longer_film_ends_with_the_sound():
    np.testing.assert_array_equal(film.order(made(9, stretch(0, 9)), 5), range(5))


def test_a_shorter_film_goes_back_and_forth_without_a_jump():
    order = film.order(made(6, stretch(0, 6)), 20)
    np.testing.assert_array_equal(order[:12], [0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0, 1])
    assert len(order) == 20 and (np.abs(np.diff(order)) == 1).all()


def test_it_goes_back_no_further_than_the_last_shot_and_ten_seconds():
    order = film.order(made(10, stretch(0, 7), stretch(7, 3)), 30)
    assert order[10:].min() == 7 and (np.abs(np.diff(order)) == 1).all()
    assert film.order(made(1000, stretch(0, 1000)), 2000)[1000:].min() == 1000 - film.BACK
    np.testing.assert_array_equal(film.order(made(1, stretch(0, 1)), 3), [0, 0, 0])


def test_frames_come_in_any_order_by_steps_of_one(shades, monkeypatch):
    found = made(SHADES, stretch(0, SHADES), path=shades)
    wanted = [*range(5, SHADES), *range(SHADES - 2, 3, -1), *range(5, 9), 8, 8]
    for block in (1 << 28, 4 * 32 * 48 * 3):
        monkeypatch.setattr(film, "BLOCK_BYTES", block)
        levels = [float(frame.mean()) / 8 for frame in film.in_order(found, wanted)]
        np.testing.assert_allclose(levels, wanted, atol=0.3)


def test_frames_know_their_stretch():
    found = made(20, stretch(2, 3), stretch(10, 5))
    assert found.find(1) is None and found.find(5) is None and found.find(15) is None
    assert found.find(4) == (found.stretches[0], 2) and found.find(10) == (found.stretches[1], 0)


def test_odd_and_huge_films_are_brought_to_what_players_show(tmp_path):
    assert film.fitted_size((301, 401)) == (300, 400) and film.fitted_size((3000, 4000)) == (2494, 3324)
    with video_io.VideoWriter(tmp_path / "a.mkv", size=(32, 48)) as writer:
        writer.write(np.zeros((2, 32, 48, 3), np.uint8))
    assert [frame.shape for frame in film.read(tmp_path / "a.mkv", (30, 46))] == [(30, 46, 3)] * 2


def test_what_is_no_film_is_refused(shades, tmp_path):
    source.check(shades)
    with pytest.raises(errors.UserError, match="in memory is given; give the file"):
        source.check(np.zeros((8, 8, 3), np.uint8))
    speaker.write_wav(str(tmp_path / "a.wav"), speaker.SpokenText(np.zeros(1600, np.float32), 16000, []))
    with pytest.raises(errors.UserError, match="holds no video"):
        source.check(tmp_path / "a.wav")
    for name in ("a.png", "a.jpg", "a.webp"):
        PIL.Image.new("RGB", (16, 16)).save(tmp_path / name)
        with pytest.raises(errors.UserError, match="is a picture; give a film"):
            source.check(tmp_path / name)


def test_a_film_without_a_face_is_refused(shades):
    with pytest.raises(errors.UserError, match="no face was found in"):
        film.watch(shades, face_detector.FaceLandmarker(), most=99)
