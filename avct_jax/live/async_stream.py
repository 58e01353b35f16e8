"""`avct_jax.AsyncStream`: a paced stream for asyncio, with the methods of bitHuman's runtime."""

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from avct_jax.live import frame_stream, frames, stream


class AsyncStream:
    """A stream whose frames come at 25 a second; Pipecat's and LiveKit's avatar services run one.

    stream = await AsyncStream.create("portrait.jpg")
    await stream.push_audio(pcm, 24000)
    async for frame in stream.run(): ...
    """

    frame_rate = frame_stream.FrameStream.frame_rate
    sample_rate = frame_stream.FrameStream.sample_rate

    def __init__(self, paced: frame_stream.FrameStream):
        """Take a stream that is paced; `create` makes one."""
        self.stream = paced

    @classmethod
    async def create(cls, *args: Any, **options: Any) -> "AsyncStream":
        """Make one, as `Stream(...)` does, while other tasks go on.

        Raises:
          UserError: as `Stream`.
        """
        made, abandoned = [], threading.Event()

        def make():
            made.append(stream.Stream(*args, **options, paced=True))
            if abandoned.is_set():
                made[0].close()

        try:
            await asyncio.to_thread(make)
        except asyncio.CancelledError:  # the thread goes on; what it makes is nobody's
            abandoned.set()
            for nobodys in made:
                nobodys.close()
            raise
        return cls(made[0])

    async def push_audio(
        self,
        data: frame_stream.Sound,
        sample_rate: frame_stream.Rate,
        last_chunk: bool = False,
        *,
        phonemes: frame_stream.Phonemes | None = None,
    ) -> None:
        """Say a piece of audio, see `Stream.push_audio`; an interruption meanwhile drops it too."""
        await self._of_this_reply(
            functools.partial(
                self.stream.push_audio, data, sample_rate, phonemes=phonemes, last_chunk=last_chunk
            )
        )

    async def flush(self) -> None:
        """End the present reply."""
        await self._of_this_reply(self.stream.flush)

    def interrupt(self) -> None:
        """Drop all that has not been yielded."""
        self.stream.interrupt()

    async def adjust(self, **wanted: Any) -> None:
        """Do more or less of something, see `Stream.adjust`."""
        await asyncio.to_thread(functools.partial(self.stream.adjust, **wanted))

    async def run(self) -> AsyncIterator[frames.StreamFrame]:
        """Yield frames when they are due, without end.

        A thread waits for them but does not take them: none gets lost when the task is cancelled, and none
        that an interruption dropped comes after it.
        """
        while (due := await asyncio.to_thread(self.stream.wait_until_due)) is not None:
            if (frame := self.stream.take_due(due)) is not None:
                yield frame

    async def _of_this_reply(self, call: Callable[[], Any]) -> None:
        """Call in a thread; a task that is cancelled by an interruption leaves it behind, running."""
        await asyncio.to_thread(self.stream.unless_interrupted, self.stream.interruptions, call)

    async def shutdown(self) -> None:
        """End the stream; `run` ends too."""
        await asyncio.to_thread(self.stream.close)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the frames, px."""
        return self.stream.size

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided about the portrait, a line each."""
        return self.stream.notes

    @property
    def latency(self) -> frame_stream.StreamLatency:
        """Delay by design and as measured."""
        return self.stream.latency

    async def __aenter__(self) -> "AsyncStream":
        """Be shut down at the end."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Shut down."""
        await self.shutdown()
