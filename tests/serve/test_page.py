"""The page of `avct serve` in Chromium, over streams of numbers."""

import json

import pytest

from avct_jax.marks import credentials, installation, signing_key
from avct_jax.serve.settings import Limits, ServerSettings
from tests.marks import marked_film
from tests.serve import page_browser, serve_parts

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def opened():
    """One browser for all tests."""
    with page_browser.browser() as found:
        yield found


def test_page_shows_live_frames_and_says_a_recording(opened):
    streams = page_browser.Streams()
    with page_browser.page(opened, open_stream=streams.open) as shown:
        page_browser.ready(shown)
        shown.click("#settings summary")
        shown.select_option("#size", "512")
        shown.fill("#seed", "7")
        shown.check("#still")
        shown.click("#live-start")
        shown.wait_for_selector("#canvas:visible")
        shown.wait_for_function("() => Number(document.querySelector('#figure-shown').textContent) >= 10")
        first = page_browser.number(shown)
        shown.wait_for_timeout(400)
        assert first < page_browser.number(shown) < 1000
        assert streams.options[0].items() >= {"size": 512, "seed": 7, "still": True}.items()
        assert shown.evaluate("() => document.querySelector('#canvas').width") == 512
        shown.set_input_files("#live-audio", page_browser.recording(1.0))
        shown.wait_for_selector("#badge[data-speaking=true]")
        shown.wait_for_selector("#badge[data-speaking=false]")
        [stream] = streams.opened
        rate = shown.evaluate("() => new AudioContext().sampleRate")
        assert stream.pushed == rate and stream.flushed == 1
        shown.click("#live-stop")
        shown.wait_for_selector("#preview:visible")
        assert page_browser.command(shown) == (
            "avct animate --image 'A friend'\\''s face.png' --audio ./-voice.wav --size 512 --seed 7 --still"
        )


def test_page_takes_jpegs_where_the_browser_does_not_decode_h264(opened):
    sent = []
    with page_browser.page(opened) as shown:
        shown.on("websocket", lambda socket: socket.on("framesent", lambda data: sent.append(data)))
        for there in (True, False):
            shown.evaluate("there => there || delete window.VideoDecoder", there)
            page_browser.ready(shown)
            shown.click("#live-start")
            shown.wait_for_function("() => Number(document.querySelector('#figure-shown').textContent) >= 10")
            assert 0 < page_browser.number(shown) < 1000
            shown.click("#live-stop")
            shown.wait_for_selector("#preview:visible")
    starts = [json.loads(data) for data in sent if isinstance(data, str) and "start" in data]
    assert [start.get("video") for start in starts] == ["h264", None]


def test_page_tells_whether_a_film_is_synthetic(opened, tmp_path, monkeypatch):
    monkeypatch.setenv(installation.FOLDER_VARIABLE, str(tmp_path / "config"))
    path = marked_film.write(tmp_path / "film.mp4", marked_film.frames(3, (64, 64)))
    with page_browser.page(opened, rejects=["422"]) as shown:
        page_browser.ready(shown)
        shown.click("#verify summary")
        shown.set_input_files("#verify-file", path)
        shown.wait_for_selector("#verify-state:has-text('film.mp4 is not marked as synthetic.')")
        statement = credentials.GenerationStatement(None, consent="It is me.")
        credentials.sign(path, statement, signing_key.own())
        shown.set_input_files("#verify-file", path)
        shown.wait_for_selector("#verify-state:has-text('film.mp4 is marked as synthetic.')")
        shown.wait_for_selector("#verify-lines li:has-text('consent: It is me.')")
        (tmp_path / "text.mp4").write_text("text")
        shown.set_input_files("#verify-file", tmp_path / "text.mp4")
        shown.wait_for_selector("#alert-text:has-text('no sound or video')")


