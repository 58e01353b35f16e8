"""Face detection and landmarks on scikit-image's astronaut and on images without a face."""

import pickle

import cv2
import numpy as np
import pytest
import skimage.data

from avct_jax import errors
from avct_jax.data.faces import face_box, face_detector, model_files


@pytest.fixture(scope="module")
def landmarker():
    return face_detector.FaceLandmarker()


@pytest.fixture(scope="module")
def astronaut():
    return skimage.data.astronaut()


@pytest.mark.parametrize("scale", [0.25, 1.0, 3.0])
def test_face_is_found_at_any_size(landmarker, astronaut, scale):
    image = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found = landmarker.detect(image)[0]
    centre = (found.box[:2] + found.box[2:]) / 2 / scale
    assert np.hypot(*(centre - [222, 113])) < 25  # px, the eyes and nose of the image


def test_face_is_found_where_it_fills_the_frame(landmarker, astronaut):
    points = landmarker.landmarks(np.ascontiguousarray(astronaut[60:190, 170:280]))
    assert points is not None and points.score > 0.9


def test_face_is_found_where_it_is_tiny(landmarker, astronaut):
    scene = np.full((1200, 1600, 3), 90, np.uint8)
    scene[700:764, 1200:1264] = cv2.resize(astronaut[20:220, 120:320], (64, 64), interpolation=cv2.INTER_AREA)
    found = landmarker.detect(scene)[0]
    assert 1200 < found.box[0] < found.box[2] < 1264 and found.size < 50


def test_faces_are_sorted_by_size(landmarker, astronaut):
    small = cv2.resize(astronaut, (300, 300), interpolation=cv2.INTER_AREA)
    scene = np.zeros((512, 812, 3), np.uint8)
    scene[:300, :300], scene[:, 300:] = small, astronaut
    sizes = [found.size for found in landmarker.detect(scene)]
    assert len(sizes) == 2 and sizes[0] > 1.4 * sizes[1]


def test_faces_turned_far_are_found(landmarker, astronaut):
    for angle in (-60, 60):
        matrix = cv2.getRotationMatrix2D((222, 113), angle, 1.0)
        found = landmarker.detect(cv2.warpAffine(astronaut, matrix, (512, 512)))
        assert (
            len(found) == 1 and np.hypot(*((found[0].box[:2] + found[0].box[2:]) / 2 - [222, 113])) < 30
        )  # px


def test_a_part_of_a_face_is_not_another_face():
    box = lambda *sides: face_detector.FaceBox(0.9, np.array(sides, np.float32), np.zeros((6, 2), np.float32))
    whole, mouth, beside = box(0, 0, 100, 120), box(30, 80, 70, 115), box(95, 0, 195, 120)
    assert face_box.is_among(mouth, [whole])
    assert not face_box.is_among(beside, [whole])


def test_landmarks_name_the_parts_of_the_face(landmarker, astronaut):
    points = landmarker.landmarks(astronaut).points
    left_eye, right_eye = (
        points[face_detector.OUTER_EYE_CORNERS[0]],
        points[face_detector.OUTER_EYE_CORNERS[1]],
    )
    assert left_eye[0] < points[face_detector.NOSE_TIP, 0] < right_eye[0]
    order = [
        face_detector.FOREHEAD,
        33,
        face_detector.NOSE_TIP,
        face_detector.UPPER_INNER_LIP,
        face_detector.LOWER_INNER_LIP,
        face_detector.CHIN,
    ]
    assert np.all(np.diff(points[order, 1]) > 0)
    assert points[face_detector.NOSE_TIP, 2] < points[face_detector.LEFT_CHEEK, 2]  # the nose is nearer
    for iris, corners in ((face_detector.LEFT_IRIS, (33, 133)), (face_detector.RIGHT_IRIS, (362, 263))):
        assert points[corners[0], 0] < points[iris, 0] < points[corners[1], 0]


def test_landmarks_follow_a_turned_image(landmarker, astronaut):
    matrix = cv2.getRotationMatrix2D((222, 113), 25, 1.0)
    turned = landmarker.landmarks(cv2.warpAffine(astronaut, matrix, (512, 512))).points[:, :2]
    expected = landmarker.landmarks(astronaut).points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(turned - expected).mean() < 2  # px, of a face 90 px wide


def test_no_face_is_an_empty_answer(landmarker):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    images = (skimage.data.coffee(), skimage.data.colorwheel(), skimage.data.immunohistochemistry())
    for image in (noise, np.zeros((7, 5, 3), np.uint8), *images):
        assert landmarker.detect(image) == [] and landmarker.landmarks(image) is None


def test_track_agrees_with_single_images_and_marks_lost_frames(landmarker, astronaut):
    empty = np.zeros_like(astronaut)
    frames = [np.roll(astronaut, shift, axis=1) for shift in (0, 4, 8)] + [empty, astronaut]
    points, scores = landmarker.track(frames)
    assert np.isnan(points[3]).all() and scores[3] == 0 and scores[4] > 0.9
    assert np.abs(points[2, :, 0] - 8 - points[0, :, 0]).mean() < 1.5  # px
    assert np.abs(points[4] - landmarker.landmarks(astronaut).points).mean() < 1


def test_mouth_opening_is_free_of_scale():
    points = np.zeros((2, 478, 3), np.float32)
    points[:, face_detector.CHIN, 1] = [100, 200]
    points[:, face_detector.LOWER_INNER_LIP, 1] = [10, 20]
    np.testing.assert_allclose(face_detector.mouth_opening(points), [0.1, 0.1])


def test_landmarker_travels_to_worker_processes(landmarker):
    landmarker.detect(np.zeros((64, 64, 3), np.uint8))  # networks open
    assert pickle.loads(pickle.dumps(landmarker)).num_threads == landmarker.num_threads


def test_cut_keeps_pixels_where_they_are():
    image = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    same = face_detector.cut(image, face_detector.Region(20, 18, 16, 0.0), 16)
    np.testing.assert_array_equal(same, image[10:26, 12:28])


def test_model_files_of_another_content_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(model_files, "ASSETS", tmp_path)
    (tmp_path / "face_landmarker").mkdir()
    (tmp_path / "face_landmarker" / "face_detector.tflite").write_bytes(b"other")
    with pytest.raises(errors.UserError, match=r"sha256 differs.*reinstall"):
        model_files.find.__wrapped__("face_detector.tflite")


def test_missing_model_files_give_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(model_files, "ASSETS", tmp_path)
    with pytest.raises(errors.UserError, match=r"No such file.*reinstall"):
        model_files.find.__wrapped__("face_detector.tflite")
