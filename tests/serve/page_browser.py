"""A browser over the page of `avct serve`, and files to give it."""

import contextlib
import io
import pathlib

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from avct_jax.serve.settings import ServerSettings
from scripts.benchmarks import browser_sync, counter_stream

NEEDS = "needs chromium and the extra `browser`: make test-browser"
FLAGS = [
    "--headless=new", "--no-sandbox", "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
]  # fmt: skip
PATIENCE = 30_000  # ms


@contextlib.contextmanager
def browser():
    """Chromium, driven; or the test is skipped."""
    api = pytest.importorskip("playwright.sync_api", reason=NEEDS)
    if not (path := browser_sync.chromium()):
        pytest.skip(NEEDS)
    with api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield opened
        opened.close()


class Streams:
    """Opens streams of numbers, and keeps them to be looked at."""

    def __init__(self):
        """Begin without any."""
        self.opened, self.options = [], []

    async def open(self, image, **options):
        """As AsyncStream.create."""
        stream = counter_stream.CounterStream(options["size"])
        if isinstance(image, str):  # not the one at the start
            self.opened.append(stream)
            self.options.append(options)
        return stream


@contextlib.contextmanager
def page(opened, settings=None, *, open_stream=None, fragment="", width=1200, rejects=()):
    """The page of a server of its own; errors of its console, and against its policy, fail the test.

    Args:
      rejects: parts of lines that the console may have: Chromium's own, of a status that the test provokes.
    """
    settings = settings or ServerSettings(port=0)
    with counter_stream.serving(settings, open_stream or Streams().open) as address:
        context = opened.new_context(viewport={"width": width, "height": 900}, permissions=["microphone"])
        shown = context.new_page()
        shown.set_default_timeout(PATIENCE)
        said = []
        shown.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        shown.on("pageerror", lambda error: said.append(str(error)))
        shown.goto(f"{address}/{fragment}")
        yield shown
        context.close()
    if unexpected := [line for line in said if not any(part in line for part in rejects)]:
        pytest.fail(f"the console says: {unexpected}")


def picture():
    """A portrait for a server that looks for no face."""
    file = io.BytesIO()
    Image.fromarray(np.full((64, 48, 3), (90, 120, 200), np.uint8)).save(file, "PNG")
    return {"name": "A friend's face.png", "mimeType": "image/png", "buffer": file.getvalue()}


def recording(seconds=1.0, rate=8000):
    """A tone."""
    file = io.BytesIO()
    tone = 8000 * np.sin(np.arange(round(seconds * rate)) * 2 * np.pi * 300 / rate)
    wavfile.write(file, rate, tone.astype(np.int16))
    return {"name": "-voice.wav", "mimeType": "audio/wav", "buffer": file.getvalue()}


def ready(shown):
    """Give what everything needs."""
    shown.set_input_files("#picture", picture())
    shown.click("#consent-me")


def command(shown):
    """The command line that is shown, its lines joined as a shell does."""
    return shown.inner_text("#command").replace("\\\n  ", "")


def number(shown, selector="#canvas"):
    """The frame's number that a canvas or video shows, as counter_stream burns it."""
    return shown.evaluate(READ, selector)


READ = pathlib.Path(__file__).with_name("read_number.js").read_text()
