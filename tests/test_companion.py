"""What lies beside films: phonemes and portraits."""

import numpy as np
import PIL.Image
import pytest

from avct_jax import errors
from avct_jax.data import phonemes
from avct_jax.evaluation import companion, film


def test_phonemes_come_back_frame_by_frame(tmp_path):
    path = tmp_path / "a.txt_000.mp4"  # a name with a dot
    labels = np.random.default_rng(0).integers(0, len(phonemes.SYMBOLS), 60).repeat(3)
    companion.write_phonemes(path, labels)
    assert np.array_equal(companion.phonemes_of(path), labels)
    assert companion.phonemes_of(tmp_path / "a.mp4") is None


def test_portrait_comes_back_pixel_by_pixel(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    companion.write_portrait(tmp_path / "a.mp4", picture)
    assert np.array_equal(companion.portrait_of(tmp_path / "a.mp4"), picture)
    PIL.Image.fromarray(picture[:20]).save(tmp_path / "b.portrait.jpg")
    assert companion.portrait_of(tmp_path / "b.mp4").shape == (20, 30, 3)


def test_film_is_another_where_what_lies_beside_it_is(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"film")
    stamps = [film.from_file(path, "a").stamp]
    for label in (1, 2, 2):
        companion.write_phonemes(path, np.full(4, label))
        stamps.append(film.from_file(path, "a").stamp)
    assert stamps[0] != stamps[1] != stamps[2] == stamps[3]


def test_files_that_cannot_be_read_are_told(tmp_path):
    (tmp_path / "a.phonemes.json").write_text('["x"]')
    (tmp_path / "a.portrait.png").write_bytes(b"no picture")
    with pytest.raises(errors.UserError, match="not phonemes in the released JSON"):
        companion.phonemes_of(tmp_path / "a.mp4")
    with pytest.raises(errors.UserError, match="picture"):
        companion.portrait_of(tmp_path / "a.mp4")
