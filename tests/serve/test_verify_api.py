"""The marks of a film, by request."""

import numpy as np
import pytest

from avct_jax.marks import credentials, installation, signing_key
from avct_jax.serve import settings
from tests.marks import marked_film
from tests.serve import serve_parts


def test_marks_are_read_and_nothing_is_kept(client, tmp_path, monkeypatch):
    monkeypatch.setenv(installation.FOLDER_VARIABLE, str(tmp_path / "config"))
    path = marked_film.write(tmp_path / "a.mp4", marked_film.frames(3, (64, 64)))
    ask = lambda content: client.post("/v1/verify", files={"video": ("x", content)})
    plain = ask(path.read_bytes()).json()
    assert plain["state"] == "none" and not plain["marked"] and plain["watermark"]["found"] is False
    credentials.sign(path, credentials.GenerationStatement(None, consent="It is me."), signing_key.own())
    found = ask(path.read_bytes()).json()
    assert found["marked"] and found["state"] == "valid" and found["statement"]["consent"] == "It is me."
    assert "consent: It is me." in found["lines"]
    refused = ask(b"text")
    assert refused.status_code == 422 and "no sound or video" in refused.json()["detail"]
    assert not list(client.app.inner.state.sessions._folder.iterdir())


def test_a_film_of_more_than_other_requests_may_have_is_taken(client, tmp_path):
    path = tmp_path / "a.mp4"
    noise = np.random.default_rng(0).integers(0, 256, (4, 256, 256, 3)).astype(np.uint8)
    content = marked_film.write(path, noise).read_bytes()
    assert len(content) > settings.Limits().other
    answer = client.post("/v1/verify", files={"video": ("x", content)})
    assert answer.status_code == 200 and answer.json()["state"] == "none"


@pytest.mark.parametrize("client", [{"limits": serve_parts.limits(film=1000)}], indirect=True)
def test_a_film_that_is_too_large_is_refused(client):
    answer = client.post("/v1/verify", files={"video": ("x", b"x" * 2000)})
    assert answer.status_code == 413 and "the video has more than 1000 bytes" in answer.json()["detail"]


def test_a_field_that_is_not_known_is_refused(client):
    for path in ("/v1/verify", "/v1/faces", "/v1/sessions"):
        answer = client.post(
            path, files={"video" if "verify" in path else "image": ("x", b"x")}, data={"a": "b"}
        )
        assert answer.status_code == 422 and answer.json()["detail"].startswith("there is no field 'a'; the")
