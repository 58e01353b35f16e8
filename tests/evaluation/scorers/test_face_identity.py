"""Whose face it is: distances of known descriptors, and dlib's network on a portrait."""

import sys

import numpy as np
import pytest
import skimage.data

from avct_jax import errors
from avct_jax.data.faces import face_detector
from avct_jax.evaluation import evaluate
from avct_jax.evaluation.report import markdown
from avct_jax.evaluation.scorers import face_identity
from avct_jax.metrics.identity import identity_distance
from tests import made_videos

PORTRAIT = skimage.data.astronaut()[:300, 70:370]


def test_identity_distance_of_known_descriptors():
    real = np.random.default_rng(0).normal(size=(6, 128)).astype(np.float32)
    moved = real.copy()
    moved[:, 3] += np.array([0, 0.3, 0, 0.3, 0, 0.6], np.float32)
    assert identity_distance(real, real) == 0
    assert identity_distance(moved, real) == pytest.approx(0.2, abs=1e-6)
    assert identity_distance(moved[:4], real) == pytest.approx(0.15, abs=1e-6)


def test_a_lost_face_counts_as_the_widest_distance_and_a_real_one_is_not_asked_for():
    real = np.zeros((4, 2), np.float32)
    made = np.array([[0, 0.5], [0, 0], [np.nan, np.nan], [0, 0]], np.float32)
    assert identity_distance(made, real) == pytest.approx(0.25)
    real[0] = np.nan
    assert identity_distance(made, real) == 0
    assert np.isnan(identity_distance(np.full((4, 2), np.nan), real))


@pytest.fixture(scope="module")
def look():
    identify, landmarker = face_identity.load(face_identity.installed()), face_detector.FaceLandmarker()
    return lambda image: identify(image, landmarker.follow(image, None).points)


def test_one_face_is_itself_wherever_it_is_and_however_coarse(look):
    seen = look(PORTRAIT)
    assert seen.shape == (face_identity.SIZE,) and np.linalg.norm(seen) > 1
    there = skimage.data.astronaut()[:340, 40:380]
    assert np.linalg.norm(look(there) - seen) < 0.2
    narrow = np.repeat(PORTRAIT[:, ::2], 2, axis=1)[:, 10:]
    assert np.linalg.norm(look(narrow) - seen) < 0.3


def test_identity_is_measured_of_videos_and_no_column_without_a_network(tmp_path):
    mouth, lost = made_videos.opening(0), range(0, 30, 2)
    made_videos.write(tmp_path / "real/a.mp4", mouth)
    made_videos.write(tmp_path / "near/a.mp4", np.clip(mouth + 0.1, 0, 1), mouth)
    made_videos.write(tmp_path / "far/a.mp4", np.clip(mouth + 0.1, 0, 1)[::-1], mouth)
    made_videos.write(tmp_path / "lost/a.mp4", np.clip(mouth + 0.1, 0, 1), mouth, lost=lost)
    generated = {name: tmp_path / name for name in ("near", "far", "lost")}
    networks = made_videos.networks()
    report = evaluate.evaluate(generated, tmp_path / "real", tmp_path / "out", networks)
    found = {s["key"]: s["means"]["identity"] for s in report["systems"]}
    assert found["ground truth"] == 0 < found["near"] < found["far"]
    assert found["lost"] > 0 < found["still face"] and "identity" in markdown.table(report)
    nobody = networks._replace(identify=None)
    report = evaluate.evaluate(generated, tmp_path / "real", tmp_path / "other", nobody)
    assert {s["means"]["identity"] for s in report["systems"]} == {None}
    assert "identity" not in markdown.table(report)


def test_no_landmarks_no_descriptor():
    nobody = np.full((478, 3), np.nan, np.float32)
    assert np.isnan(face_identity.load(face_identity.installed())(PORTRAIT, nobody)).all()


def test_refusals_say_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(errors.UserError, match="check --identity"):
        face_identity.load(tmp_path / "none.dat")
    (tmp_path / "wrong.dat").write_bytes(b"no network at all")
    with pytest.raises(errors.UserError, match=r"is not dlib_face_recognition.*name that file"):
        face_identity.load(tmp_path / "wrong.dat")
    monkeypatch.setattr(face_identity, "PACKAGE", "no_such_package")
    with pytest.raises(errors.UserError, match="pip install"):
        face_identity.installed()
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(errors.UserError, match="needs dlib: pip install"):
        face_identity.load(tmp_path / "wrong.dat")
