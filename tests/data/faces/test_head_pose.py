"""Head poses from landmarks and from files."""

import cv2
import numpy as np
import pytest
import skimage.data

from avct_jax import errors
from avct_jax.data.faces import crop, face_alignment_backend, head_pose
from avct_jax.data.faces import face_detector as face


def project(values):
    """The mean head's landmarks as a camera sees them at that pose, with depths in px."""
    values = np.asarray(values, np.float64)
    points, _ = cv2.projectPoints(head_pose.POINTS, values[:3], values[3:], head_pose.CAMERA, None)
    depth = head_pose.POINTS @ cv2.Rodrigues(values[:3])[0][2] * head_pose.FOCAL_LENGTH / values[5]
    landmarks = np.full((face.POINTS, 3), np.nan, np.float32)
    landmarks[head_pose.INDICES] = np.concatenate([points[:, 0], depth[:, None]], -1)
    return landmarks


POSES = [
    (0, 0, 0, 0, 0, 256),
    (0.2, -0.3, 0.1, 20, -10, 300),
    (-0.4, 0.5, -0.3, -40, 30, 180),
    (0, 0, 1, 0, 0, 350),
]


@pytest.mark.parametrize("values", POSES)
def test_pose_is_recovered_from_its_projection(values):
    np.testing.assert_allclose(head_pose.from_landmarks(project(values)), values, atol=2e-2)


@pytest.mark.parametrize("values", POSES)
def test_pose_is_recovered_without_depth(values):
    landmarks = project(values)
    landmarks[:, 2] = np.nan
    np.testing.assert_allclose(head_pose.from_landmarks(landmarks), values, atol=2e-2)


def test_pose_signs_are_openfaces():
    nose = head_pose.INDICES.tolist().index(face.NOSE_TIP)
    still, down, right = (project((rx, ry, 0, 0, 0, 256)) for rx, ry in [(0, 0), (0.3, 0), (0, -0.3)])
    tip = head_pose.INDICES[nose]
    assert down[tip, 1] > still[tip, 1] + 5  # positive about x: nods down
    assert right[tip, 0] > still[tip, 0] + 5  # negative about y: turns to the image's right


def test_pose_of_a_photograph_is_sensible():
    image = skimage.data.astronaut()
    landmarks = face.FaceLandmarker().landmarks(image).points
    square = crop.face_square(landmarks, image.shape)
    rotation, translation = np.split(head_pose.from_landmarks(crop.to_crop(landmarks, square)), 2)
    assert np.abs(rotation).max() < 0.35 and rotation[2] * (landmarks[263, 1] - landmarks[33, 1]) > 0
    assert 175 < translation[2] < 310 and np.abs(translation[:2]).max() < 40


def test_pose_track_fills_lost_frames():
    frames = np.stack([project(POSES[0]), np.full((face.POINTS, 3), np.nan, np.float32), project(POSES[1])])
    found = head_pose.track(frames)
    np.testing.assert_allclose(found[1], (found[0] + found[2]) / 2, atol=1e-4)
    with pytest.raises(errors.UserError, match="no face"):
        head_pose.track(frames[1:2])


def test_pose_range_is_the_networks():
    np.testing.assert_allclose(
        head_pose.normalise(np.stack([head_pose.LOW, head_pose.HIGH])), [[-1] * 6, [1] * 6], atol=1e-6
    )
    values = np.array(POSES, np.float32)
    np.testing.assert_allclose(head_pose.denormalise(head_pose.normalise(values)), values, atol=1e-4)


def write_csv(path, rows, rate, *, success=None):
    success = [1] * len(rows) if success is None else success
    lines = ["frame, timestamp, success, " + ", ".join(head_pose.COLUMNS)]
    for i, row in enumerate(rows):
        lines.append(f"{i + 1}, {i / rate:.3f}, {success[i]}, " + ", ".join(f"{v:.4f}" for v in row))
    path.write_text("\n".join(lines))


