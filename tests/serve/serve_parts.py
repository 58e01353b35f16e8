"""A server without networks: streams that draw grey, a worker that writes what it was told."""

import concurrent.futures
import contextlib
import io
import json
import threading
import time

import numpy as np
import PIL.Image
from scipy.io import wavfile
from starlette import testclient

from avct_jax import errors
from avct_jax.data.speech import speaker
from avct_jax.live import async_stream, frame_stream
from avct_jax.serve import app, server
from avct_jax.serve import settings as server_settings
from tests.live import live_parts

CONSENT = "it is me"
HOME = "http://localhost:8000"
# A worker that obeys the transcript: it refuses, dies, or never ends; else the video is its request.
WORKER = """
import json, os, pathlib, sys, time
tell = lambda **what: print(json.dumps(what), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    if job["transcript"] == "refuse":
        tell(refused="no face was found in " + job["image"])
        continue
    tell(progress=[1, 4])
    if job["transcript"] == "die":
        os.kill(os.getpid(), 9)
    if job["transcript"] == "last":
        time.sleep(1000)
    here = {"pid": os.getpid(), "temporary": os.environ["TMPDIR"]}
    pathlib.Path(job["output"]).write_text(json.dumps(job | here))
    tell(progress=[4, 4])
    tell(done={"frames": 4, "seconds": 0.16, "notes": ["heard " + job["audio"]]})
"""


def png(side=64):
    """A grey image's file."""
    file = io.BytesIO()
    PIL.Image.new("RGB", (side, side), (128, 128, 128)).save(file, "png")
    return file.getvalue()


def samples(seconds=0.4, rate=16000):
    """A tone, int16."""
    return (8000 * np.sin(np.arange(int(seconds * rate)) * 0.2)).astype(np.int16)


def wav(seconds=0.4, rate=16000):
    """A tone's file."""
    file = io.BytesIO()
    wavfile.write(file, rate, samples(seconds, rate))
    return file.getvalue()


class Grey:
    """Draws squares, each a little lighter than the one before."""

    def __init__(self, side):
        """Begin with black."""
        self.side, self.level = side, 0

    def __call__(self, controls):
        """As portrait.Drawer."""
        levels = [(self.level + i) % 256 for i in range(len(controls))]
        self.level = (levels[-1] + 1) % 256
        return np.stack([np.full((self.side, self.side, 3), level, np.uint8) for level in levels])


OPENED = []  # what streams were opened with


class Monotone:
    """Speaks each sentence as 0.4 s of one level, which tells its number."""

    def speak_sentences(self, text):
        """As HibariSpeaker."""
        for number, _ in enumerate(text.split("."), 1):
            level = np.full(6400, 100 * number, np.int16)
            yield speaker.SpokenText(level, 16000, [("AA", 0.4 * (number - 1), 0.4 * number)])

    def speak(self, text):
        """As HibariSpeaker."""
        pieces = list(self.speak_sentences(text))
        rows = [row for piece in pieces for row in piece.phonemes]
        return speaker.SpokenText(np.concatenate([piece.pcm for piece in pieces]), 16000, rows)


async def open_stream(image, **options):
    """As AsyncStream.create, for images that have no face."""
    OPENED.append(options)
    if options.get("size") == 1024:
        raise errors.UserError(f"no face was found in {image!r}")
    stream = frame_stream.FrameStream(live_parts.new_session(), Grey(32), paced=True)
    stream.size, stream.notes = (32, 32), (f"drawn in grey: {image}",)
    return async_stream.AsyncStream(stream)


def application(tmp_path, **options):
    """The application without networks."""
    script, opens = tmp_path / "worker.py", options.pop("opens", open_stream)
    script.write_text(WORKER)
    speaks = options.pop("speaks", Monotone)
    settings = server_settings.ServerSettings(**options)
    return app.create_app(settings, open_stream=opens, worker=[str(script)], new_speaker=speaks, warm=False)


def limits(**changed):
    """Limits, some of them others."""
    return server_settings.Limits()._replace(**changed)


@contextlib.contextmanager
def running(tmp_path, **options):
    """Serve it on a port of this machine; gives the port's number and the application's state."""
    told = {name: value for name, value in options.items() if name != "opens"}
    settings = server_settings.ServerSettings(port=0, **told)
    with contextlib.closing(server.listen(settings)) as listener:
        served = application(tmp_path, **options)
        made = server.make(settings, served)
        thread = threading.Thread(target=made.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until(lambda: made.started)
            yield listener.getsockname()[1], served.inner.state
        finally:
            made.should_exit = True
            thread.join()


def wait_until(true, seconds=60):
    """Wait for something that happens soon, on a busy machine too."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
    return found


def post_video(client, **changed):
    """Ask for a video; `changed` are fields, bytes are files, None is left out."""
    fields = {"image": png(), "audio": wav(), "consent": CONSENT, **changed}
    files = {name: (f"../{name}", value) for name, value in fields.items() if isinstance(value, bytes)}
    data = {n: v for n, v in fields.items() if v is not None and not isinstance(v, bytes)}
    return client.post("/v1/videos", files=files, data=data)


def start(socket, **changed):
    """Open a stream on a WebSocket, and return the server's first message."""
    socket.send_text(json.dumps({"type": "start", "consent": CONSENT, **changed}))
    if "session" not in changed:
        socket.send_bytes(png())
    return socket.receive_json()


@contextlib.contextmanager
def connect(client, **options):
    """A WebSocket of a test's client, which cancels what serves it instead of waiting for its end."""
    with (
        contextlib.suppress(concurrent.futures.CancelledError),
        client.websocket_connect(f"{HOME.replace('http', 'ws')}/v1/stream", **options) as socket,
    ):
        yield socket


def new_client(tmp_path, **options):
    """A client of the application without networks, which runs while the client is entered."""
    return testclient.TestClient(application(tmp_path, **options), base_url=HOME)


def said(audio):
    """The samples of some messages of sound."""
    return np.frombuffer(b"".join(row[3] for row in audio), "<i2")
