"""Live by WebSocket."""

import asyncio
import json
import pathlib
import threading
import time

import av
import numpy as np
import pytest
from starlette import websockets

from avct_jax.data.speech import speaker
from avct_jax.serve import safe_decode
from avct_jax.serve.streams import sessions, stream_protocol, stream_socket
from tests.serve import serve_parts


def take(socket, true, most=2000):
    """Take messages until `true` of the frame's last; images, audio and JSON."""
    images, audio, told = [], [], []
    for _ in range(most):
        message = socket.receive()
        if message["type"] == "websocket.close":
            raise websockets.WebSocketDisconnect(message["code"], message["reason"])
        if (text := message.get("text")) is not None:
            told.append(json.loads(text))
            continue
        kind, flags, index, pts = stream_protocol.HEAD.unpack(message["bytes"][:16])
        row = (index, pts, flags, message["bytes"][16:])
        (images if kind == stream_protocol.JPEG else audio).append(row)
        if kind == stream_protocol.JPEG and true(row):
            return images, audio, told
    raise AssertionError("it did not come")


ENDED = lambda row: row[2] & stream_protocol.END_OF_SPEECH


def refusal(socket):
    """The line with which a stream ends, which is said and is why it is closed."""
    told = socket.receive_json()
    assert told["type"] == "error" and "\n" not in told["message"]
    with pytest.raises(websockets.WebSocketDisconnect) as closed:
        while True:
            socket.receive_json()
    assert told["message"].startswith(closed.value.reason)
    return told["message"], closed.value.code


def test_a_reply_comes_out_whole_with_its_frames(client):
    pcm = serve_parts.samples(1.0)
    with serve_parts.connect(client) as socket:
        ready = serve_parts.start(socket, sample_rate=16000)
        assert ready["type"] == "ready" and (ready["frame_rate"], ready["sample_rate"]) == (25, 16000)
        assert ready["codec"] == "jpeg"
        assert ready["size"] == 32 and ready["notes"] == ["drawn in grey: image.png"]
        for begin in range(0, len(pcm), 700):
            socket.send_bytes(pcm[begin : begin + 700].tobytes())
        socket.send_text('{"type": "flush"}')
        images, audio, _ = take(socket, ENDED)
        np.testing.assert_array_equal(serve_parts.said(audio), pcm)
        assert [row[0] for row in images] == list(range(len(images)))
        assert np.allclose([row[1] for row in images], np.arange(len(images)) * 0.04)
        assert {row[0] for row in audio} <= {row[0] for row in images} and len(audio) == 25
        speaking = [row[0] for row in images if row[2] & stream_protocol.SPEAKING]
        assert speaking == [row[0] for row in audio]


def test_who_asks_for_h264_has_it(client):
    decoder, levels = av.CodecContext.create("h264", "r"), []
    with serve_parts.connect(client) as socket:
        assert serve_parts.start(socket, video="h264")["codec"] == "avc1.640028"
        while len(levels) < 10:
            if (message := socket.receive().get("bytes")) is None:
                continue
            kind, _, index, _ = stream_protocol.HEAD.unpack(message[:16])
            assert kind == stream_protocol.H264 and index == len(levels)
            (image,) = decoder.decode(av.Packet(message[16:]))
            levels.append(image.to_ndarray(format="rgb24", src_colorspace="ITU709").mean())
    steps = np.diff(levels)  # as serve_parts.Grey draws, an image at times twice
    assert steps.min() >= 0 and steps.max() <= 3 and levels[-1] > 3


def test_other_rates_are_resampled(client):
    with serve_parts.connect(client) as socket:
        serve_parts.start(socket, sample_rate=48000)
        socket.send_bytes(serve_parts.samples(0.6, 48000).tobytes())
        socket.send_text('{"type": "flush"}')
        _, audio, _ = take(socket, ENDED)
        assert len(audio) == 15 and np.abs(serve_parts.said(audio)[1000:-1000]).max() > 7000


