"""Which face of a picture is animated, and what is told of it."""

import numpy as np
import PIL.Image
import pytest

import avct_jax
from avct_jax import errors
from avct_jax.animator import base, inputs
from avct_jax.animator import portrait as portrait_module
from avct_jax.cli import main
from tests import portraits


@pytest.fixture
def picture(tmp_path, monkeypatch):
    """A file of two faces, in the present folder."""
    monkeypatch.chdir(tmp_path)
    PIL.Image.fromarray(portraits.two_faces()).save("two.png")
    return "two.png"


def read(image, **options):
    notes = []
    found = portrait_module.read_portrait(
        image, portrait_module.landmarker("mediapipe"), notes, least=10, **options
    )
    return found, notes


def test_a_face_is_read_by_number_or_place_and_the_note_says_which(picture):
    largest, said = read(picture)
    assert said[0] == "2 faces in 'two.png': animating the largest; face picks another"
    for face, left in ((1, True), (2, False), ((90.0, 130.0), True), ((310.0, 130.0), False)):
        found, notes = read(picture, face=face)
        assert (found.points[:, 0].mean() < 180) == left
        assert notes[0] == f"2 faces in 'two.png': animating number {1 if left else 2}"
        assert left or found.square == largest.square


def test_faces_are_listed_in_python():
    faces = avct_jax.faces(portraits.two_faces())
    assert [face.number for face in faces] == [1, 2] and faces[0].box[2] < 180 < faces[1].box[0]
    assert avct_jax.faces(np.full((64, 64, 3), 90, np.uint8)) == []


@pytest.mark.parametrize("face", [0, -1, True, "left", (1,), (1, 2, 3), (1, float("nan")), 1.5])
def test_what_names_no_face_is_refused(face):
    with pytest.raises(errors.UserError, match="the face is"):
        base.Request(face=face).checked()


def test_a_cropped_image_has_no_choice():
    with pytest.raises(errors.UserError, match="taken whole"):
        base.Request(face=1, cropped=True).checked()


def test_a_face_that_is_missing_is_refused_before_the_work(picture):
    inputs.look(picture, None, base.Request(face=2))
    with pytest.raises(errors.UserError, match=r"face 3 is not in 'two.png', which has 2 faces"):
        inputs.look(picture, None, base.Request(face=3))


def test_list_faces_says_where_they_are_and_writes_them_numbered(picture, tmp_path, capsys):
    assert main.main(["animate", "--image", picture, "--list-faces"]) == 0
    one, two, wrote = capsys.readouterr().out.splitlines()
    assert one.startswith("face 1: x ") and two.startswith("face 2: x ") and "two_faces.png" in wrote
    drawn = np.asarray(PIL.Image.open(tmp_path / "two_faces.png"))
    changed = (drawn != portraits.two_faces()).any(-1)
    assert drawn.shape == portraits.two_faces().shape and 0.01 < changed.mean() < 0.3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--list-faces", "--output", "a.mp4"], "--list-faces makes no video; leave --output out"),
        (["--list-faces", "--image", "none.png"], "none.png"),
        (["--face", "0", "--audio", "a"], "--face: '0' must be a face's number, from 1, or a place in it"),
        (["--face", "1,2,3", "--audio", "a"], "--face: '1,2,3' must be a face's number"),
        (["--face", "2"], "the following arguments are required: --audio"),
    ],
)
def test_wrong_words_are_refused_in_one_line(words, said, picture, capsys):
    words = words if "--image" in words else ["--image", picture, *words]
    assert main.main(["animate", *words]) == main.REFUSED
    assert said in (shown := capsys.readouterr().err) and shown.count("\n") == 1


def test_size_follows_the_portrait():
    sizes = [portrait_module.size_for(side) for side in (40, 300, 450, 3000)]
    assert sizes == [256, 256, 448, 512]
