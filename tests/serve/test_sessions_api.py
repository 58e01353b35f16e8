"""Live streams by requests, watched elsewhere."""

import json

import numpy as np
import pytest

from avct_jax.serve.streams import stream_protocol
from tests.serve import serve_parts
from tests.serve.serve_parts import said
from tests.serve.test_stream_socket import ENDED, refusal, take


def open_session(client, **changed):
    fields = {"consent": serve_parts.CONSENT, **changed}
    image = fields.pop("image", serve_parts.png())
    return client.post("/v1/sessions", files={"image": ("../../etc/x", image)}, data=fields)


def test_a_stream_is_opened_spoken_to_watched_and_closed(client):
    answer = open_session(client)
    assert answer.status_code == 201
    opened = answer.json()
    assert (opened["size"], opened["notes"], opened["consent"]) == (
        32,
        ["drawn in grey: image.png"],
        serve_parts.CONSENT,
    )
    address = f"/v1/sessions/{opened['id']}"
    with serve_parts.connect(client) as socket:
        assert serve_parts.start(socket, session=opened["id"])["session"] == opened["id"]
        heard = client.post(f"{address}/audio", files={"audio": serve_parts.wav(0.6)})
        assert heard.status_code == 202 and heard.json() == {"seconds": 0.6}
        _, audio, _ = take(socket, ENDED)
        assert len(audio) == 15 and np.abs(said(audio)).max() > 7000
        assert client.get(address).json()["latency"]["sent"] > 15
    assert client.get(address).status_code == 200  # it goes on without a watcher, for a while
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == client.delete(address).status_code == 404


def test_an_interruption_by_request(client):
    name = open_session(client).json()["id"]
    with serve_parts.connect(client) as socket:
        serve_parts.start(socket, session=name)
        socket.send_bytes(np.full(16000 * 8, 9000, np.int16).tobytes())
        take(socket, lambda row: row[2] & stream_protocol.SPEAKING)
        assert client.post(f"/v1/sessions/{name}/interrupt").status_code == 204
        take(socket, lambda row: not row[2] & stream_protocol.SPEAKING)


def test_texts_and_directions_by_request(client):
    name = open_session(client, mouth="1.5").json()["id"]
    assert serve_parts.OPENED[-1]["mouth"] == 1.5 and serve_parts.OPENED[-1]["size"] == 256
    with serve_parts.connect(client) as socket:
        serve_parts.start(socket, session=name)
        assert client.post(f"/v1/sessions/{name}/text", data={"text": "One. Two"}).status_code == 202
        _, audio, _ = take(socket, ENDED)
        assert said(audio).tolist() == [100] * 6400 + [200] * 6400
    stream = client.app.inner.state.sessions.get(name).stream.stream
    assert client.post(f"/v1/sessions/{name}/adjust", data={"blink": "0"}).status_code == 204
    assert stream.scales.blink == 0
    wrongs = (
        ({"blink": "5"}, "blink is 5.0"),
        ({"blink": "x"}, "blink: "),
        ({"expression": "smile=2"}, "smile is '2'"),
        ({}, "give one of head_motion, blink"),
    )
    for wrong, line in wrongs:
        answer = client.post(f"/v1/sessions/{name}/adjust", data=wrong)
        assert answer.status_code == 422 and line in answer.json()["detail"]


def test_one_watches_at_a_time_others_may_speak(client):
    name = open_session(client).json()["id"]
    with serve_parts.connect(client) as watcher:
        serve_parts.start(watcher, session=name)
        take(watcher, lambda row: True)
        with serve_parts.connect(client) as second:
            serve_parts.start(second, session=name)
            assert "watched already" in refusal(second)[0]
        with serve_parts.connect(client) as speaker:
            serve_parts.start(speaker, session=name, watch=False)
            speaker.send_bytes(serve_parts.samples(0.4).tobytes())
            speaker.send_text(json.dumps({"type": "flush"}))
            _, audio, _ = take(watcher, ENDED)
            np.testing.assert_array_equal(said(audio), serve_parts.samples(0.4))


def test_closing_a_stream_tells_its_watcher(client):
    name = open_session(client).json()["id"]
    with serve_parts.connect(client) as socket:
        serve_parts.start(socket, session=name)
        client.delete(f"/v1/sessions/{name}")
        with pytest.raises(Exception, match="the stream was closed"):
            take(socket, lambda row: False)


@pytest.mark.parametrize("client", [{"limits": serve_parts.limits(lonely_seconds=0.1)}], indirect=True)
def test_a_stream_that_nobody_watches_is_closed(client):
    name = open_session(client).json()["id"]
    serve_parts.wait_until(lambda: client.get(f"/v1/sessions/{name}").status_code == 404)
    assert not list(client.app.inner.state.sessions._folder.iterdir())


@pytest.mark.parametrize(
    "changed, status, line",
    [
        ({"consent": " "}, 422, "say in `consent` who"),
        ({"image": b"text"}, 422, "is not an image"),
        ({"size": "1024"}, 422, "no face was found"),
        ({"size": "x"}, 422, "size: "),
    ],
)
def test_what_is_wrong_is_told_in_a_line(client, changed, status, line):
    answer = open_session(client, **changed)
    assert answer.status_code == status and line in answer.json()["detail"]
    assert "/tmp" not in answer.text
    assert not list(client.app.inner.state.sessions._folder.iterdir())


def test_full_is_told_with_a_time(client):
    for _ in range(2):
        assert open_session(client).status_code == 201
    answer = open_session(client)
    assert (
        answer.status_code == 429 and answer.headers["retry-after"] and "2 streams" in answer.json()["detail"]
    )
