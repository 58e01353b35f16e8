"""How well images and audio fit in the page of `avct serve`, in Chromium, by WebSocket and by WebRTC.

  python -m scripts.benchmarks.browser_sync --clicks 60 --json sync.json     two minutes
  python -m scripts.benchmarks.browser_sync --true                           a true face, two cores or more

Frames carry their number as pixels, every 20th a click (counter_stream.py); a probe beside the page's own
programs notes when the screen shows each number, and when the device plays each click. Needs chromium and the
extra `browser`.
"""

import argparse
import io
import json
import pathlib
import shutil
import time
from typing import Any

from PIL import Image

from avct_jax import demo
from avct_jax.live import async_stream
from avct_jax.serve.settings import ServerSettings
from scripts.benchmarks import counter_stream, sync_report

NAMED = ("chromium", "chromium-browser", "google-chrome")  # by distributions
FLAGS = ["--headless=new", "--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
HERE = pathlib.Path(__file__).parent
CLICK = counter_stream.EVERY / counter_stream.FRAME_RATE  # seconds from click to click
NAMES = {  # of the two times of `heard`, see sync_probe.js
    "socket": ("by the device's time stamp", "by the context's latency"),
    "webrtc": ("as the device takes it", "with the device's latency"),
}
PATIENCE = 300_000  # ms: a true stream compiles


async def open_counter(image: Any, *, size: int, **options: Any) -> counter_stream.CounterStream:
    """Open a stream of numbers and clicks."""
    return counter_stream.CounterStream(size, clicks=True)


async def open_true(image: Any, **options: Any) -> counter_stream.CountedStream:
    """Open a true stream, marked."""
    made = await async_stream.AsyncStream.create(image, **options)
    return counter_stream.CountedStream(made.stream)


def chromium() -> str | None:
    """Where the browser is; None where it is not."""
    return next((found for name in NAMED if (found := shutil.which(name))), None)


def portrait() -> dict[str, Any]:
    """The demo's, as a form has it."""
    file = io.BytesIO()
    Image.fromarray(demo.portrait()).save(file, "PNG")
    return {"name": "astronaut.png", "mimeType": "image/png", "buffer": file.getvalue()}


def measure(browser: Any, address: str, way: str, clicks: int) -> list[dict[str, Any]]:
    """Watch a stream in one way; a row for each way to tell when audio is heard."""
    page = browser.new_page(bypass_csp=True)  # for the probe's worklet
    page.set_default_timeout(PATIENCE)
    tap = json.dumps((HERE / "sync_tap.js").read_text())
    page.add_init_script(f"window.tapSource = {tap};\n" + (HERE / "sync_probe.js").read_text())
    page.goto(address)
    page.set_input_files("#picture", portrait())
    page.fill("#consent", "NASA's photograph, public domain")
    page.check(f"input[value={way}]")
    page.click("#live-start")
    page.wait_for_selector("#badge:visible")
    if way == "webrtc":
        page.evaluate("() => void watchVideo()")
    end = time.monotonic() + sync_report.SETTLED + 2 * clicks * CLICK + 20
    wanted = clicks + sync_report.SETTLED / CLICK + 2
    while page.evaluate("() => heard.length") < wanted and time.monotonic() < end:
        page.wait_for_timeout(500)
    seen, heard = page.evaluate("() => [seen, heard]")
    figures = {name: page.inner_text(f"#figure-{name}") for name in ("late", "shown", "repeated", "dropped")}
    if way == "webrtc":
        figures |= {
            name: round(value, 3) for name, value in page.evaluate("() => believed()").items() if value
        }
    page.click("#live-stop")
    page.close()
    print(way, figures, f"{len(seen)} numbers seen, {len(heard)} clicks heard")
    frames = [(number, ms / 1000) for number, ms in seen]
    names = NAMES[way]
    found = [sync_report.offsets(frames, [row[which] / 1000 for row in heard]) for which in (0, 1)]
    return [sync_report.summary(f"{way}, {name}", row) for name, row in zip(names, found, strict=True)]


def main() -> None:
    """Measure both ways."""
    from playwright import sync_api  # pyright: ignore[reportMissingImports]  (extra `browser`)

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clicks", type=int, default=60)
    parser.add_argument("--true", action="store_true", help="a true face")
    parser.add_argument("--ways", nargs="+", default=["socket", "webrtc"], choices=["socket", "webrtc"])
    parser.add_argument("--json", help="file for the figures")
    chosen = parser.parse_args()
    opens = open_true if chosen.true else open_counter
    rows: list[dict[str, Any]] = []
    with (
        counter_stream.serving(ServerSettings(port=0), opens) as address,
        sync_api.sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=chromium(), args=FLAGS)
        for way in chosen.ways:
            rows += measure(browser, address, way, chosen.clicks)
        browser.close()
    sync_report.tell(rows, chosen.json)


if __name__ == "__main__":
    main()
