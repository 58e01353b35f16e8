"""Augmentation: images, keypoints, Jacobians and boxes move together; colours as torchvision's."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax import motion
from avct_jax.data.dataset import batch_types
from avct_jax.train.augmentation import image_augmentation
from tests import training_batches

MIRRORED = (1, 0, 2)
look = jax.jit(image_augmentation.look, static_argnums=2)
BRIGHTER, MORE_CONTRAST, STRONGER, OTHER_HUE = np.eye(4, dtype=np.float32)


def variation(b, mirrored=False, *, views=False):
    """The same for all of a batch of b, but for random views if asked for."""
    rng = np.random.default_rng(5)
    view = rng.uniform(-1, 1, (b, 4)) * [0.2, 0.2, 0.12, 0.12] * views
    return batch_types.Variation(np.full(b, mirrored), view.astype(np.float32), np.zeros((b, 4), np.float32))


def dots(places, size=128):
    """White spots on black at places (b, 2) in [-1, 1]."""
    axis = np.linspace(-1, 1, size)
    offset = np.stack(np.meshgrid(axis, axis), -1)[None] - places[:, None, None]
    spots = np.exp(-np.square(offset).sum(-1) / (2 * 0.05**2))
    return np.repeat((255 * spots)[..., None], 3, -1).astype(np.uint8)


def centre(images):
    """The brightness' centre of mass, in [-1, 1]."""
    weight = np.asarray(images).sum(-1)
    weight = weight / weight.sum((1, 2), keepdims=True)
    axis = np.linspace(-1, 1, weight.shape[1])
    return np.stack([(weight.sum(1) * axis).sum(1), (weight.sum(2) * axis).sum(1)], -1)


@pytest.mark.parametrize("size", [64, 32, 48])
def test_look_without_variation_shows_the_image_itself(size):
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    seen = look(frames, variation(2), size)
    resized = jax.jit(image_augmentation.resize, static_argnums=1)(jnp.float32(frames) / 255, size)
    np.testing.assert_allclose(seen, resized, atol=1e-6)
    if size == 64:
        np.testing.assert_allclose(seen, np.float32(frames) / 255, atol=1e-7)
    if size == 32:
        means = (np.float32(frames) / 255).reshape(2, 32, 2, 32, 2, 3).mean((2, 4))
        np.testing.assert_allclose(seen, means, atol=1e-6)
    mirrored = look(frames, variation(2, True), size)
    np.testing.assert_array_equal(mirrored, seen[:, :, ::-1])


def test_look_beyond_the_border_repeats_it():
    out = variation(1)._replace(view=np.float32([[0.7, 0, 0, 0]]))
    seen = look(np.full((1, 16, 16, 3), 200, np.uint8), out, 16)
    np.testing.assert_allclose(seen, 200 / 255, atol=1e-5)


@pytest.mark.parametrize("mirrored", [False, True])
def test_see_motion_finds_keypoints_where_look_shows_them(mirrored):
    keypoints = np.random.default_rng(0).uniform(-0.4, 0.4, (6, 3, 2)).astype(np.float32)
    stored = motion.Motion(jnp.asarray(keypoints), jnp.tile(jnp.eye(2), (6, 3, 1, 1)))
    varied = variation(6, mirrored, views=True)
    told = image_augmentation.see_motion(stored, varied, MIRRORED).keypoints
    for k in range(3):
        found = centre(look(dots(keypoints[:, k]), varied, 128))
        at = MIRRORED[k] if mirrored else k  # in a mirrored image left is right
        np.testing.assert_allclose(found, told[:, at], atol=0.01)


@pytest.mark.parametrize("mirrored", [False, True])
def test_see_motion_turns_jacobians_as_the_view_turns_the_image(mirrored):
    """J carries the canonical face: one step d of it is seen as J' d, mirrored where the image is."""
    rng = np.random.default_rng(1)
    keypoints, jacobians = rng.uniform(-0.4, 0.4, (4, 3, 2)), rng.normal(size=(4, 3, 2, 2))
    varied = variation(4, mirrored, views=True)
    see = lambda k: image_augmentation.see_motion(
        motion.Motion(jnp.float32(k), jnp.float32(jacobians)), varied, MIRRORED
    )
    d = np.array([0.01, 0.02])
    moved = see(keypoints + jacobians @ d).keypoints - see(keypoints).keypoints
    canonical = d * np.array([-1 if mirrored else 1, 1])  # the mirrored face takes the mirrored step
    np.testing.assert_allclose(moved, see(keypoints).jacobians @ jnp.float32(canonical), atol=1e-5)


