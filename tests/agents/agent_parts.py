"""What the tests of agents share: a stream of small parts that keeps what it hands over."""

import asyncio
import itertools

import numpy as np

from avct_jax.live import async_stream
from tests.live import live_parts


class KeepingStream(async_stream.AsyncStream):
    """A stream without networks by a clock that does not wait; every image differs.

    Attributes:
      frames: that were handed over.
      pushed: rows of phonemes, a list for each piece of audio.
    """

    def __init__(self, draw=None):
        """Begin."""
        count = itertools.count(1)
        numbered = lambda controls: np.array([[[[*divmod(next(count), 256), 0]]] for _ in controls], np.uint8)
        super().__init__(live_parts.PacedStream(draw or numbered))
        self.frames, self.pushed = [], []

    async def run(self):
        """Keep what comes."""
        async for frame in super().run():
            self.frames.append(frame)
            yield frame
            await asyncio.sleep(0)

    async def push_audio(self, data, sample_rate, last_chunk=False, *, phonemes=None):
        """Keep what is told."""
        self.pushed.append(list(phonemes or []))
        await super().push_audio(data, sample_rate, last_chunk, phonemes=phonemes)

    @property
    def ended(self):
        """Whether nothing of it runs."""
        return not self.stream._worker.is_alive()


def broken(controls):
    """Draws nothing."""
    raise RuntimeError("no memory")


def ramp(count, begin=1):
    """Samples that differ."""
    return (np.arange(begin, begin + count) % 30000).astype(np.int16)


def joined(pieces):
    """Samples of pieces of bytes."""
    return np.frombuffer(b"".join(pieces), np.int16)
