"""Image differences, sharpness and Fréchet distances of cases whose answer is known."""

import cv2
import numpy as np
import pytest
from scipy import linalg
from skimage import metrics

from avct_jax.metrics import cpbd, frechet, image_similarity

RANDOM = np.random.default_rng(5)
FACES = RANDOM.integers(0, 256, (2, 40, 48, 3), np.uint8)


def test_identical_images_do_not_differ():
    assert (
        image_similarity.l1(FACES, FACES).tolist()
        == [0, 0]
        == image_similarity.squared_error(FACES, FACES).tolist()
    )
    assert image_similarity.ssim(FACES, FACES) == pytest.approx([1, 1])
    assert image_similarity.decibels(0.0) == float("inf")


def test_image_differences_are_those_of_pixels_in_zero_to_one():
    darker = np.clip(FACES.astype(int), 51, 255).astype(np.uint8) - np.uint8(51)
    brighter = np.clip(FACES, 51, 255)
    assert image_similarity.l1(brighter, darker) == pytest.approx([0.2, 0.2])
    assert image_similarity.squared_error(brighter, darker) == pytest.approx([0.04, 0.04])
    assert image_similarity.decibels(0.01) == pytest.approx(20)


def test_ssim_of_flat_images_is_that_of_their_means():
    a, b = (np.full((1, 20, 20, 3), v, np.uint8) for v in (100, 150))
    wanted = (2 * 100 * 150 + image_similarity.C1) / (100**2 + 150**2 + image_similarity.C1)
    assert image_similarity.ssim(a, b) == pytest.approx([wanted], rel=1e-6)


def test_ssim_orders_noise_and_refuses_small_images():
    noisy = [np.clip(FACES + RANDOM.normal(0, s, FACES.shape), 0, 255).astype(np.uint8) for s in (5, 20, 60)]
    values = [image_similarity.ssim(FACES, x).mean() for x in noisy]
    assert 1 > values[0] > values[1] > values[2] > 0
    with pytest.raises(ValueError, match="at least 11 px"):
        image_similarity.ssim(FACES[:, :10], FACES[:, :10])


def test_ssim_is_scikit_images():
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 2}
    wanted = [metrics.structural_similarity(*FACES, **options)]
    assert image_similarity.ssim(FACES[:1], FACES[1:]) == pytest.approx(wanted, rel=1e-9)


def edge(width, low=20.0, high=220.0, size=64):
    """A vertical edge that takes `width` px to rise, steepest at one of them, in the middle of a block."""
    steps = np.hanning(width + 2)[1:-1] * np.linspace(1, 1.1, width)
    begin = (size - width) // 2
    steps = np.pad(steps / steps.sum(), (begin, size - width - begin - 1))
    row = low + (high - low) * np.concatenate([[0.0], np.cumsum(steps)])
    return np.tile(row, (size, 1))


@pytest.mark.parametrize("width, wanted", [(2, 1.0), (3, 1.0), (4, 0.0), (8, 0.0)])
def test_sharpness_of_one_edge_is_whether_its_width_is_noticed(width, wanted):
    # Contrast 200: 3 px are just noticed, probability 0.632; 2 px 0.21, 4 px 0.94.
    assert cpbd.sharpness(edge(width)) == wanted


@pytest.mark.parametrize("width, wanted", [(5, 1.0), (6, 0.0)])
def test_sharpness_allows_wider_edges_at_low_contrast(width, wanted):
    assert cpbd.sharpness(edge(width, 100.0, 140.0)) == wanted


def test_edge_widths_are_those_of_the_published_program():
    falling = np.tile([90.0, 90, 80, 60, 50, 50, 50], (4, 1))
    edges = np.zeros((4, 7), bool)
    edges[:, 3] = True
    # Falls from column 1 to 4; borders have no width. Where nothing changes sideways it counts 1 each way.
    assert cpbd._widths(falling, edges)[:, 3].tolist() == [0, 3, 3, 0]
    assert cpbd._widths(255 - falling, edges)[:, 3].tolist() == [0, 3, 3, 0]
    assert cpbd._widths(np.tile(np.arange(4.0)[:, None], (1, 7)), edges)[:, 3].tolist() == [0, 2, 2, 0]