def test_page_hears_the_microphone_until_it_is_interrupted(opened):
    streams = page_browser.Streams()
    with page_browser.page(opened, open_stream=streams.open) as shown:
        page_browser.ready(shown)
        shown.click("#live-start")
        shown.click("#microphone:enabled")
        shown.wait_for_selector("#badge[data-speaking=true]")
        [stream] = streams.opened
        assert stream.pushed > 0
        shown.click("#microphone[aria-pressed=true]")
        shown.click("#interrupt")
        shown.wait_for_selector("#badge[data-speaking=false]")
        assert (stream.flushed, stream.interrupted) == (1, 1)


def test_page_plays_a_stream_by_webrtc(opened):
    streams = page_browser.Streams()
    with page_browser.page(opened, open_stream=streams.open) as shown:
        page_browser.ready(shown)
        shown.check("input[value=webrtc]")
        shown.click("#live-start")
        shown.wait_for_function("() => Number(document.querySelector('#figure-shown').textContent) >= 25")
        count = (
            "() => new Promise((done) => document.querySelector('#webrtc').requestVideoFrameCallback("
            "(_, frame) => done(frame.presentedFrames)))"
        )
        assert shown.evaluate(count) < shown.evaluate(count)
        assert page_browser.number(shown, "#webrtc") >= 20
        shown.set_input_files("#live-audio", page_browser.recording(1.0))
        shown.wait_for_function("() => Number(document.querySelector('#figure-shown').textContent) >= 100")
        shown.click("#live-stop")
        shown.wait_for_selector("#preview:visible")
        serve_parts.wait_until(lambda: streams.opened[0].closed)
        shown.click("#live-start")
        shown.wait_for_selector("#webrtc:visible")
        shown.goto("about:blank")  # who leaves frees the stream
        while not streams.opened[1].closed:
            shown.wait_for_timeout(50)


def test_page_asks_for_the_token_and_keeps_it(opened):
    settings = ServerSettings(port=0, token=TOKEN)
    with page_browser.page(opened, settings, rejects=["401"]) as shown:
        shown.wait_for_selector("#token-dialog[open]")
        shown.fill("#token", "not-the-right-one")
        shown.press("#token", "Enter")
        shown.wait_for_function(
            "() => document.querySelector('#token-wrong').textContent.includes('not this server')"
        )
        shown.fill("#token", TOKEN)
        shown.press("#token", "Enter")
        shown.wait_for_selector("#token-dialog", state="hidden")
        shown.reload()
        page_browser.ready(shown)
        shown.click("#live-start")
        shown.wait_for_selector("#canvas:visible")
        assert not shown.is_visible("#token-dialog")


def test_page_takes_the_token_of_its_address(opened):
    settings = ServerSettings(port=0, token=TOKEN)
    with page_browser.page(opened, settings, fragment=f"#token={TOKEN}") as shown:
        page_browser.ready(shown)
        shown.click("#live-start")
        shown.wait_for_selector("#canvas:visible")
        assert "token" not in shown.url


def test_page_shows_the_line_with_which_the_server_refuses(opened):
    settings = ServerSettings(port=0, limits=Limits(streams=0))
    with page_browser.page(opened, settings) as shown:
        shown.click("#live-start")
        assert shown.inner_text("#alert-text") == "Choose a picture first."
        shown.set_input_files("#picture", page_browser.picture())
        shown.click("#live-start")
        assert shown.get_attribute("#consent", "aria-invalid") == "true"
        page_browser.ready(shown)
        shown.click("#live-start")
        shown.wait_for_selector("text=0 streams are open or being opened, as many as this server holds")
        assert shown.get_attribute("#alert", "role") == "alert"
        assert shown.is_visible("#live-start")


def test_page_fits_a_narrow_screen(opened):
    with page_browser.page(opened, width=380) as shown:
        page_browser.ready(shown)
        width = "() => document.documentElement.scrollWidth"
        assert shown.evaluate(width) == 380
        shown.click("#tab-video")
        assert shown.evaluate(width) == 380