def test_an_interruption_drops_the_reply(client):
    loud, soft = np.full(16000 * 4, 9000, np.int16), np.full(6400, 50, np.int16)
    with serve_parts.connect(client) as socket:
        serve_parts.start(socket)
        socket.send_bytes(loud.tobytes())
        take(socket, lambda row: row[2] & stream_protocol.SPEAKING)
        socket.send_text('{"type": "interrupt"}')
        socket.send_bytes(soft.tobytes())
        socket.send_text('{"type": "flush"}')
        images, audio, _ = take(socket, ENDED)
        heard = serve_parts.said(audio)
        assert len(heard) < len(loud) and np.count_nonzero(heard == 50) == 6400
        assert np.all(np.diff(np.flatnonzero(heard == 50)) == 1) and heard[-6400] == 50
        assert sum(bool(ENDED(row)) for row in images) == 1


def test_idle_frames_come_and_latency_is_told(client):
    with serve_parts.connect(client) as socket:
        serve_parts.start(socket)
        images, audio, told = take(socket, lambda row: row[0] == 51)
        assert not audio and not any(row[2] for row in images)
        assert [message["type"] for message in told] == ["latency", "latency"]
        assert (
            told[1]["sent"] == 51
            and told[1]["dropped"] == 0
            and set(told[1]["lateness"]) == {"p50", "p95", "p99"}
        )


def test_hints_are_taken(client):
    with serve_parts.connect(client) as socket:
        serve_parts.start(socket)
        socket.send_text('{"type": "phonemes", "phonemes": [["AA", 0.0, 0.3]]}')
        socket.send_bytes(serve_parts.samples(0.4).tobytes())
        socket.send_text('{"type": "flush"}')
        assert len(take(socket, ENDED)[1]) == 10


def test_a_text_is_said_sentence_by_sentence(client):
    with serve_parts.connect(client) as socket:
        serve_parts.start(socket)
        socket.send_text('{"type": "text", "text": "One. Two"}')
        _, audio, _ = take(socket, ENDED)
        assert serve_parts.said(audio).tolist() == [100] * 6400 + [200] * 6400


def test_an_interruption_ends_a_text_that_is_still_being_spoken():
    class Endless:
        async def sentences(self, text):
            while True:
                yield speaker.SpokenText(np.full(6400, 9, np.int16), 16000)
                await asyncio.sleep(0)
                if session._interruptions == 0 and session._ahead > 2:
                    await session.interrupt()

    async def whole():
        nonlocal session
        stream = await serve_parts.open_stream("")
        session = sessions.LiveSession("x", stream, "me", pathlib.Path(), serve_parts.limits())
        await asyncio.wait_for(session.say_text(Endless(), "x"), 60)
        assert session._ahead == 0 and not stream.stream._planner.speaking
        await stream.shutdown()

    session = None
    asyncio.run(whole())


def test_a_stream_is_directed_at_its_start_and_later(client):
    told = {"head_motion": 0.5, "blink": 2.0, "mouth": 1.5, "face": 2, "seed": 3, "still": False, "size": 512}
    told |= {"label": True, "framing": "full"}
    with serve_parts.connect(client) as socket:
        shown = {"expression": {"smile": 0.3}, "gaze": (10, 0)}
        name = serve_parts.start(socket, **told, expression="smile=.3", gaze="10,0")["session"]
        assert serve_parts.OPENED[-1] == told | shown
        socket.send_text('{"type": "adjust", "mouth": 0.5}')
        stream = client.app.inner.state.sessions.get(name).stream.stream
        serve_parts.wait_until(lambda: stream.scales.mouth == 0.5)
        for wrong, line in (
            ({"type": "adjust", "mouth": 9}, "mouth is 9"),
            ({"type": "adjust", "expression": {"smlie": 1}}, "'smlie' is not known"),
            ({"type": "text", "text": "..."}, "holds no word"),
        ):
            socket.send_text(json.dumps(wrong))
            refused = next_told(socket, "refused")
            assert line in refused["message"] and "\n" not in refused["message"]
        take(socket, lambda row: True)  # the stream goes on
        assert stream.scales.mouth == 0.5


def next_told(socket, kind):
    """The next JSON of a kind."""
    while True:
        text = socket.receive().get("text")
        if text and (found := json.loads(text))["type"] == kind:
            return found


class Slow:
    """A voice that takes for ever after its first sentence."""

    def __init__(self):
        self.more = threading.Event()

    def speak_sentences(self, text):
        yield speaker.SpokenText(np.full(6400, 100, np.int16), 16000)
        self.more.wait(60)
        yield speaker.SpokenText(np.full(6400, 200, np.int16), 16000)


