"""The marks of a film, by request."""

from avct_jax.marks import credentials, installation, signing_key
from tests.marks import marked_film


def test_marks_are_read_and_nothing_is_kept(client, tmp_path, monkeypatch):
    monkeypatch.setenv(installation.FOLDER_VARIABLE, str(tmp_path / "config"))
    path = marked_film.write(tmp_path / "a.mp4", marked_film.frames(3, (64, 64)))
    ask = lambda content: client.post("/v1/verify", files={"video": ("x", content)})
    plain = ask(path.read_bytes()).json()
    assert plain["state"] == "none" and not plain["marked"] and plain["watermark"]["found"] is False
    credentials.sign(path, credentials.GenerationStatement(None, consent="It is me."), signing_key.own())
    found = ask(path.read_bytes()).json()
    assert found["marked"] and found["state"] == "valid" and found["statement"]["consent"] == "It is me."
    refused = ask(b"text")
    assert refused.status_code == 422 and "no sound or video" in refused.json()["detail"]
    assert not list(client.app.inner.state.sessions._folder.iterdir())
