"""A face for a Pipecat bot: TTS audio in, images and the audio that goes with them out."""

import asyncio
import collections
import dataclasses
import time
from typing import Any

import numpy as np

from avct_jax import errors
from avct_jax.agents import avatar_source
from avct_jax.animator import base
from avct_jax.data.phonemes import word_times
from avct_jax.live import async_stream
from avct_jax.live import frames as live_frames

try:
    from pipecat.frames import frames  # pyright: ignore[reportMissingImports] - an extra
    from pipecat.processors import frame_processor  # pyright: ignore[reportMissingImports]
    from pipecat.services import ai_service, settings  # pyright: ignore[reportMissingImports]
except ModuleNotFoundError as error:
    raise avatar_source.missing("Pipecat", "pipecat") from error

DOWN = frame_processor.FrameDirection.DOWNSTREAM
OPENING = 15.0  # seconds that a pipeline waits for its avatar; it is given up by Pipecat after 20
QUIET = 0.4  # seconds without audio after which what is there is said, though no TTSStoppedFrame came
NONE = object()  # no context
MARGIN = 5.0  # seconds that a bot's last words may take longer than they are


@dataclasses.dataclass(eq=False)
class Utterance:
    """A reply on its way through the stream, and what goes downstream with its first and last frame."""

    context: str | None
    interruptible: bool
    destination: str | None
    before: list[Any]
    after: list[Any] = dataclasses.field(default_factory=list)
    seconds: float = 0.0  # pushed
    ended: bool = False