def test_an_interruption_overtakes_a_text_and_what_waits_behind_it(tmp_path):
    slow = Slow()
    with (
        serve_parts.new_client(tmp_path, speaks=lambda: slow) as client,
        serve_parts.connect(client) as socket,
    ):
        name = serve_parts.start(socket)["session"]
        socket.send_text('{"type": "text", "text": "One. Two."}')
        socket.send_bytes(np.full(6400, 300, np.int16).tobytes())
        take(socket, lambda row: row[2] & stream_protocol.SPEAKING)
        socket.send_text('{"type": "interrupt"}')
        session = client.app.inner.state.sessions.get(name)
        serve_parts.wait_until(lambda: session._interruptions == 1)
        slow.more.set()
        socket.send_bytes(np.full(6400, 400, np.int16).tobytes())
        socket.send_text('{"type": "flush"}')
        _, audio, _ = take(socket, ENDED)
        assert (
            set(serve_parts.said(audio)) <= {0, 100, 400}
            and np.count_nonzero(serve_parts.said(audio) == 400) == 6400
        )


@pytest.mark.parametrize(
    "text, line",
    [
        ("{", "Invalid JSON"),
        ('{"type": "flush"}', 'begin with {"type": "start", ...}'),
        ('{"type": "start", "consent": ""}', "say in `consent` who"),
        ('{"type": "start", "session": "x"}', "no such stream"),
        ('{"type": "start", "consent": "me", "size": "x"}', "size"),
    ],
)
def test_a_wrong_start_ends_in_a_line(client, text, line):
    with serve_parts.connect(client) as socket:
        socket.send_text(text)
        message, code = refusal(socket)
        assert line in message and code == stream_socket.POLICY


@pytest.mark.parametrize(
    "image, options, line",
    [
        (b"text", {}, "is not an image"),
        (None, {}, "send the portrait's bytes"),
        (serve_parts.png(), {"size": 1024}, "no face was found"),
    ],
)
def test_a_wrong_portrait_ends_in_a_line_and_leaves_nothing(client, image, options, line):
    with serve_parts.connect(client) as socket:
        socket.send_text(json.dumps({"type": "start", "consent": "me", **options}))
        socket.send_text("{}") if image is None else socket.send_bytes(image)
        assert line in refusal(socket)[0]
    sessions = client.app.inner.state.sessions
    assert sessions.count == 0 and not list(sessions._folder.iterdir())


@pytest.mark.parametrize("wrong", ["{", '{"type": "start"}', '{"type": "dance"}'])
def test_a_wrong_message_ends_the_stream_in_a_line(client, wrong):
    with serve_parts.connect(client) as socket:
        serve_parts.start(socket)
        socket.send_text(wrong) if isinstance(wrong, str) else socket.send_bytes(wrong)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            message = socket.receive()
            if "error" in (message.get("text") or ""):
                break
        assert json.loads(message["text"])["message"]
    serve_parts.wait_until(lambda: client.app.inner.state.sessions.count == 0)


@pytest.mark.parametrize("client", [{"limits": serve_parts.limits(ahead_seconds=2.0)}], indirect=True)
def test_audio_far_ahead_is_refused(client):
    with serve_parts.connect(client) as socket:
        serve_parts.start(socket)
        for _ in range(3):
            socket.send_bytes(serve_parts.samples(1.0).tobytes())
        with pytest.raises(websockets.WebSocketDisconnect, match="more than 2 s of audio") as closed:
            take(socket, lambda row: False)
        assert closed.value.code == stream_socket.POLICY


@pytest.mark.parametrize("client", [{"limits": serve_parts.limits(streams=1)}], indirect=True)
def test_no_more_streams_than_are_allowed(client):
    with serve_parts.connect(client) as first:
        serve_parts.start(first)
        with serve_parts.connect(client) as second:
            second.send_text(json.dumps({"type": "start", "consent": "me"}))
            message, code = refusal(second)
            assert "1 streams are open" in message and code == stream_socket.TOO_BUSY
    serve_parts.wait_until(lambda: client.app.inner.state.sessions.count == 0)
    with serve_parts.connect(client) as third:
        assert serve_parts.start(third)["type"] == "ready"


