"""Sheets and videos of what a stage does."""

import io

import numpy as np
from PIL import Image

from avct_jax.data.media import video_io
from avct_jax.train.monitoring import contact_sheet


def images(n=3):
    """Red sources of 100 px, and blue maps of 50."""
    red, blue = np.zeros((n, 100, 100, 3), np.float32), np.zeros((n, 50, 50, 3), np.float32)
    red[..., 0], blue[..., 2] = 1.0, 2.0  # beyond the range: cut
    return {"source": red, "map": blue}


def test_sheet_has_a_row_an_example_and_a_column_a_image():
    sheet = contact_sheet.sheet(images())
    gap, label = contact_sheet.GAP, contact_sheet.LABEL
    assert sheet.shape == (label + 3 * 100 + 2 * gap, 2 * 100 + gap, 3)
    for row in range(3):
        top = label + row * (100 + gap)
        assert (sheet[top : top + 100, :100] == (255, 0, 0)).all()
        assert (sheet[top : top + 100, 100 + gap :] == (0, 0, 255)).all()
    assert (sheet[:label, :100] < 128).any() and (sheet[:label, 100 + gap :] < 128).any()  # names


def test_sheet_thins_many_examples_out_and_enlarges_small_ones():
    many = {"source": np.linspace(0, 1, 30).reshape(30, 1, 1, 1) * np.ones((1, 16, 16, 3))}
    sheet = contact_sheet.sheet(many, rows=4)
    assert sheet.shape == (contact_sheet.LABEL + 4 * 32 + 3 * contact_sheet.GAP, 32, 3)
    assert sheet[contact_sheet.LABEL, 0, 0] == 0 and sheet[-1, -1, 0] == 255


def test_long_name_is_in_two_lines():
    lines = lambda name: np.flatnonzero(
        (contact_sheet.sheet({name: images()["source"]})[:28] < 99).any((1, 2))
    )
    assert lines("a_b").max() < 16 < lines("driving_keypoints_found").max()


def test_saved_sheet_is_the_png_that_is_returned(tmp_path):
    content, size = contact_sheet.save(tmp_path / "new" / "a.png", images())
    assert (tmp_path / "new" / "a.png").read_bytes() == content
    assert Image.open(io.BytesIO(content)).size == size[::-1]


def test_video_shows_examples_one_after_the_other(tmp_path):
    shades = np.linspace(0, 1, 5).reshape(5, 1, 1, 1) * np.ones((1, 32, 32, 3), np.float32)
    contact_sheet.save_video(tmp_path / "a.mp4", {"real": shades, "made": 1 - shades})
    frames = np.stack([*video_io.read_frames(tmp_path / "a.mp4")]).astype(int)
    assert frames.shape == (5, 32, 64, 3)
    assert (np.diff(frames[:, 16, 8, 0]) > 20).all() and (np.diff(frames[:, 16, 56, 0]) < -20).all()
