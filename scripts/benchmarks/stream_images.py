"""What a live stream's images take by WebSocket, as JPEGs and as H.264: bytes, processor time, the watermark.

  python -m scripts.benchmarks.stream_images --sizes 256 512      half a minute a size on two cores

The demo's portrait says the demo's sentence, and idles before and after it.
"""

import argparse
import pathlib
import tempfile
import time

from avct_jax import demo
from avct_jax.data.speech import audio_io, pcm
from avct_jax.live import frames, stream
from avct_jax.marks import mark_detector
from avct_jax.serve.streams import image_coders, stream_protocol

IDLE = 50  # frames before the sentence and after it
HEAD = stream_protocol.HEAD.size


def drawn(size: int) -> list[frames.StreamFrame]:
    """The stream's frames."""
    with demo.sentence() as path:
        voice = audio_io.read_audio(path)
    with stream.Stream(demo.portrait(), size=size, paced=False) as live:
        shown = list(live.idle(IDLE))
        live.push_audio(voice, pcm.RATE, last_chunk=True)
        return [*shown, *live, *live.idle(IDLE)]


def measure(coding: image_coders.Coding, shown: list[frames.StreamFrame]) -> tuple[float, float, int, bytes]:
    """Bytes a second, processor ms an image, the largest image, and all of them."""
    coder, began = image_coders.coder(coding, stream.Stream.frame_rate), time.thread_time()
    coded = [coder(frame)[HEAD:] for frame in shown]
    spent = 1000 * (time.thread_time() - began) / len(shown)
    whole = b"".join(coded)
    return len(whole) / len(shown) * stream.Stream.frame_rate, spent, max(map(len, coded)), whole


def main() -> None:
    """Print a line for each size and coding."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    for size in parser.parse_args().sizes:
        shown = drawn(size)
        for coding in image_coders.CODECS:
            rate, spent, largest, whole = measure(coding, shown)
            line = f"{size} px, {coding}: {rate / 1000:.1f} kB/s, at most {largest / 1000:.1f} kB an image"
            line += f", {spent:.2f} ms of processor time an image"
            if coding == "h264":
                with tempfile.TemporaryDirectory() as folder:
                    path = pathlib.Path(folder) / "stream.h264"
                    path.write_bytes(whole)
                    found = mark_detector.read(path)
                line += f"; watermark {'found' if found.found else 'lost'}, score {found.score:.0f}"
            print(line)


if __name__ == "__main__":
    main()