class AvctVideoService(ai_service.AIService):
    """Put it after the TTS service and before `transport.output()`.

    For each image one `OutputImageRawFrame` (RGB, 25 a second, idle or not), followed by its 40 ms of speech
    as `TTSAudioRawFrame` (16 kHz); the TTS service's own audio is not passed on. `TTSStartedFrame` and
    `TTSStoppedFrame` go on with the first and last frame of their reply. An `InterruptionFrame` drops what is
    being said, unless it may not be interrupted. Where the avatar fails, an error is reported and TTS audio
    passes through, so that the bot keeps its voice::

        avatar = AvctVideoService("face.jpg")
        pipeline = Pipeline([transport.input(), stt, user, llm, tts, avatar, transport.output(), assistant])
    """

    def __init__(
        self,
        image: base.Image | None = None,
        *,
        stream: async_stream.AsyncStream | None = None,
        sync_with_audio: bool = True,
        word_hints: bool = True,
        name: str | None = None,
        **options: Any,
    ):
        """Note what is asked for; the avatar is made when the pipeline is set up.

        Args:
          image: a portrait, see `avct_jax.Stream`.
          stream: instead of an image; the service closes it.
          sync_with_audio: the transport shows an image when the audio before it has been sent.
          word_hints: the words' times that the TTS service tells make lips better; English alone.
          name: of the processor.
          options: more of `avct_jax.Stream`: animator, size, seed, recogniser ...

        Raises:
          UserError: there is neither an image nor a stream, or both.
        """
        super().__init__(settings=settings.ServiceSettings(model=None), name=name)
        self._source = avatar_source.AvatarSource(image, stream, options)
        self._sync_with_audio, self._word_hints = sync_with_audio, word_hints
        self._stream: async_stream.AsyncStream | None = None
        self._opening: asyncio.Task[async_stream.AsyncStream] | None = None
        self._task: asyncio.Task | None = None
        self._lock = asyncio.Lock()  # what is pushed, dropped and handed over is so one after the other
        self._said = asyncio.Event()
        self._drops = 0
        self._forget()

    def can_generate_metrics(self) -> bool:
        """Time to first byte: from a reply's first audio to its first image with audio."""
        return True

    async def setup(self, setup: Any) -> None:
        """Make the avatar while other processors are set up; if it takes long, the bot begins without it."""
        await super().setup(setup)
        self._opening = asyncio.create_task(self._source.open())
        await asyncio.wait([self._opening], timeout=OPENING)

    async def stop(self, frame: Any) -> None:
        """Say what there is, then close."""
        await super().stop(frame)
        if self._stream is not None and self._utterances:
            async with self._lock:
                await self._flush()
            left = sum(utterance.seconds for utterance in self._utterances)
            try:
                await asyncio.wait_for(self._said.wait(), left + MARGIN)
            except TimeoutError:
                await self.push_error("the avatar's last words took too long; they were cut")
        await self._close()

    async def cancel(self, frame: Any) -> None:
        """Close at once."""
        await super().cancel(frame)
        await self._close()

    async def cleanup(self) -> None:
        """Close."""
        await super().cleanup()
        await self._close()

    async def process_frame(self, frame: Any, direction: Any) -> None:
        """Take what is about speech, and pass everything else on."""
        if isinstance(frame, frames.InterruptionFrame):
            await self.cancel_ttfb_metrics()  # an interrupted reply has no first byte
        await super().process_frame(frame, direction)
        if isinstance(frame, frames.InterruptionFrame):
            async with self._lock:
                self._interrupt()
                await self.push_frame(frame, direction)
        elif isinstance(frame, frames.StartFrame):
            await self.push_frame(frame, direction)
            if self._opening is not None:
                if self._opening.done() and not self._opening.exception():
                    self._stream = self._opening.result()  # before any audio comes
                self._task = self.create_task(self._show(self._opening))
        elif self._stream is None or direction != DOWN:
            await self.push_frame(frame, direction)
        elif isinstance(frame, frames.TTSAudioRawFrame):
            await self._say(frame)
        elif isinstance(frame, frames.TTSStartedFrame):
            self._before.append(frame)
        elif isinstance(frame, frames.TTSStoppedFrame):
            await self._end(frame)
        else:
            if isinstance(frame, frames.TTSTextFrame) and frame.pts and self._word_hints:
                await self._hear_word(frame)
            await self.push_frame(frame, direction)

    async def _say(self, frame: Any) -> None:
        """Push a piece of a reply."""
        if not frame.audio:
            return
        self._enter(frame.context_id)
        async with self._lock:
            if self._stream is None:  # it has failed meanwhile
                await self.push_frame(frame)
                return
            utterance = await self._utterance(frame)
            try:
                audio = avatar_source.mono(frame.audio, frame.num_channels)
                phonemes = self._known_phonemes(utterance)
                await self._stream.push_audio(audio, frame.sample_rate, phonemes=phonemes)
            except errors.UserError as error:
                if not utterance.seconds:
                    self._utterances.remove(utterance)
                    self._before = utterance.before
                await self.push_error(f"a piece of audio was left out: {error}", exception=error)
                return
            utterance.seconds += len(audio) / frame.sample_rate
            self._context_seconds += len(audio) / frame.sample_rate
            self._heard_at, self._rate = time.monotonic(), frame.sample_rate

    async def _utterance(self, frame: Any) -> Utterance:
        """The present one, or a new one."""
        last = self._utterances[-1] if self._utterances else None
        if last is not None and not last.ended and last.context != frame.context_id:
            await self._flush()
        if last is None or last.ended:
            if last is None:
                await self.start_ttfb_metrics()
            before, self._before = self._before, []
            last = Utterance(frame.context_id, frame.interruptible, frame.transport_destination, before)
            self._utterances.append(last)
            self._said.clear()
        return last

    async def _flush(self) -> None:
        """End the present reply."""
        if self._stream is not None and self._utterances and not self._utterances[-1].ended:
            self._utterances[-1].ended = True
            await self._stream.flush()

    async def _end(self, frame: Any) -> None:
        """Keep the end of a reply until it has been said."""
        async with self._lock:
            if self._utterances:
                self._utterances[-1].after += [*self._before, frame]
                self._before = []
                await self._finish_words(self._utterances[-1])
                await self._flush()
            else:
                await self._push_all([*self._before, frame])
                self._before = []

    async def _finish_words(self, utterance: Utterance) -> None:
        """Tell the phonemes of the last word."""
        self._phonemes += self._words.finish()
        phonemes = self._known_phonemes(utterance)
        if phonemes and self._stream is not None and not utterance.ended:
            await self._stream.push_audio(b"", self._rate, phonemes=phonemes)

    def _known_phonemes(self, utterance: Utterance) -> list[word_times.SaidPhoneme]:
        """Those that have not been told; a pause may have cut the reply in two."""
        begin = self._context_seconds - utterance.seconds
        phonemes, self._phonemes = self._phonemes, []
        return [p._replace(start=p.start - begin, end=p.end - begin) for p in phonemes if p.start >= begin]

    async def _hear_word(self, frame: Any) -> None:
        """Learn phonemes from a word's time; they go with the next audio."""
        self._enter(frame.context_id)
        self._last_pts = max(self._last_pts, frame.pts)
        start = (frame.pts - self._began) / 1e9
        found = await asyncio.to_thread(self._words.add, frame.text, start)
        self._phonemes += found

    def _enter(self, context: str | None) -> None:
        """Note when a context's words are counted from, as the TTS service does at its first audio."""
        if context != self._context:
            self._context, self._context_seconds = context, 0.0
            self._began = max(self._last_pts, self.get_clock().get_time())
            self._words, self._phonemes = word_times.WordTimes(), []

    async def _show(self, opening: asyncio.Task[async_stream.AsyncStream]) -> None:
        """Hand frames over until the stream ends."""
        try:
            stream = self._stream = await opening
        except Exception as error:
            await self._fail("the avatar could not start", error)
            return
        try:
            async for frame in stream.run():
                drops = self._drops
                async with self._lock:
                    if drops == self._drops:
                        await self._hand_over(frame)
        except Exception as error:
            await self._fail("the avatar failed", error)
        else:
            await self._fail("the avatar failed", errors.UserError("its stream was closed"))

    async def _hand_over(self, frame: live_frames.StreamFrame) -> None:
        """Push an image, and what is said with it."""
        utterance = self._utterances[0] if self._utterances else None
        if utterance is None or not (frame.speaking or frame.end_of_speech):
            await self._push_image(frame.image)
            if time.monotonic() - self._heard_at > QUIET:
                await self._flush()
            return
        await self._push_all(utterance.before)
        utterance.before = []
        await self._push_image(frame.image)
        if frame.audio_chunk is not None:
            await self.stop_ttfb_metrics()
            await self._push_audio(frame.audio_chunk, utterance)
        if frame.end_of_speech:
            self._utterances.popleft()
            await self._push_all(utterance.after)
            if not self._utterances:
                self._said.set()

    async def _push_image(self, image: np.ndarray) -> None:
        height, width = image.shape[:2]
        frame = frames.OutputImageRawFrame(image=image.tobytes(), size=(width, height), format="RGB")
        frame.sync_with_audio = self._sync_with_audio
        await self.push_frame(frame)

    async def _push_audio(self, chunk: live_frames.AudioChunk, utterance: Utterance) -> None:
        audio = frames.TTSAudioRawFrame(chunk.bytes, chunk.sample_rate, 1, context_id=utterance.context)
        audio.interruptible, audio.transport_destination = utterance.interruptible, utterance.destination
        await self.push_frame(audio)

    async def _push_all(self, held: list[Any]) -> None:
        for frame in held:
            await self.push_frame(frame)

    def _interrupt(self) -> None:
        """Drop what is being said."""
        if self._stream is None or not all(utterance.interruptible for utterance in self._utterances):
            return
        self._drops += 1
        self._forget()
        self._stream.interrupt()

    def _forget(self) -> None:
        """Have nothing to say."""
        self._utterances: collections.deque[Utterance] = collections.deque()
        self._before: list[Any] = []  # frames that go before the next reply
        self._words, self._phonemes = word_times.WordTimes(), []
        self._context: Any = NONE
        self._context_seconds, self._heard_at, self._rate = 0.0, 0.0, async_stream.AsyncStream.sample_rate
        self._began = self._last_pts = 0  # nanoseconds
        self._said.set()

    async def _fail(self, what: str, error: Exception) -> None:
        """Report it, and be without a face from now on."""
        self._stream = None
        held = [frame for utterance in self._utterances for frame in (*utterance.before, *utterance.after)]
        held += self._before
        self._forget()
        await self._push_all(held)
        await self.push_error(f"{what}, the bot goes on without it: {error}", exception=error)
        await self._source.close()

    async def _close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            await self.cancel_task(task)
        self._stream = None
        self._forget()
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        await self._source.close()
