"""Mouths are cut where boxes say, and laid in channels as D_sync wants them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.models import sync_discriminator
from avct_jax.train.augmentation import mouth_crops


def test_crop_of_a_box_of_its_own_size_is_the_pixels_in_the_box():
    frames = jax.random.uniform(jax.random.key(0), (2, 128, 128, 3))
    boxes = jnp.array([[10.0, 60, 106, 108], [0, 80, 96, 128]])
    found = mouth_crops.crop(frames, boxes)
    np.testing.assert_allclose(found[0], frames[0, 60:108, 10:106], atol=1e-5)
    np.testing.assert_allclose(found[1], frames[1, 80:128, :96], atol=1e-5)


def test_crop_of_a_smooth_image_is_the_same_at_half_its_size():
    """Boxes are scaled with the image: what is seen stays in its place."""
    axis = (jnp.arange(128) + 0.5) / 128
    image = jnp.stack(jnp.broadcast_arrays(axis[None], axis[:, None], axis[:, None] * 0), -1)[None]
    half = image.reshape(1, 64, 2, 64, 2, 3).mean((2, 4))
    box = jnp.array([[20.0, 30, 100, 70]])
    found = mouth_crops.crop(image, box)
    np.testing.assert_allclose(mouth_crops.crop(half, box / 2), found, atol=1e-5)
    np.testing.assert_allclose(found[0, 0, :, 0], (20 + (jnp.arange(96) + 0.5) * 80 / 96) / 128, atol=1e-5)


def test_crop_gives_gradients_only_to_pixels_in_the_box_and_beside_it():
    box = jnp.array([[8.0, 16, 24, 24]])
    slope = jax.grad(lambda x: mouth_crops.crop(x, box).sum())(jnp.zeros((1, 32, 32, 3)))
    seen = np.zeros((32, 32), bool)
    seen[15:25, 7:25] = True  # half a pixel's way out, the next one counts too
    np.testing.assert_array_equal(np.asarray(slope[0, ..., 0]) > 0, seen)


def test_windows_are_five_successive_frames_in_bgr():
    mouths = jax.random.uniform(jax.random.key(0), (2, 6, 48, 96, 3))
    found = mouth_crops.windows(mouths)
    assert found.shape == (4, 48, 96, 15)
    np.testing.assert_array_equal(found[3, ..., 6:9], mouths[1, 3, ..., ::-1])
    faces = jnp.concatenate([jnp.zeros_like(mouths), mouths], 2)[:, :5]
    np.testing.assert_array_equal(found[0], sync_discriminator.mouth_window(faces)[0])
    with pytest.raises(ValueError, match="4 frames hold no window"):
        mouth_crops.windows(mouths[:, :4])


def test_square_lies_about_its_place_as_fine_as_the_image():
    across = np.linspace(-1, 1, 101, dtype=np.float32)
    image = jnp.asarray(np.stack(np.meshgrid(across, across), -1)[None])  # every pixel shows its own place
    places = jnp.array([[0.2, -0.3]])
    cut = mouth_crops.square(image, places, 0.4)
    assert cut.shape == (1, 20, 20, 2)
    np.testing.assert_allclose(cut.mean((1, 2)), places, atol=1e-6)
    np.testing.assert_allclose(cut[0, 0, [0, -1], 0], [0.0, 0.4], atol=1e-6)


def test_square_repeats_the_border_of_the_image():
    image = jnp.zeros((1, 11, 11, 1)).at[:, :, -1].set(1.0)
    assert (mouth_crops.square(image, jnp.array([[1.0, 0.0]]), 0.8)[0, :, -2:] == 1).all()
