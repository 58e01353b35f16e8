"""Live streams that clients have opened."""

import asyncio
import collections
import contextlib
import gc
import pathlib
import shutil
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

from avct_jax import errors
from avct_jax.data.speech import pcm
from avct_jax.live.async_stream import AsyncStream
from avct_jax.live.frames import StreamFrame
from avct_jax.serve import upload
from avct_jax.serve.settings import Limits, ServerSettings
from avct_jax.serve.videos.video_jobs import Busy
from avct_jax.serve.voice import ServerVoice

FULL = "{} streams are open or being opened, as many as this server holds; try again when one is closed"
WATCHED = "this stream is watched already; close the other view, or open a new stream"
AHEAD = "more than {:.0f} s of audio wait to be said; give the next when some of it has been"
SWEEP = 5.0  # seconds between looks for streams that nobody needs
WARM = 256  # px, of the streams that are compiled at the start

SIZES = (256, 384, 512, 768, 1024)  # px: programs of each are compiled once, and kept

Open = Callable[..., Any]  # AsyncStream.create, or a test's


def checked_size(size: int | None) -> int:
    """Take the side of a stream's frames, px.

    Raises:
      UserError: streams are not drawn at that.
    """
    if size is not None and size not in SIZES:
        known = ", ".join(map(str, SIZES))
        raise errors.UserError(f"size {size} px is none of a live stream's here; choose of {known}")
    return size or WARM


class LiveSession:
    """A stream with a name, whose frames go to one watcher at a time.

    Attributes:
      id: random.
      stream: audio in, frames out.
      consent: who agreed, and how.
      notes: what was decided about the portrait.
      size: height of the frames, px: of a head's square its side.
      sent, dropped: frames handed over, and images that a slow reader made us leave out.
    """

    def __init__(self, name: str, stream: AsyncStream, consent: str, folder: pathlib.Path, limits: Limits):
        """Name a stream."""
        self.id, self.stream, self.consent, self.folder = name, stream, consent, folder
        self.size = stream.size[0]
        self.notes = tuple(upload.without_folder(line, folder) for line in stream.notes)
        self.sent = self.dropped = 0
        self.closed = asyncio.Event()
        self.why = ""
        self.watched_until = self.heard = time.monotonic()
        self._interruptions = 0
        self._watchers, self._ahead, self._most = 0, 0.0, limits.ahead_seconds

    async def say(
        self, data: Any, sample_rate: int, *, phonemes: Any = None, last_chunk: bool = False
    ) -> None:
        """Say a piece of audio.

        Raises:
          UserError: it cannot be taken, or too much waits to be said.
        """
        self.heard = time.monotonic()
        samples = pcm.samples(data)
        if self._ahead + len(samples) / sample_rate > self._most:
            raise errors.UserError(AHEAD.format(self._most))
        self._ahead += len(samples) / sample_rate
        await self.stream.push_audio(samples, sample_rate, last_chunk, phonemes=phonemes)

    async def say_text(self, voice: ServerVoice, text: str) -> None:
        """Say a text as a reply of its own, as soon as its sentences are spoken.

        Raises:
          UserError: it cannot be spoken, or too much waits to be said.
        """
        dropped = self._interruptions
        await self.stream.flush()
        async with contextlib.aclosing(voice.sentences(text)) as pieces:
            async for piece in pieces:
                if self._interruptions != dropped:
                    return
                await self.say(piece.pcm, piece.sample_rate, phonemes=piece.phonemes)
        if self._interruptions == dropped:
            await self.stream.flush()

    async def adjust(self, **wanted: Any) -> None:
        """Do more or less from now on, see `Stream.adjust`.

        Raises:
          UserError: one is out of its range.
        """
        await self.stream.adjust(**wanted)

    async def interrupt(self) -> None:
        """Drop all that has not been handed over."""
        self.heard = time.monotonic()
        self._interruptions += 1  # first: a text that is being said must not go on meanwhile
        await asyncio.to_thread(self.stream.interrupt)
        self._ahead = 0.0

    async def watch(self) -> AsyncGenerator[StreamFrame, None]:
        """Yield frames as they are due, until the stream is closed.

        Raises:
          UserError: another one watches.
        """
        if self._watchers:
            raise errors.UserError(WATCHED)
        self._watchers = 1
        try:
            async for frame in self.stream.run():
                self.sent += 1
                if frame.audio is not None:
                    self._ahead = max(0.0, self._ahead - len(frame.audio) / self.stream.sample_rate)
                yield frame
        finally:
            self._watchers = 0
            self.watched_until = time.monotonic()

    def counts(self) -> dict[str, int]:
        """Frames handed over, images left out for a slow reader, and images shown again."""
        return {"sent": self.sent, "dropped": self.dropped, "repeated": self.stream.latency.repeated}

    def idle_too_long(self, limits: Limits) -> str:
        """Why the stream is to be closed, or ""."""
        now = time.monotonic()
        if not self._watchers and now - self.watched_until > limits.lonely_seconds:
            return "nobody watched the stream"
        if now - self.heard > limits.silent_seconds:
            return f"nobody spoke to the stream for {limits.silent_seconds:.0f} s"
        return ""