def test_see_motion_takes_any_number_of_frames_an_example():
    many = training_batches.face_motion(0, 4, 3)
    varied = training_batches.variation(0, 4)
    found = image_augmentation.see_motion(many, varied)
    for t in range(3):
        one = image_augmentation.see_motion(batch_types.FaceMotion(*(x[:, t] for x in many)), varied)
        jax.tree.map(lambda a, b, t=t: np.testing.assert_allclose(a[:, t], b, atol=1e-6), found, one)


@pytest.mark.parametrize("mirrored", [False, True])
def test_see_boxes_follows_what_it_frames(mirrored):
    places = np.random.default_rng(2).uniform(-0.4, 0.4, (6, 2)).astype(np.float32)
    varied = variation(6, mirrored, views=True)
    stored = (places + 1) * 64
    boxes = np.concatenate([stored - 10, stored + 10], -1)
    told = np.asarray(image_augmentation.see_boxes(boxes, varied, 128, 64))
    found = (centre(look(dots(places), varied, 64)) + 1) * 32
    np.testing.assert_allclose((told[:, :2] + told[:, 2:]) / 2, found, atol=0.6)
    sides = told[:, 2:] - told[:, :2]
    np.testing.assert_allclose(sides, 10 * np.exp(-varied.view[:, :1]).repeat(2, 1), rtol=1e-4)


def test_see_boxes_without_variation_only_changes_the_scale():
    boxes = np.float32([[10, 20, 30, 60]])
    np.testing.assert_allclose(
        image_augmentation.see_boxes(boxes, variation(1), 256, 128), boxes / 2, atol=1e-5
    )


def test_recolour_by_nothing_is_nothing():
    images = jax.random.uniform(jax.random.key(0), (2, 8, 8, 3))
    np.testing.assert_array_equal(image_augmentation.recolour(images, np.zeros((2, 4), np.float32)), images)


def test_recolour_changes_what_each_field_names():
    images = 0.3 + 0.3 * jax.random.uniform(jax.random.key(0), (1, 8, 8, 3))
    change = lambda colours: np.asarray(image_augmentation.recolour(images, 0.1 * colours[None]))
    grey = lambda x: np.asarray(x) @ np.float32(image_augmentation.GREY)
    np.testing.assert_allclose(change(BRIGHTER), 1.1 * images, rtol=1e-5)
    assert grey(change(MORE_CONTRAST)).std() == pytest.approx(1.1 * grey(images).std(), rel=1e-4)
    assert grey(change(MORE_CONTRAST)).mean() == pytest.approx(grey(images).mean(), rel=1e-4)
    np.testing.assert_allclose(grey(change(STRONGER)), grey(images), atol=1e-5)
    np.testing.assert_allclose(np.ptp(change(STRONGER), -1), 1.1 * np.ptp(images, -1), atol=1e-5)


@pytest.mark.parametrize("turn", [-0.1, 0.04, 0.45])
def test_recolour_turns_the_hue_as_colorsys(turn):
    pixels = np.random.default_rng(0).random((20, 3)).astype(np.float32)
    pixels[:3] = [[0.5, 0.5, 0.5], [1, 0, 0], [0, 0, 0]]
    found = image_augmentation.recolour(jnp.asarray(pixels.reshape(1, 4, 5, 3)), turn * OTHER_HUE[None])
    for before, after in zip(pixels, np.asarray(found).reshape(-1, 3), strict=True):
        h, s, v = colorsys.rgb_to_hsv(*before.tolist())
        np.testing.assert_allclose(after, colorsys.hsv_to_rgb((h + turn) % 1, s, v), atol=1e-5)


def test_repeat_lays_the_frames_of_an_example_end_to_end():
    tree = image_augmentation.repeat({"a": np.arange(3), "b": np.eye(3)}, 2)
    assert tree["a"].tolist() == [0, 0, 1, 1, 2, 2] and tree["b"].shape == (6, 3)
