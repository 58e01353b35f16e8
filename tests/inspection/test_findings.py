"""What is found in files: right facts, and one picture of them."""

import numpy as np
import PIL.Image
import pytest
import skimage.data
from scipy.io import wavfile

from avct_jax import errors
from avct_jax.data.speech import mesh_features
from avct_jax.inspection import findings, sheet
from tests import portraits


@pytest.fixture
def portrait(tmp_path):
    PIL.Image.fromarray(skimage.data.astronaut()).save(tmp_path / "face.png")
    return tmp_path / "face.png"


def test_kinds_are_told_apart(portrait, tmp_path):
    wavfile.write(tmp_path / "a.wav", 16000, np.zeros(8000, np.int16))
    assert findings.kind_of(portrait) == "image" and findings.kind_of(tmp_path / "a.wav") == "sound"
    (tmp_path / "a.txt").write_text("words")
    with pytest.raises(errors.UserError, match=r"a\.txt"):
        findings.kind_of(tmp_path / "a.txt")


def test_portrait_is_described(portrait):
    found = findings.of_files([portrait])
    said = "\n".join(found.lines)
    assert "face.png: 512x512 px, 1 face" in said
    assert "the square: 183 px from 135,20; the video is 256 px by default" in said
    assert "mouth: open" in said and found.sound is None and found.curves is None
    drawn = np.asarray(sheet.draw(found))
    assert drawn.shape[1] == sheet.LEAST
    assert (drawn == sheet.SQUARE).all(-1).sum() > 500 and (drawn == sheet.MESH).all(-1).sum() > 500


def test_several_faces_are_counted(tmp_path):
    PIL.Image.fromarray(portraits.two_faces()).save(tmp_path / "two.png")
    assert "two.png: 436x256 px, 2 faces" in findings.of_files([tmp_path / "two.png"]).lines


def test_two_portraits_are_refused(portrait):
    with pytest.raises(errors.UserError, match="files of image and image are given; give one, or a portrait"):
        findings.of_files([portrait, portrait])


def test_phonemes_are_spikes_of_posteriors():
    logs = np.full((4, 2, len(mesh_features.TOKENS)), -10.0)
    logs[..., 0] = -1.0
    for step, token in ((1, "m"), (2, "m"), (4, "<wb>"), (6, "t")):
        logs.reshape(8, -1)[step, mesh_features.TOKENS.index(token)] = 0.0
    assert findings.spikes(logs) == [("M", 0.03), ("|", 0.09), ("T", 0.13)]


def test_blinks_are_counted_where_they_begin():
    shut = np.zeros(100)
    shut[10:14] = shut[50:53] = 0.9
    shut[70] = 0.3
    assert findings.blinks(shut) == [0.4, 2.0]


def test_curves_of_a_film_are_those_of_its_landmarks():
    """A mouth that opens, in a head that turns; one frame without a face."""
    _, points = portraits.astronaut(256)
    film = np.repeat(points[None].astype(np.float32), 5, 0)
    film[2] = np.nan
    film[3, 14, 1] += 0.1
    found = findings._measured(film)
    assert np.isnan(found.opening[2]) and np.isfinite(found.pose[[0, 1, 3, 4]]).all()
    unit = np.linalg.norm(points[33] - points[263])
    assert found.opening[3] - found.opening[0] == pytest.approx(0.1 / unit, rel=0.15)


def test_sound_and_curves_are_drawn():
    sound = findings.HeardSound(
        np.sin(np.arange(32000) / 8).astype(np.float32), [("M", 0.5), ("|", 1.0)], np.arange(50) > 40
    )
    pose = np.stack([np.linspace(-5, 5, 50)] * 3, 1)
    curves = findings.FaceCurves(np.linspace(0, 0.2, 50), pose, np.zeros(50))
    drawn = np.asarray(sheet.draw(findings.Findings(("a line",), None, sound, curves)))
    for colour in (sheet.BLUE, sheet.ORANGE, sheet.GREEN, sheet.SILENCE):
        assert (drawn == colour).all(-1).sum() > 100
