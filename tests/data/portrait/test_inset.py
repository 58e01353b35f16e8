"""A drawn square in its picture: no seam, and no less sharp."""

import cv2
import numpy as np
import pytest

from avct_jax.data.faces import crop
from avct_jax.data.portrait import inset, territory

NODES = 32


def picture(height=300, width=400):
    """Fine texture over slow waves."""
    y, x = np.mgrid[:height, :width]
    grain = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 60, (height, width)), (0, 0), 0.8)
    grey = 120 + 60 * np.sin(x / 40) * np.cos(y / 30) + grain
    return np.stack([grey, grey * 0.9, grey * 0.8], -1).clip(0, 255).astype(np.uint8)


def field(right=0.0):
    """Everything comes from so far to the left of it, [-1, 1]."""
    along = np.linspace(-1, 1, NODES, dtype=np.float32)
    return np.stack(np.meshgrid(along - np.float32(right), along), -1)


def inset_of(pixels, square, size):
    weight = territory.own(square, np.tile([[200.0, 150, 0]], (478, 1)) + np.eye(478, 3), [], pixels.shape)
    rest = crop.crop(pixels, square, size)
    return inset.Inset(pixels, square, weight, rest=rest, cover=np.ones((size, size), np.float32)), rest


@pytest.mark.parametrize("size", [160, 128, 200])
def test_a_face_at_rest_is_the_picture_itself(size):
    pixels = picture()
    put, rest = inset_of(pixels, crop.Square(120, 80, 160), size)
    canvas = pixels.copy()
    put.lay(canvas, rest, field())
    assert np.abs(canvas.astype(int) - pixels).max() <= 1


def test_outside_of_the_square_is_the_picture_and_its_border_shows_no_step():
    pixels = picture()
    square = crop.Square(120, 80, 160)
    put, rest = inset_of(pixels, square, 160)
    canvas = pixels.copy()
    put.lay(canvas, 255 - rest, field())
    change = np.abs(canvas.astype(int) - pixels)
    inside = change[80:240, 120:280].copy()
    change[80:240, 120:280] = 0
    assert not change.any()
    assert inside[80, 80].min() > 20, "the middle is what was drawn"
    for side in (inside, inside[::-1], inside.swapaxes(0, 1), inside[:, ::-1].swapaxes(0, 1)):
        assert side[:2].max() <= 1, "no step at the border"


@pytest.mark.parametrize("square", [(-40, -30, 160), (320, 220, 160), (-50, -60, 500)])
def test_squares_may_reach_over_the_pictures_edges(square):
    pixels = picture()
    put, rest = inset_of(pixels, crop.Square(*square), 128)
    canvas = pixels.copy()
    put.lay(canvas, rest, field())
    assert np.abs(canvas.astype(int) - pixels).max() <= 1


def test_detail_that_is_too_fine_to_be_drawn_moves_along():
    pixels = picture()
    square = crop.Square(100, 50, 200)
    put, rest = inset_of(pixels, square, 100)
    right = 8  # px of the picture
    drawn = np.roll(rest, right // 2, 1)
    canvas = pixels.copy()
    put.lay(canvas, drawn, field(2 * right / 2 / 99))
    middle = np.s_[100:200, 160:260]
    wanted = np.roll(pixels, right, 1)[middle].astype(float)
    blurred = cv2.resize(drawn, (200, 200), interpolation=cv2.INTER_CUBIC)[50:150, 60:160]
    lost = lambda found: np.sqrt(((found - wanted) ** 2).mean())
    assert lost(canvas[middle].astype(float)) < 0.2 * lost(blurred.astype(float))


def test_what_is_drawn_otherwise_than_warped_keeps_no_detail():
    pixels = picture()
    put, rest = inset_of(pixels, crop.Square(100, 50, 200), 100)
    drawn = rest.copy()
    drawn[30:70, 30:70] = 255  # teeth, say
    canvas = pixels.copy()
    put.lay(canvas, drawn, field())
    assert canvas[120:180, 170:230].min() == 255


def test_what_is_behind_the_person_stays_sharp_while_the_field_moves():
    pixels = picture()
    square = crop.Square(100, 50, 200)
    rest = crop.crop(pixels, square, 100)
    weight = np.ones((territory.FINE, territory.FINE), np.float32)
    put = inset.Inset(pixels, square, weight, rest=rest, cover=np.zeros((100, 100), np.float32))
    canvas = pixels.copy()
    put.lay(canvas, rest, field(0.2))
    assert np.abs(canvas.astype(int) - pixels).max() <= 1
