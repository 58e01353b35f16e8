"""How well images and audio fit with a true face: aiortc at both ends, and Chromium by both ways.

  python -m scripts.benchmarks.true_sync --json sync.json     under three minutes on two idle cores

One server draws for all three, one after another, so that it compiles once. The last line says how loaded the
machine was: figures of a busy one say little. Needs chromium and the extra `browser`.
"""

import argparse
import asyncio
import os

from avct_jax import compile_cache
from avct_jax.serve.settings import ServerSettings
from scripts.benchmarks import browser_sync, counter_stream, sync_report, webrtc_sync


def main() -> None:
    """Measure all ways."""
    from playwright import sync_api  # pyright: ignore[reportMissingImports]  (extra `browser`)

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clicks", type=int, default=40)
    parser.add_argument("--json", help="file for the figures")
    chosen = parser.parse_args()
    compile_cache.enable()
    with counter_stream.serving(ServerSettings(port=0), browser_sync.open_true) as address:
        rows = asyncio.run(webrtc_sync.watch(address, chosen.clicks))
        with sync_api.sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=browser_sync.chromium(), args=browser_sync.FLAGS)
            for way in browser_sync.NAMES:
                rows += browser_sync.measure(browser, address, way, chosen.clicks)
            browser.close()
    sync_report.tell(rows, chosen.json)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
