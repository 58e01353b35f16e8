"""Face Landmarker v2 in Flax beside its tflite files, on scikit-image's astronaut."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data

from avct_jax import errors
from avct_jax.data.faces import face_detector, litert
from avct_jax.models.frozen import face_landmarker, face_tracking

GOLDEN = pathlib.Path(__file__).parents[2] / "goldens" / "face_blendshapes.npz"
REGIONS = (
    face_detector.Region(224.6, 125.1, 160.1, 0.05),  # where the face is
    face_detector.Region(230.0, 120.0, 170.0, 0.3),
    face_detector.Region(222.0, 112.0, 190.0, -0.3),
    face_detector.Region(221.0, 60.0, 180.0, 0.0),  # half above the image
)


@pytest.fixture(scope="module")
def astronaut():
    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def landmarks():
    variables = face_landmarker.read_variables("landmarks")
    network = jax.jit(face_landmarker.NETWORKS["landmarks"].apply)
    return lambda patches: network(variables, patches)


def patches_of(image, size, low):
    """The regions' squares, and each with noise of a tenth of the range; float32 from `low` to 1."""
    squares = (
        np.stack([face_detector.cut(image, region, size) for region in REGIONS]).astype(np.float32) / 255
    )
    noise = np.random.default_rng(0).normal(size=squares.shape)
    both = np.concatenate([squares, np.clip(squares + 0.1 * noise, 0, 1)]).astype(np.float32)
    return low + (1 - low) * both


def run_tflite(file, patches):
    network = litert.open_network(file, 1)
    answers = [[np.array(output) for output in litert.run(network, patch)] for patch in patches]
    return [np.concatenate([x.reshape(1, -1) for x in column]) for column in zip(*answers, strict=True)]


def test_landmark_network_is_the_tflite_network(astronaut, landmarks):
    patches = patches_of(astronaut, face_landmarker.LANDMARK_SIZE, 0)
    ours = landmarks(patches)
    points, presence, extra = run_tflite("face_landmarks_detector.tflite", patches)
    assert np.abs(np.asarray(ours.points).reshape(len(patches), -1) - points).max() < 0.1  # px
    assert np.abs(ours.presence - presence[:, 0]).max() < 1e-3
    assert np.abs(ours.extra - extra[:, 0]).max() < 1e-3
    assert ours.presence[0] > 3  # and it is a face


def test_detector_is_the_tflite_network(astronaut):
    patches = patches_of(astronaut, face_landmarker.DETECTOR_SIZE, -1)
    variables = face_landmarker.read_variables("detector")
    ours = jax.jit(face_landmarker.NETWORKS["detector"].apply)(variables, patches)
    boxes, logits = run_tflite("face_detector.tflite", patches)
    assert np.abs(np.asarray(ours.boxes).reshape(len(patches), -1) - boxes).max() < 1e-3
    assert np.abs(ours.logits - logits).max() < 1e-3
    assert ours.logits[0].max() > 1


def test_blendshapes_are_those_of_the_tflite_network():
    golden = np.load(GOLDEN)
    variables = face_landmarker.read_variables("blendshapes")
    network = jax.jit(face_landmarker.NETWORKS["blendshapes"].apply)
    ours = network(variables, golden["points"])
    assert np.abs(ours - golden["coefficients"]).max() < 1e-3
    moved = network(variables, 3 * golden["points"] + 50)
    assert np.abs(moved - golden["coefficients"]).max() < 1e-3


def test_smile_is_seen_in_the_blendshapes(astronaut):
    chosen = list(face_landmarker.BLENDSHAPE_POINTS)
    assert len(chosen) == 146 and chosen == sorted(set(chosen)) and chosen[-10:] == [*range(468, 478)]
    points = face_detector.FaceLandmarker().landmarks(astronaut).points[chosen, :2]
    variables = face_landmarker.read_variables("blendshapes")
    coefficients = face_landmarker.NETWORKS["blendshapes"].apply(variables, jnp.asarray(points)[None])[0]
    smile, frown = coefficients[44:46], coefficients[30:32]  # mouthSmileLeft, -Right; mouthFrownLeft, -Right
    assert smile.min() > 0.5 > frown.max()


def test_gradient_of_a_landmark_reaches_the_image(astronaut, landmarks):
    patch = patches_of(astronaut, face_landmarker.LANDMARK_SIZE, 0)[:1]
    chin = lambda patch: landmarks(patch).points[0, face_detector.CHIN, 1]
    gradient = np.asarray(jax.grad(chin)(patch))
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 1e-3
    # Along the gradient the chin moves as it says.
    step = 0.02 * gradient / np.linalg.norm(gradient)
    moved = chin(patch + step) - chin(patch - step)
    np.testing.assert_allclose(moved, 0.04 * np.linalg.norm(gradient), rtol=0.1)


def test_batched_tracking_agrees_with_single_frames(astronaut):
    variables = face_landmarker.read_variables("landmarks")
    images = np.stack([astronaut] * len(REGIONS))
    regions = np.asarray(REGIONS, np.float32)
    ours = face_tracking.track_regions(variables, images, regions)
    landmarker = face_detector.FaceLandmarker()
    for i, region in enumerate(REGIONS):
        single = landmarker._points(astronaut, region)
        assert np.abs(ours.points[i] - single.points).max() < 0.3  # px
        assert abs(ours.presence[i] - single.score) < 0.05


def test_batched_tracking_of_large_faces_is_free_of_aliasing(astronaut):
    large = astronaut.repeat(6, 0).repeat(6, 1)[:1600, 400:2400]
    region = face_detector.Region(947.0, 750.0, 960.0, 0.05)
    variables = face_landmarker.read_variables("landmarks")
    regions = np.asarray([region], np.float32)
    ours = face_tracking.track_regions(variables, large[None], regions, supersampling=2)
    single = face_detector.FaceLandmarker()._points(large, region)
    assert np.abs(ours.points[0] - single.points).max() / region.size < 0.3 / 256


def test_regions_of_points_are_the_single_ones(astronaut):
    points = face_detector.FaceLandmarker().landmarks(astronaut).points
    angle = np.deg2rad(70)
    turned = points.copy()
    turned[:, 0] = np.cos(angle) * points[:, 0] - np.sin(angle) * points[:, 1]
    turned[:, 1] = np.sin(angle) * points[:, 0] + np.cos(angle) * points[:, 1]
    both = np.stack([points, turned])
    expected = [face_detector.region_of_points(p) for p in both]
    np.testing.assert_allclose(face_tracking.regions_of_points(jnp.asarray(both)), expected, atol=1e-3)


def test_weights_file_that_is_missing_gives_the_remedy(tmp_path):
    with pytest.raises(errors.UserError, match="reinstall"):
        face_landmarker.read_variables("landmarks", tmp_path / "none.safetensors")
