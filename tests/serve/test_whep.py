"""Live by WebRTC: both ends are aiortc's."""

import asyncio

import aiortc
import httpx2
import numpy as np
import pytest

from tests.serve import serve_parts


def session(client):
    """Open a stream; its id."""
    files, data = {"image": ("x", serve_parts.png())}, {"consent": serve_parts.CONSENT}
    return client.post("/v1/sessions", files=files, data=data).json()["id"]


async def offering(*kinds):
    """A connection that wants to watch, and its offer."""
    connection = aiortc.RTCPeerConnection()
    tracks = {}
    connection.on("track", lambda track: tracks.update({track.kind: track}))
    for kind in kinds:
        connection.addTransceiver(kind, direction="recvonly")
    await connection.setLocalDescription(await connection.createOffer())
    return connection, tracks


async def watch(client, name, *kinds):
    """Let a stream be watched; the connection, its tracks, and where to hang up."""
    connection, tracks = await offering(*kinds)
    sdp = {"content-type": "application/sdp"}
    answer = await client.post(f"/whep/{name}", content=connection.localDescription.sdp, headers=sdp)
    assert answer.status_code == 201 and answer.headers["content-type"] == "application/sdp", answer.text
    await connection.setRemoteDescription(aiortc.RTCSessionDescription(answer.text, "answer"))
    return connection, tracks, answer.headers["location"]


def with_server(tmp_path, do, **options):
    """Run `do(client, state)` while a server is there."""

    async def whole(port, state):
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            await asyncio.wait_for(do(client, state), 120)

    with serve_parts.running(tmp_path, **options) as (port, state):
        asyncio.run(whole(port, state))


async def opened(client):
    files, data = {"image": ("x", serve_parts.png())}, {"consent": serve_parts.CONSENT}
    return (await client.post("/v1/sessions", files=files, data=data)).json()["id"]


async def until(true):
    while not true():
        await asyncio.sleep(0.02)


def test_images_and_audio_arrive_and_hanging_up_frees_all(tmp_path):
    async def do(client, state):
        name = await opened(client)
        connection, tracks, address = await watch(client, name, "video", "audio")
        first = await tracks["video"].recv()
        assert (first.width, first.height) == (32, 32)
        await client.post(f"/v1/sessions/{name}/audio", files={"audio": serve_parts.wav(1.0)})
        loudest, heard = 0, 0
        while loudest < 4000:  # the tone is of 8000; silence before it
            frame = await tracks["audio"].recv()
            loudest, heard = max(loudest, int(np.abs(frame.to_ndarray()).max())), heard + 1
        assert heard > 1 and state.peers.count == 1
        seen = [await tracks["video"].recv() for _ in range(10)]
        steps = np.diff([frame.pts for frame in seen])
        assert set(steps) <= {3600, 7200} and seen[0].time_base.denominator == 90_000  # 25 a second
        assert (await client.delete(address)).status_code == 204
        await until(lambda: state.peers.count == 0)
        assert (await client.delete(address)).status_code == 404
        assert state.sessions.count == 1  # the stream itself goes on
        await connection.close()

    with_server(tmp_path, do)


def test_a_watcher_that_vanishes_frees_the_stream_for_the_next(tmp_path):
    async def do(client, state):
        name = await opened(client)
        first, tracks, _ = await watch(client, name, "video", "audio")
        await tracks["video"].recv()
        await first.close()  # without a word to the server
        await until(lambda: state.peers.count == 0)
        second, tracks, _ = await watch(client, name, "video")
        assert (await tracks["video"].recv()).width == 32
        await second.close()

    with_server(tmp_path, do)


def test_closing_the_stream_ends_its_watcher(tmp_path):
    async def do(client, state):
        name = await opened(client)
        connection, tracks, _ = await watch(client, name, "audio")
        await tracks["audio"].recv()
        await client.delete(f"/v1/sessions/{name}")
        await until(lambda: state.peers.count == 0)
        with pytest.raises(aiortc.mediastreams.MediaStreamError):
            while True:
                await tracks["audio"].recv()
        await connection.close()

    with_server(tmp_path, do)


def test_a_watcher_that_never_connects_is_let_go(tmp_path):
    async def do(client, state):
        name = await opened(client)
        connection, _ = await offering("video")
        sdp = {"content-type": "application/sdp"}
        answer = await client.post(f"/whep/{name}", content=connection.localDescription.sdp, headers=sdp)
        assert answer.status_code == 201 and state.peers.count == 1
        await until(lambda: state.peers.count == 0)
        await connection.close()

    with_server(tmp_path, do, limits=serve_parts.limits(peer_seconds=0.1))


@pytest.mark.parametrize(
    "body, kind, status, line",
    [
        ("v=0", "application/sdp", 422, "no SDP offer that can be answered"),
        ("", "application/sdp", 422, "no SDP offer that can be answered"),
        ("{}", "application/json", 415, "content-type application/sdp"),
        ("x" * 200_000, "application/sdp", 413, "200000 bytes"),
    ],
)
def test_what_is_no_offer_is_told_in_a_line(tmp_path, body, kind, status, line):
    with serve_parts.new_client(tmp_path) as client:
        answer = client.post(f"/whep/{session(client)}", content=body, headers={"content-type": kind})
        assert answer.status_code == status and line in answer.json()["detail"]
        assert "\n" not in answer.json()["detail"] and client.app.inner.state.peers.count == 0


def test_unknown_streams_and_watchers_are_told(tmp_path):
    with serve_parts.new_client(tmp_path) as client:
        answer = client.post("/whep/x", content="v=0", headers={"content-type": "application/sdp"})
        assert answer.status_code == 404 and "no such stream" in answer.json()["detail"]
        assert client.delete("/whep/x/y").status_code == 404