def test_pose_csv_is_read_and_resampled(tmp_path):
    rows = np.linspace(POSES[0], POSES[1], 60)
    write_csv(tmp_path / "a.csv", rows, 30)
    found = head_pose.read_poses(tmp_path / "a.csv")
    assert found.shape == (50, 6)  # 2 s
    np.testing.assert_allclose(found[25], rows[30], atol=0.02)
    write_csv(tmp_path / "b.csv", rows, 25)
    np.testing.assert_allclose(head_pose.read_poses(tmp_path / "b.csv"), rows, atol=1e-3)


def test_pose_csv_frames_that_failed_are_filled_in(tmp_path):
    rows = np.linspace(POSES[0], POSES[1], 5)
    broken = rows.copy()
    broken[2] = 99
    write_csv(tmp_path / "a.csv", broken, 25, success=[1, 1, 0, 1, 1])
    np.testing.assert_allclose(head_pose.read_poses(tmp_path / "a.csv"), rows, atol=1e-3)


def test_pose_csv_of_two_people_gives_the_one_seen_most(tmp_path, caplog):
    rows, other = np.linspace(POSES[0], POSES[1], 5), np.full((3, 6), 99.0)
    write_csv(tmp_path / "a.csv", rows, 25)
    write_csv(tmp_path / "b.csv", other, 25)
    both = []
    for number, name in ((0, "a"), (1, "b")):
        head, *lines = (tmp_path / f"{name}.csv").read_text().splitlines()
        both += [f"{line}, {number}" for line in lines]
    both.sort(key=lambda line: int(line.split(",")[0]))
    (tmp_path / "c.csv").write_text("\n".join([head + ", face_id", *both]))
    np.testing.assert_allclose(head_pose.read_poses(tmp_path / "c.csv"), rows, atol=1e-3)
    assert "follows 2 faces: that of face_id 0 is taken" in caplog.text


def write_rows(path, *rows, header="timestamp, face_id, confidence, success"):
    lines = [f"{header}, {', '.join(head_pose.COLUMNS)}"]
    path.write_text("\n".join([*lines, *(", ".join(map(str, row)) for row in rows)]))


def test_pose_csv_gives_the_face_that_is_seen_longest_and_most_surely(tmp_path):
    one, other = POSES[0], POSES[1]
    several = [(i / 25, face, sure, good, *at) for i in range(6) for face, sure, good, at in (
        (0, 0.99, 0, one), (1, 0.9, 1, other), (2, 0.5, 1, one))]  # fmt: skip
    write_rows(tmp_path / "a.csv", *several)
    np.testing.assert_allclose(head_pose.read_poses(tmp_path / "a.csv"), np.tile(other, (6, 1)), atol=1e-3)


def test_pose_csv_of_a_face_that_comes_late_keeps_the_videos_clock(tmp_path):
    late = [(i / 25, 1, 0.9, 1, *(POSES[0] if i < 8 else POSES[1])) for i in range(4, 12)]
    write_rows(tmp_path / "a.csv", (0, 0, 0.9, 1, *POSES[1]), *late)
    wanted = np.repeat([POSES[0], POSES[1]], [8, 4], axis=0)
    np.testing.assert_allclose(head_pose.read_poses(tmp_path / "a.csv"), wanted, atol=1e-3)


@pytest.mark.parametrize("first", ["timestamp", "frame"])
def test_pose_csv_out_of_order_is_sorted(first, tmp_path, caplog):
    rows = np.linspace(POSES[0], POSES[1], 5)
    scale = 0.04 if first == "timestamp" else 1
    shuffled = [(scale * i, *rows[i]) for i in (3, 0, 4, 2, 1)]
    write_rows(tmp_path / "a.csv", *shuffled, header=first)
    np.testing.assert_allclose(head_pose.read_poses(tmp_path / "a.csv"), rows, atol=1e-3)
    assert "not in order of time" in caplog.text


