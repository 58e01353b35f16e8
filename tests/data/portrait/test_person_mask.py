"""The person in a portrait: found where plain, refused where unsure, drawn to the image's edges."""

import pathlib

import numpy as np
import pytest
import skimage.data

from avct_jax.data.faces import crop, face_detector, model_files
from avct_jax.data.portrait import person_mask

SIZE = 384


@pytest.fixture(scope="module")
def astronaut():
    """Her image, and her landmarks in px."""
    pixels = skimage.data.astronaut()
    found = face_detector.FaceLandmarker().landmarks(pixels)
    square = crop.face_square(found.points, pixels.shape)
    return crop.crop(pixels, square, SIZE), crop.to_crop(found.points, square, SIZE)


def test_person_is_found_at_the_size_of_the_image(astronaut):
    mask = person_mask.find(*astronaut)
    assert mask.shape == (SIZE, SIZE) and mask.min() == 0 and mask.max() == 1
    x, y = np.round(astronaut[1][[1, 10, 152, 234, 454], :2]).astype(int).T
    assert mask[y, x].min() > 0.99
    assert mask[: SIZE // 4, : SIZE // 16].max() < 0.01 and mask[: SIZE // 4, -SIZE // 16 :].max() < 0.01
    assert 0.4 < mask.mean() < 0.8


def test_mask_follows_the_edge_of_her_hair(astronaut):
    """Beside the mask's edge hair and wall differ more than they do beside the plainly enlarged mask's."""
    image, points = astronaut
    bright = image.mean(-1)
    mask = person_mask.find(image, points)
    inside, outside = (mask > 0.5) & (mask < 0.95), (mask > 0.05) & (mask < 0.5)
    above = np.arange(SIZE)[:, None] < points[152, 1] - 0.2 * SIZE
    assert bright[outside & above].mean() > bright[inside & above].mean() + 20  # her wall is lighter


def test_face_outside_of_the_person_is_refused(astronaut):
    image, points = astronaut
    assert person_mask.find(image, points - [0.45 * SIZE, 0.3 * SIZE, 0]) is None


def test_image_without_a_person_is_refused(astronaut):
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    assert person_mask.find(noise, astronaut[1]) is None


def test_hesitant_mask_is_refused():
    face_oval = np.zeros((256, 256), bool)
    face_oval[100:200, 90:160] = True
    sure = np.zeros((256, 256), np.float32)
    sure[60:, 60:190] = 1
    assert person_mask.is_sure(sure, face_oval)
    hesitant = sure.copy()
    hesitant[:200, 190:] = 0.5
    assert not person_mask.is_sure(hesitant, face_oval)
    hesitant[:200, 190:], hesitant[205:, 190:] = 0, 0.5  # below the chin nothing moves
    assert person_mask.is_sure(hesitant, face_oval)
    assert not person_mask.is_sure(np.ones_like(sure), face_oval)


def test_other_people_are_left_out():
    face_oval = np.zeros((256, 256), bool)
    face_oval[100:200, 90:160] = True
    mask = np.zeros((256, 256), np.float32)
    mask[60:, 60:190] = 1
    mask[50:120, 220:] = 1
    kept = person_mask.attached(mask, face_oval)
    assert kept[50:120, 220:].max() == 0 and (kept[60:, 60:190] == 1).all()


def test_notice_lists_the_files_with_their_sums():
    notice = (pathlib.Path(__file__).parents[3] / "NOTICE").read_text()
    for name, folder in model_files.FOLDERS.items():
        assert f"avct_jax/assets/{folder}/{name}" in notice and model_files.SHA256[name] in notice


def test_without_the_networks_operations_no_person_is_found_and_it_is_said(astronaut, monkeypatch, caplog):
    """As LiteRT does where /proc is not mounted."""

    def open_network(*_):
        raise RuntimeError("Encountered unresolved custom op: Convolution2DTransposeBias.")

    monkeypatch.setattr(person_mask.litert, "open_network", open_network)
    assert person_mask.find(*astronaut) is None
    assert "is /proc mounted?" in caplog.text
