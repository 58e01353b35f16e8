"""The faces of a picture, by request."""

import io

import numpy as np
import PIL.Image

import avct_jax
from tests import portraits
from tests.serve import serve_parts


def find(client, content):
    return client.post("/v1/faces", files={"image": ("x", content)})


def test_two_faces_are_found_from_left_to_right(client):
    image, _ = portraits.astronaut(256)
    group = np.concatenate([image, image[:, ::-1]], 1)
    file = io.BytesIO()
    PIL.Image.fromarray(group).save(file, "png")
    answer = find(client, file.getvalue()).json()
    assert (answer["width"], answer["height"]) == (512, 256)
    known = avct_jax.faces(group)
    assert [face["number"] for face in answer["faces"]] == [1, 2] and len(known) == 2
    np.testing.assert_allclose(
        [face["box"] for face in answer["faces"]], [face.box for face in known], atol=0.01
    )
    assert [face["largest"] for face in answer["faces"]] == [face.largest for face in known]
    assert not list(client.app.inner.state.sessions._folder.iterdir())


def test_a_picture_without_a_face_has_none(client):
    assert find(client, serve_parts.png()).json() == {"width": 64, "height": 64, "faces": []}


def test_what_is_no_picture_is_told(client):
    answer = find(client, b"text")
    assert answer.status_code == 422 and "is not an image" in answer.json()["detail"]
    assert not list(client.app.inner.state.sessions._folder.iterdir())
