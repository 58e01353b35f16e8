"""A server on a port goes on whatever its clients do, and frees what was theirs."""

import asyncio
import contextlib
import json
import pathlib
import socket
import struct
import threading
from concurrent import futures

import av
import fastapi
import numpy as np
import pytest
from websockets import exceptions
from websockets.sync import client as websocket

from avct_jax import errors
from avct_jax.live import async_stream, frame_stream
from avct_jax.serve import app, server, settings
from avct_jax.serve.streams import image_coders, stream_socket
from tests.live import live_parts
from tests.serve import serve_parts


def connect(port, **options):
    """A client as others write them."""
    return websocket.connect(f"ws://127.0.0.1:{port}/v1/stream", max_size=None, compression=None, **options)


def start(connection):
    """Open a stream; the server's first message."""
    connection.send(json.dumps({"type": "start", "consent": serve_parts.CONSENT}))
    connection.send(serve_parts.png())
    return json.loads(connection.recv(timeout=60))


def drop(connection):
    """Vanish: the connection is reset, as a killed process leaves it."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.socket.close()


def nothing_left(state):
    """Whether no stream, and no file of one, is there."""
    return state.sessions.count == 0 and not list(state.sessions._folder.iterdir())


def test_a_client_that_is_killed_frees_its_stream(tmp_path):
    with serve_parts.running(tmp_path) as (port, state):
        connection = connect(port)
        assert start(connection)["type"] == "ready"
        connection.send(serve_parts.samples(5.0).tobytes())
        while connection.recv(timeout=60)[0] != 2:  # it speaks
            pass
        drop(connection)
        serve_parts.wait_until(lambda: nothing_left(state))


def test_fifty_clients_come_and_go(tmp_path):
    """Four are served at a time; who leaves politely, at once, or without a word, leaves nothing."""
    seen: list[int] = []
    others = set(threading.enumerate())  # of tests before
    drawing = lambda: [t for t in threading.enumerate() if t.name == "avct stream" and t not in others]

    def visit(number, port):
        with contextlib.suppress(exceptions.ConnectionClosed), connect(port) as connection:
            told = start(connection)
            if told["type"] == "error":
                assert "4 streams are open" in told["message"]
                return "refused"
            for _ in range(number % 5):
                connection.recv(timeout=60)
                seen.append(len(drawing()))
            if number % 3 == 0:
                drop(connection)
            return "served"
        return "cut"

    with serve_parts.running(tmp_path, limits=serve_parts.limits(streams=4)) as (port, state):
        before = threading.active_count()
        with futures.ThreadPoolExecutor(10) as pool:
            came = list(pool.map(lambda number: visit(number, port), range(50)))
        serve_parts.wait_until(lambda: nothing_left(state))
        assert max(seen) > 0
        assert came.count("served") >= 4 and state.sessions.opened == 50 - came.count("refused")
        serve_parts.wait_until(lambda: not drawing())
        assert threading.active_count() <= before + 64  # the pool's own
        with connect(port) as connection:  # and the next is served
            assert start(connection)["type"] == "ready"


class Noise:
    """Draws images that do not compress: 60 kB each."""

    def __call__(self, controls):
        rng = np.random.default_rng(0)
        return rng.integers(0, 256, (len(controls), 256, 256, 3), np.uint8)


async def open_noise(image, **_):
    stream = frame_stream.FrameStream(live_parts.new_session(), Noise(), paced=True)
    stream.size = (256, 256)
    return async_stream.AsyncStream(stream)


def test_who_does_not_read_is_cut_off_and_others_are_served(tmp_path):
    tight = serve_parts.limits(backlog=5, hopeless=40)
    with serve_parts.running(tmp_path, opens=open_noise, limits=tight) as (port, state):
        slow = connect(port, max_queue=1)
        assert start(slow)["type"] == "ready"
        with connect(port) as reader:
            assert start(reader)["type"] == "ready"
            indices = []
            while state.sessions.count == 2:
                message = reader.recv(timeout=60)
                if message[0] == 1:
                    indices.append(struct.unpack("<I", message[4:8])[0])
            assert indices == list(range(len(indices))) and len(indices) > 20  # none was lost
        serve_parts.wait_until(lambda: nothing_left(state))
        drop(slow)


def slow_socket():
    """A socket that takes what is sent once its event is set."""
    sent, may = [], asyncio.Event()

    async def send(message):
        await may.wait()
        sent.append(message)

    return fastapi.WebSocket({"type": "websocket"}, receive=send, send=send), sent, may


@pytest.mark.parametrize("coding", ["jpeg", "h264"])
def test_a_slow_reader_loses_images_and_never_audio(coding):
    async def whole():
        from avct_jax.serve.streams import sessions

        stream = await serve_parts.open_stream("")
        limits = serve_parts.limits(backlog=5)
        session = sessions.LiveSession("x", stream, "me", pathlib.Path(), limits)
        (slow, sent, may), pcm = slow_socket(), serve_parts.samples(1.2)
        slow.application_state = fastapi.websockets.WebSocketState.CONNECTED
        coder = image_coders.coder(coding, 25)
        outbox = stream_socket.Outbox(slow, session, limits, coder)
        await session.say(pcm, 16000, last_chunk=True)
        tasks = [asyncio.create_task(outbox.fill()), asyncio.create_task(outbox.send())]
        while session.sent < 40:
            await asyncio.sleep(0.01)
        may.set()
        while outbox.behind:
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await stream.shutdown()
        messages = [message["bytes"] for message in sent if message.get("bytes")]
        heard = b"".join(message[16:] for message in messages if message[0] == 2)
        assert heard == pcm.astype("<i2").tobytes()
        images = [message for message in messages if message[0] in (1, 3)]
        if coding == "h264":  # what came can be decoded, though others are missing
            decoder = av.CodecContext.create("h264", "r")
            assert all(len(decoder.decode(av.Packet(message[16:]))) == 1 for message in images)
        assert session.dropped >= 25 and len(images) <= session.sent - session.dropped

    asyncio.run(whole())


def test_a_port_that_is_taken_is_told():
    with contextlib.closing(server.listen(settings.ServerSettings(port=0))) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(
            errors.UserError, match=f"127.0.0.1:{port} cannot be listened on: Address already"
        ):
            server.listen(settings.ServerSettings(port=port))
    with pytest.raises(errors.UserError, match=r"1\.2\.3\.4:0 cannot be listened on"):
        server.listen(settings.ServerSettings(host="1.2.3.4", port=0, token="a" * 16))
    with pytest.raises(errors.UserError, match="--port 70000 is none"):
        settings.ServerSettings(port=70_000)


def test_a_certificate_that_is_none_is_told(tmp_path):
    (tmp_path / "cert.pem").write_text("no certificate")
    for name in ("cert.pem", "missing.pem"):
        with pytest.raises(errors.UserError, match="the certificate or its key cannot be read"):
            path = str(tmp_path / name)
            server.make(settings.ServerSettings(), lambda: None, certificate=path, key=path)


def test_requests_that_are_none_are_answered_and_the_server_goes_on(tmp_path):
    with serve_parts.running(tmp_path) as (port, _):
        for sent in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/9\r\n\r\n", b"x" * 100_000 + b"\r\n\r\n"):
            with (
                socket.create_connection(("127.0.0.1", port), timeout=60) as raw,
                contextlib.suppress(ConnectionError),
            ):
                raw.sendall(sent)
                assert (answer := raw.recv(100)) == b"" or answer.startswith(b"HTTP/1.1 400")
        with connect(port) as connection:
            assert start(connection)["type"] == "ready"


def test_server_ends_though_a_stream_is_still_being_compiled(tmp_path, monkeypatch):
    monkeypatch.setattr(app, "ENDING", 0.05)
    compiling, compiled = threading.Event(), threading.Event()

    async def open_stream(image, **options):
        def compile_():
            compiling.set()
            compiled.wait()

        await asyncio.to_thread(compile_)

    with serve_parts.running(tmp_path, opens=open_stream) as (port, _), connect(port) as connection:
        connection.send(json.dumps({"type": "start", "consent": serve_parts.CONSENT}))
        connection.send(serve_parts.png())
        assert compiling.wait(60)
    assert not compiled.is_set()  # the server has ended all the same
    compiled.set()