def test_page_tabs_are_moved_by_keys(opened):
    with page_browser.page(opened) as shown:
        shown.focus("#tab-live")
        shown.keyboard.press("ArrowRight")
        assert shown.evaluate("() => document.activeElement.id") == "tab-video"
        assert shown.is_visible("#panel-video") and not shown.is_visible("#panel-live")
        assert shown.get_attribute("#tab-video", "aria-selected") == "true"


def test_page_lets_a_face_be_chosen(opened):
    with page_browser.page(opened) as shown:
        shown.route("**/v1/faces", lambda route: route.fulfill(json=FACES))
        page_browser.ready(shown)
        shown.wait_for_selector("[role=radio] >> nth=1")
        assert _checked(shown) == ["false", "true"]
        assert (
            page_browser.command(shown) == "avct animate --image 'A friend'\\''s face.png' --audio SPEECH.wav"
        )
        shown.focus("[role=radio] >> nth=1")
        shown.keyboard.press("ArrowRight")
        assert _checked(shown) == ["true", "false"]
        assert page_browser.command(shown).endswith("--audio SPEECH.wav --face 1")
        image, box = (shown.locator(part).bounding_box() for part in ("#preview", "[role=radio] >> nth=0"))
        scale = image["height"] / 64
        left = image["x"] + (image["width"] - 48 * scale) / 2
        assert box["x"] == pytest.approx(left + 4 * scale, abs=1)
        assert box["height"] == pytest.approx(16 * scale, abs=1)


FACES = {
    "width": 48,
    "height": 64,
    "faces": [
        {"number": 1, "box": [4, 4, 20, 20], "score": 0.9, "largest": False},
        {"number": 2, "box": [26, 4, 44, 24], "score": 0.9, "largest": True},
    ],
}


def _checked(shown):
    radios = shown.locator("[role=radio]")
    return [radios.nth(index).get_attribute("aria-checked") for index in range(radios.count())]


def test_page_adjusts_a_stream_and_has_texts_said(opened):
    streams, sent = page_browser.Streams(), []
    with page_browser.page(opened, open_stream=streams.open) as shown:
        shown.on("websocket", lambda socket: socket.on("framesent", lambda data: sent.append(data)))
        shown.route("**/healthz", lambda route: route.fulfill(json={"ready": True, "speaks": True}))
        shown.reload()
        page_browser.ready(shown)
        shown.click("#settings summary")
        shown.fill("#mouth", "1.5")
        shown.check("#live-whole")
        shown.click("#live-start")
        shown.wait_for_selector("#canvas:visible")
        assert streams.options[0].items() >= {"mouth": 1.5, "framing": "full"}.items()
        shown.fill("#head_motion", "0.5")
        shown.wait_for_function("() => document.querySelector('#figure-shown').textContent > 20")
        told = {"head_motion": 0.5, "blink": 1.0, "mouth": 1.5}
        assert streams.opened[0].factors.items() >= told.items()
        shown.fill("#live-text", "It is nine o'clock.")
        shown.press("#live-text", "Enter")
        assert page_browser.command(shown).endswith(
            "--text 'It is nine o'\\''clock.' --framing full --head-motion 0.5 --mouth 1.5"
        )
    assert json.loads(sent[-1]) == {"type": "text", "text": "It is nine o'clock."}


def test_page_hides_what_the_server_does_not_know(opened):
    with page_browser.page(opened) as shown:
        shown.route("**/openapi.json", _without_mouth)
        shown.route("**/healthz", lambda route: route.fulfill(json={"ready": True, "speaks": False}))
        shown.reload()
        shown.click("#settings summary")
        shown.wait_for_selector("#blink:visible")
        assert not shown.is_visible("#mouth") and not shown.is_visible("#live-text")


def _without_mouth(route):
    """Another server's forms."""
    found = route.fetch().json()
    for schema in found["components"]["schemas"].values():
        schema.get("properties", {}).pop("mouth", None)
    route.fulfill(body=json.dumps(found), content_type="application/json")
