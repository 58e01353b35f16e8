"""Whose face it is: distances of known descriptors, and dlib's network on a portrait."""

import sys

import numpy as np
import pytest
import skimage.data

from avct_jax import errors
from avct_jax.data import face
from avct_jax.evaluation import identity
from avct_jax.metrics.identity import identity_distance

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
    identify, landmarker = identity.load(identity.installed()), face.FaceLandmarker()
    return lambda picture: identify(picture, landmarker.follow(picture, None).points)


def test_one_face_is_itself_wherever_it_is_and_nobody_else_by_its_colours_turned(look):
    seen = look(PORTRAIT)
    assert seen.shape == (identity.SIZE,) and np.linalg.norm(seen) > 1
    there = skimage.data.astronaut()[:340, 40:380]
    assert np.linalg.norm(look(there) - seen) < 0.2
    narrow = np.repeat(PORTRAIT[:, ::2], 2, axis=1)[:, 10:]
    assert np.linalg.norm(look(narrow) - seen) < 0.3


def test_no_landmarks_no_descriptor():
    nobody = np.full((468, 3), np.nan, np.float32)
    assert np.isnan(identity.load(identity.installed())(PORTRAIT, nobody)).all()


def test_refusals_say_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(errors.UserError, match="check --identity"):
        identity.load(tmp_path / "none.dat")
    (tmp_path / "wrong.dat").write_bytes(b"no network at all")
    with pytest.raises(errors.UserError, match=r"is not dlib_face_recognition.*name that file"):
        identity.load(tmp_path / "wrong.dat")
    monkeypatch.setattr(identity, "PACKAGE", "no_such_package")
    with pytest.raises(errors.UserError, match="pip install"):
        identity.installed()
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(errors.UserError, match="needs dlib: pip install"):
        identity.load(tmp_path / "wrong.dat")
