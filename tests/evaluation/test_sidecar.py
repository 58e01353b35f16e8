"""What lies beside videos: phonemes and portraits."""

import numpy as np
import PIL.Image
import pytest

from avct_jax import errors
from avct_jax.data.phonemes import symbols
from avct_jax.evaluation import sidecar, video_files


def test_phonemes_come_back_frame_by_frame(tmp_path):
    path = tmp_path / "a.txt_000.mp4"  # a name with a dot
    labels = np.random.default_rng(0).integers(0, len(symbols.SYMBOLS), 60).repeat(3)
    sidecar.write_phonemes(path, labels)
    assert np.array_equal(sidecar.phonemes_of(path), labels)
    assert sidecar.phonemes_of(tmp_path / "a.mp4") is None


def test_portrait_comes_back_pixel_by_pixel(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    sidecar.write_portrait(tmp_path / "a.mp4", image)
    assert np.array_equal(sidecar.portrait_of(tmp_path / "a.mp4"), image)
    PIL.Image.fromarray(image[:20]).save(tmp_path / "b.portrait.jpg")
    assert sidecar.portrait_of(tmp_path / "b.mp4").shape == (20, 30, 3)


def test_video_is_another_where_what_lies_beside_it_is(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"video")
    stamps = [video_files.from_file(path, "a").stamp]
    for label in (1, 2, 2):
        sidecar.write_phonemes(path, np.full(4, label))
        stamps.append(video_files.from_file(path, "a").stamp)
    assert stamps[0] != stamps[1] != stamps[2] == stamps[3]


def test_files_that_cannot_be_read_are_told(tmp_path):
    (tmp_path / "a.phonemes.json").write_text('["x"]')
    (tmp_path / "a.portrait.png").write_bytes(b"no image")
    with pytest.raises(errors.UserError, match="not phonemes in the released JSON"):
        sidecar.phonemes_of(tmp_path / "a.mp4")
    with pytest.raises(errors.UserError, match="image"):
        sidecar.portrait_of(tmp_path / "a.mp4")