@pytest.mark.parametrize("client", [{"limits": serve_parts.limits(silent_seconds=0.2)}], indirect=True)
def test_a_stream_that_nobody_speaks_to_is_closed_and_says_why(client):
    with serve_parts.connect(client) as socket:
        serve_parts.start(socket)
        with pytest.raises(websockets.WebSocketDisconnect, match="nobody spoke to the stream for 0 s"):
            take(socket, lambda row: False)


def test_pieces_may_end_in_the_middle_of_a_sample(client):
    pcm = serve_parts.samples(0.4).tobytes()
    with serve_parts.connect(client) as socket:
        serve_parts.start(socket)
        for begin in range(0, len(pcm), 333):
            socket.send_bytes(pcm[begin : begin + 333])
        socket.send_text('{"type": "flush"}')
        _, audio, _ = take(socket, ENDED)
        assert b"".join(row[3] for row in audio) == pcm


class Gate:
    """Opens streams when it is told to."""

    def __init__(self):
        self.asked, self.open = threading.Event(), threading.Event()

    async def __call__(self, image, **options):
        self.asked.set()
        await asyncio.to_thread(self.open.wait, 60)
        return await serve_parts.open_stream(image, **options)


def test_what_comes_before_a_stream_is_there_is_kept(tmp_path):
    gate, pcm = Gate(), serve_parts.samples(0.4)
    with serve_parts.new_client(tmp_path, opens=gate) as client, serve_parts.connect(client) as socket:
        socket.send_text(json.dumps({"type": "start", "consent": "me"}))
        socket.send_bytes(serve_parts.png())
        gate.asked.wait(60)
        socket.send_bytes(pcm.tobytes())
        socket.send_text('{"type": "flush"}')
        time.sleep(0.05)
        gate.open.set()
        assert socket.receive_json()["type"] == "ready"
        np.testing.assert_array_equal(serve_parts.said(take(socket, ENDED)[1]), pcm)


def test_who_goes_while_a_stream_is_opened_leaves_none(tmp_path):
    gate = Gate()
    with serve_parts.new_client(tmp_path, opens=gate) as client:
        sessions = client.app.inner.state.sessions
        with serve_parts.connect(client) as socket:
            socket.send_text(json.dumps({"type": "start", "consent": "me"}))
            socket.send_bytes(serve_parts.png())
            gate.asked.wait(60)
            assert (sessions.count, sessions.opening) == (0, 1)
            socket.close()
            time.sleep(0.05)
            gate.open.set()
            serve_parts.wait_until(lambda: sessions.opened == 1 and sessions.count == 0)
        assert sessions.opening == 0
        serve_parts.wait_until(lambda: not list(sessions._folder.iterdir()))


def test_streams_have_a_few_sizes_lest_programs_fill_the_memory(client):
    with serve_parts.connect(client) as socket:
        socket.send_text(json.dumps({"type": "start", "consent": "me", "size": 700}))
        socket.send_bytes(serve_parts.png())
        assert "size 700 px is none of a live stream's here; choose of 256, 384" in refusal(socket)[0]
    assert not list(client.app.inner.state.sessions._folder.iterdir())


@pytest.mark.parametrize("client", [{"limits": serve_parts.limits(streams=1)}], indirect=True)
def test_who_is_overtaken_while_a_portrait_is_decoded_leaves_nothing(client, monkeypatch):
    sessions = client.app.inner.state.sessions
    with serve_parts.connect(client) as socket:
        socket.send_text(json.dumps({"type": "start", "consent": "me"}))
        decode = safe_decode.image

        async def overtaken(*given):
            monkeypatch.setattr(sessions, "_opening", 1)
            return await decode(*given)

        monkeypatch.setattr(safe_decode, "image", overtaken)
        socket.send_bytes(serve_parts.png())
        message, code = refusal(socket)
        assert "1 streams are open or being opened" in message and code == stream_socket.TOO_BUSY
        assert not list(sessions._folder.iterdir())


class Broken:
    """A voice with a fault of its own."""

    def speak_sentences(self, text):
        raise ValueError("deep inside")


def test_a_fault_of_ours_is_told_without_its_inside(tmp_path):
    with serve_parts.new_client(tmp_path, speaks=Broken) as client, serve_parts.connect(client) as socket:
        serve_parts.start(socket)
        socket.send_text('{"type": "text", "text": "Hello"}')
        found = next_told(socket, "error")
        assert found["message"] == "this should not have happened: please report it"
