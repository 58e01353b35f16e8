"""The tab Video of the page, in Chromium: over a queue that answers as it is told, and over the true one."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from avct_jax import demo
from avct_jax.data.media import video_io
from avct_jax.serve.settings import ServerSettings
from tests.serve import page_browser

FRAMES = 30


@pytest.fixture(scope="module")
def opened():
    """One browser for all tests."""
    with page_browser.browser() as found:
        yield found


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A video's bytes."""
    path = tmp_path_factory.mktemp("video") / "grey.mp4"
    audio = np.zeros(16000 * FRAMES // 25, np.float32)
    with video_io.VideoWriter(path, size=64, audio=audio) as writer:
        writer.write(np.full((FRAMES, 64, 64, 3), 100, np.uint8))
    return path.read_bytes()


class Queue:
    """Answers for `/v1/videos`: each look finds the next state."""

    def __init__(self, video, *states):
        """Take the states to come; the last one stays."""
        self.video, self.states, self.asked = video, list(states), []

    def __call__(self, route):
        """Answer one request."""
        method, path = route.request.method, route.request.url.split("/v1/")[1]
        self.asked.append(f"{method} {path}")
        if method == "POST":
            self.form = route.request.post_data_buffer
        if path.endswith("/content"):
            return route.fulfill(body=self.video, content_type="video/mp4")
        if method == "DELETE":
            return route.fulfill(status=204)
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        told = {"id": "one", "queue_position": None, "frames_done": 0, "frames": 0, "seconds": 0, "notes": []}
        return route.fulfill(json=told | {"error": None, "content": "/v1/videos/one/content"} | state)


def _make(shown, queue, *, whole=False):
    shown.route("**/v1/videos**", queue)
    shown.route("**/v1/videos/**", queue)
    page_browser.ready(shown)
    shown.click("#tab-video")
    shown.set_input_files("#video-audio", page_browser.recording())
    shown.fill("#transcript", "It's what is said.")
    if whole:
        shown.check("#whole")
    shown.click("#video-make")


def _playing(shown):
    shown.wait_for_selector("#result:visible")
    shown.wait_for_function("() => document.querySelector('#result').currentTime > 0.3")


def test_page_tells_how_far_a_video_is_and_plays_it(opened, video):
    queue = Queue(
        video,
        {"state": "queued", "queue_position": 2},
        {"state": "running"},
        {"state": "running", "frames_done": 12, "frames": 30},
        {"state": "done", "frames": 30, "seconds": 1.2, "notes": ["the largest of 2 faces speaks"]},
    )
    with page_browser.page(opened) as shown:
        _make(shown, queue, whole=True)
        for line in ("In the queue: 2 before it", "Listening to the recording", "Drawing: 12 of 30 frames"):
            shown.wait_for_selector(f"text={line}")
        assert shown.evaluate("() => document.querySelector('#job-progress').value") == 12 / 30
        _playing(shown)
        assert shown.get_attribute("#job-download", "download") == "A friend's face_says_-voice.mp4"
        assert shown.inner_text("#notes") == "the largest of 2 faces speaks"
        shown.click("#job-delete")
        shown.wait_for_selector("#preview:visible")
        command = page_browser.command(shown)
    assert command.endswith("--audio ./-voice.wav --framing full --transcript 'It'\\''s what is said.'")
    assert b'name="framing"' in queue.form
    assert queue.asked[-1] == "DELETE videos/one"
    assert b"I am the person in the picture." in queue.form and b"It's what is said." in queue.form


def test_page_cancels_a_video(opened, video):
    queue = Queue(video, {"state": "queued", "queue_position": 0})
    with page_browser.page(opened) as shown:
        _make(shown, queue)
        shown.wait_for_selector("text=Next in the queue")
        shown.click("#job-delete")
        shown.wait_for_selector("#job", state="hidden")
        shown.wait_for_selector("#video-make:enabled")
    assert queue.asked[-1] == "DELETE videos/one"


def test_page_tells_why_a_video_failed(opened, video):
    queue = Queue(
        video, {"state": "running"}, {"state": "failed", "error": "no face was found; give another"}
    )
    with page_browser.page(opened) as shown:
        _make(shown, queue)
        shown.wait_for_selector("#alert:has-text('no face was found; give another')")
        shown.wait_for_selector("#video-make:enabled")


def test_page_that_is_reloaded_goes_on_with_its_video_and_shows_it(opened, video):
    drawing = {"state": "running", "frames_done": 12, "frames": 30}
    queue = Queue(video, {"state": "queued"}, drawing)
    with page_browser.page(opened) as shown:
        _make(shown, queue)
        shown.wait_for_selector("text=Drawing: 12 of 30 frames")
        shown.reload()
        shown.wait_for_selector("text=Drawing: 12 of 30 frames")
        assert shown.is_visible("#panel-video") and not shown.is_enabled("#video-make")
        queue.states = [{"state": "done", "frames": 30, "seconds": 1.2}]
        _playing(shown)
        assert shown.get_attribute("#job-download", "download") == "A friend's face_says_-voice.mp4"
        with shown.context.new_page() as other:  # whose next job must not delete this one
            other.route("**/v1/videos/**", queue)
            other.goto(shown.url)
            other.wait_for_timeout(2500)
            assert not other.is_visible("#panel-video")
        shown.reload()
        _playing(shown)
        shown.click("#job-delete")
        shown.wait_for_selector("#job", state="hidden")
        asked = len(queue.asked)
        shown.reload()
        shown.wait_for_selector("#ready[data-state]")
        shown.wait_for_timeout(500)
    assert len(queue.asked) == asked and queue.asked[-1] == "DELETE videos/one"


def test_page_forgets_a_video_that_the_server_no_longer_has(opened, video):
    with page_browser.page(opened, rejects=["404"]) as shown:
        _make(shown, Queue(video, {"state": "running"}))
        shown.wait_for_selector("text=Listening to the recording")
        shown.unroute_all()  # the server has never heard of it
        with shown.expect_response("**/v1/videos/one"):
            shown.reload()
        shown.wait_for_function("() => localStorage.getItem('avct-job') === null")
        assert shown.inner_text("#alert-text") == ""
        assert shown.is_visible("#panel-live")


@pytest.mark.slow
def test_page_makes_and_plays_a_true_video(opened, tmp_path):
    portrait = tmp_path / "astronaut.png"
    Image.fromarray(data.astronaut()).save(portrait)
    with page_browser.page(opened, ServerSettings(port=0)) as shown, demo.sentence() as spoken:
        page_browser.ready(shown)
        shown.set_input_files("#picture", portrait)
        shown.click("#tab-video")
        shown.set_input_files("#video-audio", spoken)
        shown.click("#video-make")
        shown.wait_for_selector("#job-download:visible", timeout=240_000)
        _playing(shown)
        assert shown.inner_text("#job-state") == "Ready: 165 frames, 6.6 s"
