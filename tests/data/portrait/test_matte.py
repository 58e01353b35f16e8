"""An image in two layers: together they are the image, and neither shows the other's colours."""

import numpy as np
import pytest

from avct_jax.data.portrait import matte

SIZE = 128
RED, BLUE = np.array([0.8, 0.2, 0.1]), np.array([0.1, 0.2, 0.7])


@pytest.fixture(scope="module")
def scene():
    """A red disc over a blue wall that is lighter below; how much of each pixel the disc covers."""
    y, x = np.mgrid[:SIZE, :SIZE]
    cover = np.clip(30.5 - np.hypot(x - 64, y - 70), 0, 1).astype(np.float32)
    wall = (BLUE + 0.2 * (y / SIZE)[..., None]).astype(np.float32)
    return cover[..., None] * RED.astype(np.float32) + (1 - cover[..., None]) * wall, cover, wall


def test_layers_make_the_image_again(scene):
    image, cover, _ = scene
    layers = matte.separate(image, cover)
    a = layers.cover[..., None]
    again = a * layers.person + (1 - a) * layers.background
    assert np.abs(again - image).mean() < 0.002 and np.abs(again - image).max() < 0.1
    np.testing.assert_allclose(again[cover == 1], image[cover == 1], atol=1e-6)


def test_background_goes_on_behind_the_person(scene):
    image, cover, wall = scene
    background = matte.separate(image, cover).background
    near = (cover > 0) & (np.hypot(*(np.mgrid[:SIZE, :SIZE] - np.array([70, 64])[:, None, None])) > 20)
    assert np.abs(background - wall)[near].max() < 0.1
    np.testing.assert_array_equal(background[:20], image[:20])


def test_persons_colours_go_on_beyond_the_edge(scene):
    image, cover, _ = scene
    layers = matte.separate(image, cover)
    seen = (layers.cover > 2 * matte.LEAST) | (cover > 0)
    beyond = (layers.cover == 0) & (np.hypot(*(np.mgrid[:SIZE, :SIZE] - 66)) < 44)
    assert beyond.sum() > 500 and np.abs(layers.person - RED)[beyond].max() < 0.1
    assert layers.cover[seen].min() > 0


def test_hair_that_the_mask_missed_is_not_left_behind(scene):
    image, cover, wall = scene
    hairy = image.copy()
    hairy[37:41, 60:68] = RED  # beyond the disc's edge, unknown to the mask
    background = matte.separate(hairy, np.where(image == hairy, cover[..., None], 0).min(-1)).background
    assert np.abs(background - wall)[37:41, 60:68].max() < 0.1 < np.abs(hairy - wall)[37:41, 60:68].max()


def test_light_rim_of_a_sharpened_video_is_not_left_behind(scene):
    image, cover, wall = scene
    distance = np.hypot(*(np.mgrid[:SIZE, :SIZE] - np.array([70, 64])[:, None, None]))
    rim = (distance > 31.5) & (distance < 33)
    background = matte.separate(image + np.float32(0.08) * rim[..., None], cover).background
    assert np.abs(background - wall)[rim].max() < 0.03


def test_grain_of_a_plain_wall_goes_on_and_shelves_are_not_torn():
    rng = np.random.default_rng(0)
    known = np.ones((SIZE, SIZE), bool)
    known[40:90, 40:90] = False
    wall = np.full((SIZE, SIZE, 3), 0.5, np.float32) + rng.normal(0, 0.02, (SIZE, SIZE, 1)).astype(np.float32)
    shelves = wall + 0.3 * np.sign(np.sin(np.arange(SIZE) / 3)).astype(np.float32)[:, None, None]
    rough = lambda image: np.abs(np.diff(matte.go_on(image, known)[45:85, 45:85], axis=1)).mean()
    assert rough(wall) > 0.01 > 3 * rough(shelves)


def test_fill_keeps_what_is_known_and_is_smooth(scene):
    image, cover, _ = scene
    known = (cover == 0).astype(np.float32)
    filled = matte.fill(image, known)
    np.testing.assert_array_equal(filled[known > 0], image[known > 0])
    assert np.abs(np.diff(filled, axis=0)).max() < 0.05


def test_whole_image_is_the_person(scene):
    layers = matte.whole(scene[0])
    assert (layers.cover == 1).all() and (layers.person == scene[0]).all()
