"""A face for a LiveKit agent, drawn in the agent's own process."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from avct_jax.agents import avatar_source
from avct_jax.animator import base
from avct_jax.data.phonemes import word_times
from avct_jax.live import async_stream

try:
    from livekit import rtc  # pyright: ignore[reportMissingImports] - an extra
    from livekit.agents import types  # pyright: ignore[reportMissingImports]
    from livekit.agents.voice import avatar  # pyright: ignore[reportMissingImports]
except ModuleNotFoundError as error:
    raise avatar_source.missing("LiveKit's agents", "livekit") from error

PROVIDER = "avct"


class Generator(avatar.VideoGenerator):
    """Segments of speech in; images, their audio and the segments' ends out, 25 images a second.

    Each segment ends once, after its last audio, one without audio too; a segment that is cleared never does.
    """

    def __init__(self, stream: async_stream.AsyncStream, *, word_hints: bool = True):
        """Take a stream.

        Args:
          stream: whoever made it closes it.
          word_hints: the words' times in the audio's `userdata` make lips better; English alone.
        """
        self._stream, self._word_hints = stream, word_hints
        self._clears = 0
        self._open = False  # whether there was audio since the last end
        self._cut = False  # whether the end of a segment that was cleared may come yet
        self._words = word_times.WordTimes()
        self._rate = async_stream.AsyncStream.sample_rate

    async def push_audio(self, frame: Any) -> None:
        """Take a piece of a segment (`rtc.AudioFrame`, any rate), or its end (`AudioSegmentEnd`).

        Raises:
          UserError: the audio cannot be used, or the stream is closed.
        """
        if isinstance(frame, avatar.AudioSegmentEnd):
            await self._end()
            return
        clears = self._clears
        self._open, self._cut, self._rate = True, False, frame.sample_rate
        phonemes = await asyncio.to_thread(self._phonemes, frame)
        if clears == self._clears:
            audio = avatar_source.mono(frame.data, frame.num_channels)
            await self._stream.push_audio(audio, frame.sample_rate, phonemes=phonemes)

    def clear_buffer(self) -> None:
        """Drop what has not been yielded; the mouth shuts, the face goes on."""
        self._clears += 1
        self._open, self._cut = False, self._open
        self._words = word_times.WordTimes()
        self._stream.interrupt()

    def __aiter__(self) -> AsyncIterator[Any]:
        """Yield `rtc.VideoFrame`, `rtc.AudioFrame` and `AudioSegmentEnd` without end."""
        return self._frames()

    async def _frames(self) -> AsyncIterator[Any]:
        async for frame in self._stream.run():
            clears = self._clears
            yield _video(frame.image)
            if frame.audio_chunk is not None and clears == self._clears:
                chunk = frame.audio_chunk
                yield rtc.AudioFrame(chunk.bytes, chunk.sample_rate, 1, len(chunk.data))
            if frame.end_of_speech and clears == self._clears:
                yield avatar.AudioSegmentEnd()

    async def _end(self) -> None:
        """End a segment."""
        if self._cut:
            self._cut = False
            return
        words, self._words, self._open = self._words, word_times.WordTimes(), False
        phonemes = words.finish()
        await self._stream.push_audio(b"", self._rate, last_chunk=True, phonemes=phonemes)

    def _phonemes(self, frame: Any) -> list[word_times.SaidPhoneme]:
        """Those of the words whose times come with the audio."""
        found, words = [], self._words
        for word in frame.userdata.get(types.USERDATA_TIMED_TRANSCRIPT, []) if self._word_hints else []:
            start, end = (getattr(word, name, None) for name in ("start_time", "end_time"))
            if isinstance(start, int | float):
                found += words.add(str(word), start, end if isinstance(end, int | float) else None)
        return found


class AvatarSession(avatar.AvatarSession):
    """The agent's participant shows a face and speaks through it.

    avatar = AvatarSession("face.jpg")
    await avatar.start(session, room=ctx.room)  # before session.start
    """

    def __init__(
        self,
        image: base.Image | None = None,
        *,
        stream: async_stream.AsyncStream | None = None,
        word_hints: bool = True,
        **options: Any,
    ):
        """Note what is asked for.

        Args:
          image: a portrait, see `avct_jax.Stream`.
          stream: instead of an image; the session closes it.
          word_hints: see `Generator`.
          options: more of `avct_jax.Stream`: animator, size, seed, recogniser ...

        Raises:
          UserError: there is neither an image nor a stream, or both.
        """
        super().__init__()
        self._source = avatar_source.AvatarSource(image, stream, options)
        self._word_hints = word_hints
        self._runner: Any = None

    @property
    def avatar_identity(self) -> str:
        """The agent's own participant, in whose process the face is drawn."""
        return PROVIDER if self._room is None else self._room.local_participant.identity

    @property
    def provider(self) -> str:
        """Who draws it."""
        return PROVIDER

    async def start(self, agent_session: Any, room: Any) -> None:
        """Make the avatar, and let the agent's speech go through it.

        Raises:
          UserError: the portrait or what is asked for cannot be used.
        """
        stream = await self._source.open()
        await super().start(agent_session, room)
        height, width = stream.size
        options = avatar.AvatarOptions(
            video_width=width,
            video_height=height,
            video_fps=stream.frame_rate,
            audio_sample_rate=stream.sample_rate,
            audio_channels=1,
        )
        # Any rate: where the agent resamples, the words' times are lost.
        audio = avatar.QueueAudioOutput(wait_playback_start=True)
        generator = Generator(stream, word_hints=self._word_hints)
        self._runner = avatar.AvatarRunner(room=room, audio_recv=audio, video_gen=generator, options=options)
        await self._runner.start()
        agent_session.output.replace_audio_tail(audio)

    async def aclose(self) -> None:
        """End it; the participant stays in its room."""
        room, self._room = self._room, None  # what the base has it removes from the room: here the agent
        if room is not None:
            room.off("connection_state_changed", self._on_connection_state_changed)
        await super().aclose()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.aclose()
        await self._source.close()


def _video(image: np.ndarray) -> Any:
    height, width = image.shape[:2]
    return rtc.VideoFrame(width, height, rtc.VideoBufferType.RGB24, image.tobytes())