class LiveSessions:
    """All streams that are open; they share one animator and its compiled programs."""

    def __init__(self, settings: ServerSettings, folder: pathlib.Path, open_stream: Open | None = None):
        """Begin without any.

        Args:
          folder: in which streams keep their portraits.
          open_stream: makes a stream; by default `AsyncStream.create` with the settings' checkpoint.
        """
        self._settings, self._folder = settings, folder
        self._open = open_stream or self._open_stream
        self._sessions: dict[str, LiveSession] = {}
        self._opening = 0
        self._animator: Any = None
        self._loading = asyncio.Lock()
        # Compiling a size twice would take twice as long; other sizes need not wait for it.
        self._locks: dict[int, asyncio.Lock] = collections.defaultdict(asyncio.Lock)
        self._over: collections.Counter[str] = collections.Counter()
        self.ready = False
        self.opened = 0

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._sessions)

    @property
    def opening(self) -> int:
        """How many are being opened; those whose client has gone meanwhile, too."""
        return self._opening

    def __iter__(self):
        """Go through those that are open."""
        return iter(list(self._sessions.values()))

    def get(self, name: str) -> LiveSession | None:
        """The stream of an id."""
        return self._sessions.get(name)

    def total(self, name: str) -> int:
        """Frames "sent", "dropped" or "repeated", by all streams that there have been."""
        return self._over[name] + sum(session.counts()[name] for session in self)

    def check_room(self) -> None:
        """Refuse a stream before its portrait is read.

        Raises:
          Busy: as many are open as may be.
        """
        if len(self._sessions) + self._opening >= (most := self._settings.limits.streams):
            raise Busy(FULL.format(most))

    def new_folder(self) -> pathlib.Path:
        """Make a folder for a portrait, of a random name."""
        return upload.new_folder(self._folder)

    async def create(
        self, folder: pathlib.Path, image: pathlib.Path, consent: str, **options: Any
    ) -> LiveSession:
        """Open a stream; its folder goes with it.

        Raises:
          Busy: as many are open as may be.
          UserError: as `Stream`.
        """
        try:
            self.check_room()
            size = checked_size(options.get("size"))
            self._opening += 1
            try:
                async with self._locks[size]:
                    stream = await self._open(str(image), **options | {"size": size})
            finally:
                self._opening -= 1
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, errors.UserError) and not isinstance(error, Busy):
                raise upload.nameless(error, folder) from None
            raise
        session = LiveSession(folder.name, stream, consent, folder, self._settings.limits)
        self._sessions[session.id] = session
        self.opened += 1
        return session

    async def close(self, session: LiveSession, why: str = "the stream was closed") -> None:
        """End a stream, and remove its portrait."""
        if self._sessions.pop(session.id, None) is None:
            return
        session.why = why
        self._over.update(session.counts())
        session.closed.set()
        await session.stream.shutdown()
        shutil.rmtree(session.folder, ignore_errors=True)

    async def run(self) -> None:
        """Close streams that nobody needs, until cancelled; then all."""
        limits = self._settings.limits
        try:
            while True:
                await asyncio.sleep(min(SWEEP, limits.lonely_seconds, limits.silent_seconds))
                for session in self:
                    if why := session.idle_too_long(limits):
                        await self.close(session, why)
        finally:
            for session in self:
                await self.close(session, "the server is shutting down")

    async def warm(self) -> None:
        """Compile what streams need, so that the first one opens at once.

        What is there then stays: else Python's collector looks through it all now and then, and every stream
        stands for 0.12 s.
        """
        from avct_jax import demo

        async with self._locks[WARM]:
            stream = await self._open(demo.portrait(), size=WARM)
        await stream.shutdown()
        gc.collect()
        gc.freeze()
        self.ready = True

    async def _open_stream(self, image: Any, **options: Any) -> AsyncStream:
        async with self._loading:  # sizes do not wait for each other
            if self._animator is None:
                from avct_jax.live import portrait

                self._animator = await asyncio.to_thread(portrait.animator, self._settings.checkpoint)
        return await AsyncStream.create(image, animator=self._animator, **options)
