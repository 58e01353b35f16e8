"""Frames with a mark: hardly another picture, and the mark is found whatever is done with them."""

import functools

import cv2
import jax
import numpy as np
import pytest

from avct_jax.marks import mark_detector, mark_pattern, watermark
from tests.marks import marked_film


@functools.cache
def film():
    """A film, and the same with a mark."""
    shown = marked_film.frames()
    return shown, marked_film.marked(shown)


def looked(shown, rate=25.0, key=mark_pattern.KEY):
    """What is found in frames in memory."""
    scale = mark_detector.SIDE / max(shown.shape[1:3])
    size = [round(n * scale) for n in shown.shape[2:0:-1]]
    grey = [
        cv2.resize(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA) for x in shown
    ]
    image = mark_detector.demodulated(np.stack(grey).astype(np.float32), rate)
    return mark_detector.judged(*mark_detector.look(image, key), tuple(size[::-1]), len(shown) / rate)


def test_a_mark_is_hardly_seen():
    plain, marked = film()
    error = marked.astype(float) - plain
    assert 10 * np.log10(255**2 / np.square(error).mean()) > 46
    assert np.abs(error).max() <= 8 and abs(error.mean()) < 0.05
    smooth = error[:, :30, :30]  # of the wall
    assert np.abs(smooth).max() <= 1 and np.square(smooth).mean() < 0.5 * np.square(error).mean()
    assert np.abs(error[:10].sum(0)).max() <= 10 and np.abs(error[:10].mean(0)).mean() < 0.11


def test_blocks_of_any_length_and_single_frames_make_the_same():
    plain, marked = film()
    np.testing.assert_array_equal(marked_film.marked(plain[:30], step=7), marked[:30])
    mark = watermark.Watermark(marked_film.PAYLOAD)
    mark(plain[:1], first=0)
    np.testing.assert_array_equal(mark(plain[17:18], first=17)[0], marked[17])


def test_what_is_added_is_of_ten_frames_and_the_opposite_after_five():
    plain = np.full((20, 32, 32, 3), 128, np.uint8)
    change = watermark.changes(marked_film.PAYLOAD, plain[0])
    added = np.asarray(jax.jit(watermark.add)(plain, change, np.arange(20) % 10)).astype(int) - 128
    np.testing.assert_array_equal(added[:10], added[10:])
    np.testing.assert_array_equal(added[:5], -added[5:10])
    np.testing.assert_array_equal(added[:5], change)


def test_a_mark_is_found_and_read():
    plain, marked = film()
    found = looked(marked)
    assert found.found and found.payload == marked_film.PAYLOAD
    np.testing.assert_allclose(found.box, (0, 0, 1, 1), atol=0.02)
    for unmarked in (looked(plain), looked(marked, key="another")):
        assert not unmarked.found and unmarked.payload is None and unmarked.score < found.score / 2


CHANGES = {
    "half the size": lambda shown: [cv2.resize(x, (128, 128), interpolation=cv2.INTER_AREA) for x in shown],
    "cropped": lambda shown: shown[:, 40:220, 30:210],
    "in a larger picture": lambda shown: [cv2.copyMakeBorder(x, 60, 40, 100, 60, 1) for x in shown],
    "blurred and brighter": lambda shown: [
        np.uint8(255 * (cv2.GaussianBlur(x, (0, 0), 1) / 255) ** 0.8) for x in shown
    ],
    "cut": lambda shown: shown[13:90],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_mark_is_found_after(change):
    found = looked(np.stack(CHANGES[change](film()[1])))
    assert found.found and found.payload == marked_film.PAYLOAD


def test_a_mark_is_found_in_a_film_of_another_frame_rate(tmp_path):
    _, marked = film()
    index = np.minimum(np.round(np.arange(120) * 25 / 30).astype(int), 99)  # shown at 30 frames/s
    assert looked(marked[index], rate=30.0).payload == marked_film.PAYLOAD


def test_a_file_is_read(tmp_path):
    path = marked_film.write(tmp_path / "a.mp4", film()[1])
    found = mark_detector.read(path)
    assert found.payload == marked_film.PAYLOAD and found.seconds == pytest.approx(4.0)
