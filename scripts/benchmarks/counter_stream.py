"""A stream whose images carry their number and whose audio clicks at known frames, and a server of it."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import uvicorn
from jaxtyping import Int16, UInt8

from avct_jax.live import async_stream, frames
from avct_jax.live import latency as latencies
from avct_jax.serve import app, server
from avct_jax.serve.settings import ServerSettings

RATE, FRAME_RATE, SIDE = 16_000, 25, 256
SAMPLES = RATE // FRAME_RATE
BITS = 16  # black or white blocks at the top of an image, the lowest bit first
EVERY = 20  # frames from click to click
CLICK = 0.005  # seconds
PITCH = 2000.0  # Hz


def burn(image: UInt8[np.ndarray, "s s 3"], index: int) -> UInt8[np.ndarray, "s s 3"]:
    """Write a frame's number into its image."""
    block = image.shape[0] // BITS
    found = image.copy()
    for bit in range(BITS):
        found[:block, bit * block : (bit + 1) * block] = 255 * (index >> bit & 1)
    return found


def read(image: UInt8[np.ndarray, "s s 3"]) -> int:
    """Read the number that `burn` wrote."""
    block = image.shape[0] // BITS
    centres = image[block // 2, block // 2 :: block][:BITS].mean(-1)
    return sum(int(value > 127) << bit for bit, value in enumerate(centres))


def click(audio: Int16[np.ndarray, " n"] | None, index: int) -> Int16[np.ndarray, " n"] | None:
    """Add the click of a frame that has one, at the frame's beginning."""
    if index % EVERY:
        return audio
    found = np.zeros(SAMPLES, np.int16) if audio is None else audio.copy()
    times = np.arange(round(CLICK * RATE)) / RATE
    found[: len(times)] = 30_000 * np.sin(2 * np.pi * PITCH * times)
    return found


class CounterStream(async_stream.AsyncStream):
    """A stream without a face: it says what it hears at once, or clicks."""

    frame_rate, sample_rate = FRAME_RATE, RATE

    def __init__(self, size: int = SIDE, *, clicks: bool = False):
        """Begin; with `clicks` it is never silent."""
        self._side, self._clicks, self.closed = size, clicks, False
        self._latency = latencies.StreamLatency(2, 0)
        self.heard = np.zeros(0, np.int16)
        self.factors: dict[str, float | None] = {}
        self.pushed = self.flushed = self.interrupted = 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, px."""
        return self._side, self._side

    @property
    def notes(self) -> tuple[str, ...]:
        """One line."""
        return ("a picture of numbers",)

    @property
    def latency(self) -> latencies.StreamLatency:
        """Nothing is measured."""
        return self._latency

    async def push_audio(
        self, data: Any, sample_rate: Any, last_chunk: bool = False, *, phonemes: Any = None
    ) -> None:
        """Say a piece of audio."""
        data = np.asarray(data)
        self.pushed += len(data)
        taken = data[np.arange(len(data) * RATE // sample_rate) * sample_rate // RATE]
        self.heard = np.concatenate([self.heard, taken.astype(np.int16)])

    async def flush(self) -> None:
        """Count it."""
        self.flushed += 1

    async def adjust(self, **factors: float | None) -> None:
        """Remember it."""
        self.factors = factors

    def interrupt(self) -> None:
        """Say no more."""
        self.interrupted += 1
        self.heard = self.heard[:0]

    async def run(self) -> AsyncIterator[frames.StreamFrame]:
        """Yield 25 frames a second."""
        start, index = time.monotonic(), 0
        while not self.closed:
            await asyncio.sleep(max(0.0, start + index / FRAME_RATE - time.monotonic()))
            yield self.frame(index)
            index += 1

    def frame(self, index: int) -> frames.StreamFrame:
        """Make the frame of a number."""
        image = burn(np.full((*self.size, 3), 40 + 150 * (index // 12 % 2), np.uint8), index)
        audio = np.zeros(SAMPLES, np.int16) if self._clicks else None
        if self._clicks:
            audio = click(audio, index)
        elif len(self.heard):
            audio = np.pad(self.heard[:SAMPLES], (0, max(0, SAMPLES - len(self.heard))))
            self.heard = self.heard[SAMPLES:]
        return frames.StreamFrame(image, audio, index / FRAME_RATE, index, audio is not None, False)

    async def shutdown(self) -> None:
        """End."""
        self.closed = True


class CountedStream(async_stream.AsyncStream):
    """A true stream whose frames are given numbers and clicks."""

    async def run(self) -> AsyncIterator[frames.StreamFrame]:
        """Yield the stream's frames, marked."""
        async for frame in super().run():
            audio = click(frame.audio, frame.index)
            yield frame._replace(image=burn(frame.image, frame.index), audio=audio)


@contextlib.contextmanager
def serving(settings: ServerSettings, open_stream: Callable[..., Any] | None) -> Iterator[str]:
    """Serve in a thread while the context is open; the address."""
    with contextlib.closing(server.listen(settings)) as listener:
        config = uvicorn.Config(
            app.create_app(settings, open_stream=open_stream),
            log_level="warning", access_log=False, loop="asyncio", http="h11",
            ws="websockets-sansio", ws_max_size=settings.limits.image + 1000, ws_per_message_deflate=False,
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join(20)
