"""Pose boxes against the reference's images and against OpenCV."""

import pathlib

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.layers.geometry import pose_image

GOLDENS = pathlib.Path(__file__).parents[2] / "goldens" / "inference.npz"
LOW = np.asarray((-0.6, -0.6, -0.6, -128.0, -128.0, 128.0))
HIGH = np.asarray((0.6, 0.6, 0.6, 128.0, 128.0, 384.0))


def random_poses(count: int, reach: float = 1.0) -> np.ndarray:
    x = np.random.default_rng(0).uniform(-reach, reach, (count, 6))
    return ((x + 1) / 2 * (HIGH - LOW) + LOW).astype(np.float32)


def test_pose_image_equals_the_reference_images():
    golden = np.load(GOLDENS)
    boxes = np.unpackbits(golden["pose_boxes"], axis=-1) * 255
    np.testing.assert_array_equal(pose_image.draw_pose_boxes(golden["poses"][:16]), boxes)
    np.testing.assert_array_equal(pose_image.draw_pose_boxes(golden["first_pose"]), golden["first_box"])


@pytest.mark.skipif(int(cv2.__version__.split(".")[0]) < 5, reason="OpenCV 4 cuts lines elsewhere")
@pytest.mark.parametrize("reach", [0.4, 1.0, 3.0])
def test_pose_image_equals_opencv(reach):
    poses = random_poses(256, reach)
    corners = pose_image.project_box(poses)
    images = np.zeros((len(poses), 256, 256), np.float32)
    for image, points in zip(images, corners.tolist(), strict=True):
        for a, b in pose_image.EDGES.tolist():
            cv2.line(image, points[a], points[b], 255, pose_image.WIDTH)
    np.testing.assert_array_equal(pose_image.draw_corners(corners), images)


def test_pose_image_projects_as_opencv():
    poses = random_poses(64)
    camera = np.asarray([[pose_image.FOCAL, 0, 128], [0, pose_image.FOCAL, 128], [0, 0, 1]])
    for pose, corners in zip(poses.astype(float), pose_image.project_box(poses), strict=True):
        points, _ = cv2.projectPoints(pose_image.CORNERS, pose[:3], pose[3:], camera, None)
        np.testing.assert_array_equal(corners, points.reshape(-1, 2).astype(np.int32))


def test_pose_image_of_traced_poses_is_that_of_concrete_poses():
    poses = random_poses(8)
    traced = jax.jit(jax.vmap(pose_image.draw_pose_boxes))(poses)
    np.testing.assert_array_equal(traced, pose_image.draw_pose_boxes(poses))


def test_pose_image_survives_depths_at_and_behind_the_camera():
    depths = jnp.asarray([-300.0, -100.0, 0.0, 1e-9, 75.0])
    poses = jnp.concatenate([jnp.zeros((5, 5)), depths[:, None]], 1)
    images = np.asarray(pose_image.draw_pose_boxes(poses))
    assert set(np.unique(images)) <= {0.0, 255.0}


def test_pose_image_of_a_half_sized_image_has_the_box_in_the_same_place():
    poses = random_poses(16)
    small, large = (pose_image.project_box(poses, size) for size in (128, 256))
    assert np.abs(2 * small - large).max() < 2
