"""How a live stream keeps time on this machine: what `avct bench --live` measures."""

import contextlib
import dataclasses
import resource
import sys
import time
from collections.abc import Callable
from concurrent import futures

import numpy as np
from jaxtyping import Float

from avct_jax import demo
from avct_jax.animator import factory
from avct_jax.benchmark import cores
from avct_jax.data.speech import audio_io, speech_features
from avct_jax.live import latency, stream

FRAME = speech_features.FRAME_SAMPLES
WARM = 25  # frames = 1 s that are not counted
REST = 25  # frames of idling after each reply
HELD = 0.01  # share of images that may be repeated where streams are called held


@dataclasses.dataclass
class LiveReport:
    """A stream of one portrait, seconds.

    Attributes:
      size: side of its frames, px.
      chunk: frames drawn by one call.
      algorithmic: delay by design, by part.
      first_frame: from a reply's first piece of audio, all of it at once, to its first frame.
      microphone: the same where the audio comes in real time.
      frame: what a frame takes to be planned and drawn.
      lateness: by how much frames came after their time.
      cpu: processor time a frame, while it speaks.
      frames: shown in all.
      repeated: of them with the image of the last one.
      memory: most that the process held, bytes.
      cores: that it could use.
      at_once: of so many streams at once, speaking, the share of images that were repeated.
    """

    size: int
    chunk: int
    algorithmic: dict[str, float]
    first_frame: latency.Percentiles
    microphone: latency.Percentiles
    frame: latency.Percentiles
    lateness: latency.Percentiles
    cpu: float
    frames: int
    repeated: int
    memory: int
    cores: int
    at_once: dict[int, float]


def measure(
    *,
    size: int = stream.SIZE,
    chunk: int = stream.CHUNK,
    seconds: float = 30,
    replies: int = 5,
    most_at_once: int = 6,
) -> LiveReport:
    """Let the demo's portrait speak by the clock: first replies at once, then as from a microphone.

    Then more and more streams speak at once, for a third of the time each, until images are repeated.

    Args:
      size: side of the frames, px.
      chunk: frames drawn by one call.
      seconds: how long the microphone is on.
      replies: how many come at once, of a second each.
      most_at_once: streams.
    """
    with demo.sentence() as path:
        wav = audio_io.read_audio(path)
    animator = factory.load()
    open_stream = lambda: stream.Stream(demo.portrait(), animator=animator, size=size, chunk=chunk)
    with open_stream() as live:
        _show(live, WARM)
        for _ in range(replies):
            live.push_audio(wav[: speech_features.SAMPLE_RATE], speech_features.SAMPLE_RATE, last_chunk=True)
            _show(live, speech_features.FRAME_RATE + REST)
        first = live.latency.first_frame
        live.restart_latency()
        frames = int(seconds * speech_features.FRAME_RATE)
        began = time.process_time()
        for piece in _pieces(wav, frames):
            live.push_audio(piece, speech_features.SAMPLE_RATE)
            live.next_frame()
        heard = live.latency
        cpu = (time.process_time() - began) / frames
    return LiveReport(
        size, chunk, heard.algorithmic, first, heard.first_frame, heard.frame, heard.lateness, cpu, frames,
        heard.repeated, _most_memory(), cores.count(), _at_once(open_stream, wav, frames // 3, most_at_once),
    )  # fmt: skip


def _at_once(
    open_stream: Callable[[], stream.Stream], wav: Float[np.ndarray, " n"], frames: int, most: int
) -> dict[int, float]:
    """Let more and more streams speak at once, until they repeat images; the share of those."""
    found: dict[int, float] = {}
    for count in range(1, most + 1):
        with contextlib.ExitStack() as stack:
            lives = [stack.enter_context(open_stream()) for _ in range(count)]
            with futures.ThreadPoolExecutor(count) as pool:
                list(pool.map(lambda live: _speak(live, wav, frames), lives))
            found[count] = sum(live.latency.repeated for live in lives) / (frames * count)
        if found[count] > HELD:
            break
    return found


def _speak(live: stream.Stream, wav: Float[np.ndarray, " n"], frames: int) -> None:
    _show(live, WARM)
    live.restart_latency()
    for piece in _pieces(wav, frames):
        live.push_audio(piece, speech_features.SAMPLE_RATE)
        live.next_frame()


def table(report: LiveReport) -> str:
    """The report as text."""
    rows = {
        "a frame, planned and drawn": report.frame,
        "lateness of frames": report.lateness,
        "first frame, sound at once": report.first_frame,
        "first frame, microphone": report.microphone,
    }
    design = " + ".join(f"{1000 * part:.0f} {name}" for name, part in report.algorithmic.items())
    lines = [f"LIVE: {report.size} px, {report.chunk} frames a call, {report.frames} frames", ""]
    lines.append(f"{'ms':<30}{'p50':>8}{'p95':>8}{'p99':>8}")
    lines += [f"{name:<30}" + "".join(f"{1000 * x:>8.0f}" for x in row) for name, row in rows.items()]
    lines += [
        "",
        f"delay by design: {1000 * sum(report.algorithmic.values()):.0f} ms = {design}",
        f"processor time: {1000 * report.cpu:.1f} ms a frame, of 40 ms on each core",
        f"on {report.cores} cores: {_held(report.at_once)}",
        f"images repeated: {report.repeated}; memory: {report.memory / 2**20:.0f} MiB at most",
    ]
    return "\n".join(lines)


def _held(at_once: dict[int, float]) -> str:
    """How many streams are held, and what one more costs."""
    held = max((count for count, share in at_once.items() if share <= HELD), default=0)
    more = "".join(f"; {n} repeat {100 * s:.0f}% of their images" for n, s in at_once.items() if s > HELD)
    return f"{held} speaking at once in real time{more}"


def _show(live: stream.Stream, frames: int) -> None:
    for _ in range(frames):
        live.next_frame()


def _pieces(wav: Float[np.ndarray, " n"], count: int) -> list[Float[np.ndarray, " 640"]]:
    """40 ms of audio each, over and over."""
    return [np.take(wav, np.arange(i * FRAME, (i + 1) * FRAME), mode="wrap") for i in range(count)]


def _most_memory() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