def plain_width(row, x, sign):
    """Marziliano's width as one reads it: from the neighbours outwards, while grey levels go on."""
    left, right = x - 1, x + 1
    while left > 0 and sign * (row[left] - row[left - 1]) > 0:
        left -= 1
    while right < len(row) - 1 and sign * (row[right + 1] - row[right]) > 0:
        right += 1
    return right - left


def test_edge_widths_are_those_counted_pixel_by_pixel():
    image = np.round(cv2.GaussianBlur(RANDOM.uniform(0, 255, (40, 50)), (0, 0), 2))
    found = cpbd._widths(image, np.ones(image.shape, bool))
    down, right = np.gradient(image)
    for y, x in np.ndindex(38, 48):
        y, x = y + 1, x + 1
        # Sideways: within 22.5 degrees; or no slope at all to the side.
        sideways = abs(down[y, x]) < np.tan(np.pi / 8) * abs(right[y, x]) or right[y, x] == 0
        wanted = plain_width(image[y], x, -1 if right[y, x] < 0 else 1) if sideways else 0
        assert found[y, x] == wanted


def test_sharpness_falls_with_blur_and_is_0_without_edges():
    squares = 255.0 * ((np.indices((128, 128)) // 16).sum(0) % 2)
    # Between two pixels: an edge that is equally steep at two of them is none to the definition.
    squares = cv2.warpAffine(squares, np.float64([[1, 0, 0.3], [0, 1, 0.3]]), (128, 128))
    values = [cpbd.sharpness(cv2.GaussianBlur(squares, (0, 0), s)) for s in (0.1, 0.5, 4)]
    assert sorted(values, reverse=True) == values and values[0] > 0.9 > 0.1 > values[1] > values[2] == 0
    assert cpbd.sharpness(np.full((64, 64), 90, np.uint8)) == 0 == cpbd.sharpness(squares[:50])


def moments(features):
    found = frechet.Moments(features.shape[1])
    for part in np.array_split(features, 3):
        found.add(part)
    return found


def test_moments_are_numpys_however_they_are_cut():
    features = RANDOM.normal(1e4, 2, (50, 6))
    found = moments(features)
    assert found.covariance == pytest.approx(np.cov(features, rowvar=False), rel=1e-9)
    other = moments(features[:20])
    other.merge(moments(features[20:]))
    assert other.count == 50 and other.covariance == pytest.approx(found.covariance, rel=1e-9)


def test_frechet_distance_of_shifted_and_scaled_normals_is_known():
    features = RANDOM.normal(0, 1, (400, 5))
    centred = moments(features)
    assert frechet.distance(centred, centred) == pytest.approx(0, abs=1e-9)
    assert frechet.distance(centred, moments(features + 3)) == pytest.approx(45, rel=1e-6)
    # C and 4 C: tr(C + 4 C - 2 * 2 C) = tr C, and the means differ by one mean.
    wanted = np.trace(centred.covariance) + np.square(centred.mean).sum()
    assert frechet.distance(centred, moments(2 * features)) == pytest.approx(wanted, rel=1e-6)


def test_frechet_distance_is_that_by_a_matrix_root():
    a = RANDOM.normal(0, 1, (60, 8)) @ RANDOM.normal(0, 1, (8, 8))
    b = RANDOM.normal(1, 2, (90, 8)) @ RANDOM.normal(0, 1, (8, 8))
    of_a, of_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = linalg.sqrtm(of_a @ of_b).real
    wanted = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(of_a + of_b - 2 * root)
    assert frechet.distance(moments(a), moments(b)) == pytest.approx(wanted, rel=1e-9)


def test_frechet_distance_is_finite_with_fewer_features_than_values():
    few = moments(RANDOM.normal(0, 1, (6, 40)))
    assert (
        0 <= frechet.distance(few, few) < 1e-6 < frechet.distance(few, moments(RANDOM.normal(1, 1, (6, 40))))
    )
    still = moments(np.ones((9, 40)))
    apart = np.square(few.mean - 1).sum() + np.trace(few.covariance)
    assert frechet.distance(still, still) == 0 and frechet.distance(still, few) == pytest.approx(apart)
    with pytest.raises(ValueError, match="at least 2"):
        frechet.distance(few, moments(RANDOM.normal(0, 1, (1, 40))))