def test_pose_csv_in_milliseconds_is_refused(tmp_path):
    write_rows(tmp_path / "a.csv", *((40 * i, 0, 0.9, 1, *POSES[0]) for i in range(50)))
    with pytest.raises(errors.UserError, match="every 40 s; timestamps must be in seconds"):
        head_pose.read_poses(tmp_path / "a.csv")


def test_pose_csv_of_other_programs_is_read(tmp_path):
    """Semicolons of a spreadsheet, and what C++ writes for no number."""
    rows = np.linspace(POSES[0], POSES[1], 5)
    write_csv(tmp_path / "a.csv", rows, 25)
    lines = (tmp_path / "a.csv").read_text().replace(", ", "; ").splitlines()
    lines[3] = "; ".join([*lines[3].split("; ")[:3], *["-nan(ind)"] * 6])
    (tmp_path / "a.csv").write_text("\n".join(lines))
    np.testing.assert_allclose(head_pose.read_poses(tmp_path / "a.csv"), rows, atol=1e-3)


def test_pose_array_is_read(tmp_path):
    np.save(tmp_path / "a.npy", np.array(POSES))
    np.testing.assert_allclose(head_pose.read_poses(tmp_path / "a.npy"), POSES, atol=1e-6)


@pytest.mark.parametrize(
    "values, reason",
    [
        (np.zeros((4, 5)), "shape"),
        (np.zeros((0, 6)), "shape"),
        (np.full((4, 6), np.nan), "finite"),
        (np.full((4, 6), "x"), "finite"),
        (np.full((4, 6), 10.0), "radians"),
        (np.zeros((4, 6)), "depth"),
    ],
)
def test_pose_array_that_is_none_is_refused(tmp_path, values, reason):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(errors.UserError, match=reason) as raised:
        head_pose.read_poses(tmp_path / "a.npy")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("a.npy", b"junk", "numpy"),
        ("a.csv", b"a,b\n1,2", "lacks the column"),
        ("a.csv", b"a,b\n1,x", "no OpenFace csv"),
        ("a.csv", b"a,b\n1,2,3", "no OpenFace csv"),
        ("a.csv", b"a,b\n", "no rows"),
        ("a.csv", b"\xff\xfe\x00", "no rows"),
        ("a.txt", b"1", "OpenFace csv"),
    ],
)
def test_pose_file_that_is_none_is_refused(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.UserError, match=reason):
        head_pose.read_poses(tmp_path / name)


def test_pose_crop_and_mouth_serve_for_the_other_backends_points():
    image = skimage.data.astronaut()
    points = face.FaceLandmarker().landmarks(image).points
    mapped = face_alignment_backend.to_mesh(points[list(face_alignment_backend.MESH)])
    square, other = (crop.face_square(p, image.shape) for p in (points, mapped))
    assert np.abs(np.subtract(square, other)).max() < 0.12 * square.size
    mine, theirs = (head_pose.from_landmarks(crop.to_crop(p, square)) for p in (points, mapped))
    np.testing.assert_allclose(mine[:3], theirs[:3], atol=0.2)
    assert abs(float(face.mouth_opening(points) - face.mouth_opening(mapped))) < 0.02


def test_pose_backend_that_is_missing_gives_the_remedy(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "face_alignment", None)
    with pytest.raises(errors.UserError, match="pip install"):
        face_alignment_backend.FaceAlignmentLandmarker()


def test_sway_begins_at_the_given_pose_and_returns_to_it():
    around = np.array([0.1, 0, 0, 5, 5, 250], np.float32)
    poses = np.full((400, 6), 3, np.float32)
    poses[100:120] += 1
    swaying = head_pose.sway(poses, around)
    np.testing.assert_allclose(swaying[:100], np.repeat(around[None], 100, 0), atol=1e-4)
    assert swaying[100, 0] > around[0] + 0.9
    np.testing.assert_allclose(swaying[-1], around, atol=1e-2)
    twice = head_pose.sway(poses, around, scale=2.0)
    np.testing.assert_allclose(twice - around, 2 * (swaying - around), atol=1e-4)
