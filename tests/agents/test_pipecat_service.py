"""The avatar in a Pipecat pipeline: every sample once with its image, and nothing of what was dropped."""

import asyncio
import pathlib
import threading

import numpy as np
import pytest
import skimage.data

pytest.importorskip("pipecat", reason="needs the extra pipecat: make test-agents")

from pipecat.frames import frames
from pipecat.pipeline.worker import PipelineParams
from pipecat.processors import frame_processor
from pipecat.tests import utils

from avct_jax import weights_file
from avct_jax.agents import pipecat_service
from avct_jax.animator import factory
from avct_jax.data.media import soundtrack
from avct_jax.data.speech import pcm
from avct_jax.live import async_stream
from tests.agents import agent_parts, pipecat_parts
from tests.live import live_parts

spoken, reply, of = pipecat_parts.spoken, pipecat_parts.reply, pipecat_parts.of
heard, places = pipecat_parts.heard, pipecat_parts.places
VOICES = pathlib.Path(__file__).parent.parent / "voices"
pytestmark = pytest.mark.usefixtures("no_pitch")


def run(stream, sent, options=None, **more):
    service = pipecat_service.AvctVideoService(stream=stream, **(options or {}))
    run_test = utils.run_test(service, frames_to_send=sent, start_timeout=pipecat_parts.PATIENCE, **more)
    down, up = asyncio.run(run_test)
    assert stream.ended
    return down, up


def test_every_sample_comes_once_with_its_image():
    stream = agent_parts.KeepingStream()
    down, up = run(stream, [utils.SleepFrame(0.05), *reply(agent_parts.ramp(20001))])
    images, audio = of(down, frames.OutputImageRawFrame), of(down, frames.TTSAudioRawFrame)
    np.testing.assert_array_equal(heard(down)[:20001], agent_parts.ramp(20001))
    assert len(audio) == 32 and not heard(down)[20001:].any() and not of(up, frames.ErrorFrame)
    assert [i.image for i in images] == [f.image.tobytes() for f in stream.frames]
    assert {(i.size, i.format, i.sync_with_audio) for i in images} == {((1, 1), "RGB", True)}
    assert {(a.sample_rate, a.num_channels, a.context_id) for a in audio} == {(16000, 1, "a")}
    before = {f.audio.tobytes(): f.image.tobytes() for f in stream.frames if f.speaking}
    pairs = [(down[i - 1].image, down[i].audio) for i in places(down, frames.TTSAudioRawFrame)]
    assert len(pairs) == 32 and all(before[sound] == image for image, sound in pairs)
    (started,), (stopped,) = places(down, frames.TTSStartedFrame), places(down, frames.TTSStoppedFrame)
    said = places(down, frames.TTSAudioRawFrame)
    assert started == said[0] - 2 and stopped == said[-1] + 1
    assert said[0] > 3, "idle images come before"


def test_24_khz_stereo_becomes_16_khz_mono():
    left = np.round(9000 * np.sin(np.arange(24000) / 20)).astype(np.int16)
    stereo = np.stack([left, left // 2], 1).reshape(-1)
    down, _ = run(agent_parts.KeepingStream(), reply(stereo, 24000, 2, pieces=2 * 480))
    resampler = pcm.Resampler()
    mono = np.round((left.astype(float) + left // 2) / 2).astype(np.int16)
    expected = np.append(resampler.push(mono, 24000), resampler.finish())
    np.testing.assert_array_equal(heard(down)[: len(expected)], expected)


def test_replies_are_told_one_after_the_other():
    sent = [*reply(agent_parts.ramp(9000), context="a"), *reply(agent_parts.ramp(5000, 20000), context="b")]
    down, _ = run(agent_parts.KeepingStream(), sent)
    marks = [f for f in down if isinstance(f, frames.TTSStartedFrame | frames.TTSStoppedFrame)]
    order = [(type(f).__name__, f.context_id) for f in marks]
    assert order == [(f"TTS{what}Frame", context) for context in "ab" for what in ("Started", "Stopped")]
    contexts = [f.context_id for f in of(down, frames.TTSAudioRawFrame)]
    assert contexts == ["a"] * 15 + ["b"] * 8
    np.testing.assert_array_equal(heard(down)[9600:14600], agent_parts.ramp(5000, 20000))


def test_context_that_changes_ends_a_reply():
    sent = [*spoken(agent_parts.ramp(9000), context="a"), *reply(agent_parts.ramp(5000), context="b")]
    down, _ = run(agent_parts.KeepingStream(), sent)
    assert [f.context_id for f in of(down, frames.TTSAudioRawFrame)] == ["a"] * 15 + ["b"] * 8


def test_reply_without_audio_is_told_at_once():
    down, _ = run(agent_parts.KeepingStream(), reply(np.zeros(0, np.int16)))
    assert len(of(down, frames.TTSStartedFrame)) == len(of(down, frames.TTSStoppedFrame)) == 1
    assert not of(down, frames.TTSAudioRawFrame)


@pytest.mark.parametrize("direction", frame_processor.FrameDirection)
def test_nothing_of_an_interrupted_reply_comes_after_the_interruption(direction):
    stream = agent_parts.KeepingStream()
    service = pipecat_service.AvctVideoService(stream=stream)
    first = [frames.TTSStartedFrame(context_id="a"), *spoken(np.full(16000 * 60, 1, np.int16), pieces=16000)]
    second = reply(np.full(8000, 2, np.int16), context="b")

    async def talk(worker):
        for frame in first:
            await worker.queue_frame(frame)
        await pipecat_parts.until(lambda: sum(f.speaking for f in stream.frames) > 20)
        await service.queue_frame(frames.InterruptionFrame(), direction)
        for frame in [frames.TTSStoppedFrame(context_id="a"), *second]:
            await worker.queue_frame(frame)

    down = pipecat_parts.converse(service, talk)
    assert stream.ended
    sound, began = heard(down), places(down, frames.TTSStartedFrame)
    cut = places(down, frames.InterruptionFrame, frames.TTSStoppedFrame)[0]
    assert [f.context_id for f in of(down, frames.TTSStartedFrame)] == ["a", "b"]
    assert began[0] < cut < began[1] and set(heard(down[:cut])) == {1} and not set(heard(down[cut:])) & {1}
    assert 20 * 640 <= (sound == 1).sum() < 16000 * 60 and (sound == 2).sum() == 8000
    assert (direction is frame_processor.FrameDirection.DOWNSTREAM) == isinstance(
        down[cut], frames.InterruptionFrame
    )


def test_frame_that_was_on_its_way_is_interrupted_too(monkeypatch):
    stream, gate = agent_parts.KeepingStream(), threading.Event()
    service = pipecat_service.AvctVideoService(stream=stream)
    speaking, wait = lambda: sum(f.speaking for f in stream.frames), stream.stream.wait_until_due
    gate.set()
    monkeypatch.setattr(stream.stream, "wait_until_due", lambda: gate.wait() and wait())

    async def talk(worker):
        for frame in spoken(np.full(16000 * 60, 1, np.int16), pieces=16000):
            await worker.queue_frame(frame)
        await pipecat_parts.until(lambda: speaking() > 20)
        gate.clear()
        await asyncio.sleep(0.05)  # what the gate had let through is handed over
        async with service._lock:
            await service.queue_frame(frames.InterruptionFrame())
            await pipecat_parts.until(lambda: service._lock._waiters)
            seen = speaking()
            gate.set()
            await pipecat_parts.until(lambda: speaking() > seen)

    down = pipecat_parts.converse(service, talk)
    (cut,) = places(down, frames.InterruptionFrame)
    late = [f for f in stream.frames if f.speaking][-1].image.tobytes()
    assert len(heard(down[:cut])) and not len(heard(down[cut:]))
    assert late not in {image.image for image in of(down, frames.OutputImageRawFrame)}


def test_reply_that_may_not_be_interrupted_is_said():
    first = spoken(agent_parts.ramp(16000))
    for frame in first:
        frame.interruptible = False
    sent = [
        *first,
        utils.SleepFrame(0.02),
        frames.InterruptionFrame(),
        *reply(agent_parts.ramp(700), context="b"),
    ]
    down, _ = run(agent_parts.KeepingStream(), sent)
    np.testing.assert_array_equal(heard(down)[:16000], agent_parts.ramp(16000))
    flags = [f.interruptible for f in of(down, frames.TTSAudioRawFrame)]
    assert flags == [False] * 25 + [True] * 2


def test_speech_whose_end_is_not_told_is_said_all_the_same(monkeypatch):
    monkeypatch.setattr(pipecat_service, "QUIET", 0.05)
    stream = agent_parts.KeepingStream()
    first, second = agent_parts.ramp(6400), agent_parts.ramp(6400, 9000)

    async def talk(worker):
        for frame in spoken(first, pieces=6400):
            await worker.queue_frame(frame)
        await pipecat_parts.until(lambda: sum(f.speaking for f in stream.frames) == 10)
        for frame in [*spoken(second, pieces=6400), frames.TTSStoppedFrame(context_id="a")]:
            await worker.queue_frame(frame)

    down = pipecat_parts.converse(pipecat_service.AvctVideoService(stream=stream), talk)
    np.testing.assert_array_equal(heard(down), np.append(first, second))
    assert len(of(down, frames.TTSStoppedFrame)) == 1
    assert places(down, frames.TTSStoppedFrame)[0] > places(down, frames.TTSAudioRawFrame)[-1]


def timed(word, seconds, context):
    frame = frames.TTSTextFrame(word, "word", context_id=context)
    frame.pts = round(seconds * 1e9)
    return frame


def test_words_with_times_become_phonemes():
    """A TTS service counts from the clock, or from the last word before: 1000 s here."""
    sent = [*spoken(agent_parts.ramp(3000), context="a"), timed("hello", 1000, "a")]
    sent += [
        timed("boat", 1000.3, "b"),
        timed("call", 1000.6, "b"),
        *reply(agent_parts.ramp(3000), context="b"),
    ]
    stream = agent_parts.KeepingStream()
    down, _ = run(stream, sent)
    assert [f.text for f in of(down, frames.TTSTextFrame)] == ["hello", "boat", "call"]
    rows = [row for rows in stream.pushed[1:] for row in rows]
    assert [row.symbol for row in rows] == ["B", "OW", "T", "K", "AO", "L"]
    np.testing.assert_allclose([row.start for row in rows[:4]], [0.3, 0.4, 0.5, 0.6], atol=1e-6)
    silent = agent_parts.KeepingStream()
    run(
        silent,
        [timed("boat", 1000.3, "b"), *reply(agent_parts.ramp(3000), context="b")],
        {"word_hints": False},
    )
    assert not any(silent.pushed)


def test_time_to_the_first_byte_is_measured_but_not_of_a_dropped_reply(monkeypatch):
    monkeypatch.setattr(pipecat_service, "QUIET", 1e9)
    params = PipelineParams(enable_metrics=True)
    down, _ = run(agent_parts.KeepingStream(), reply(agent_parts.ramp(9000)), pipeline_params=params)
    found = [
        d.value
        for f in of(down, frames.MetricsFrame)
        for d in f.data
        if type(d).__name__ == "TTFBMetricsData"
    ]
    assert len([value for value in found if value > 0]) == 1
    sent = [*spoken(agent_parts.ramp(300)), utils.SleepFrame(0.05), frames.InterruptionFrame()]
    down, _ = run(agent_parts.KeepingStream(), sent, pipeline_params=params)
    assert not [d for f in of(down, frames.MetricsFrame) for d in f.data if getattr(d, "value", 0) > 0]


def test_cancellation_closes_at_once():
    stream = agent_parts.KeepingStream()
    sent = [
        *spoken(np.ones(16000 * 60, np.int16), pieces=16000),
        utils.SleepFrame(0.05),
        frames.CancelFrame(),
    ]
    down, _ = run(stream, sent, send_end_frame=False)
    assert len(heard(down)) < 16000 * 60


def test_bot_keeps_its_voice_where_drawing_fails():
    stream, errors = agent_parts.KeepingStream(agent_parts.broken), []
    service = pipecat_service.AvctVideoService(stream=stream)

    @service.event_handler("on_error")
    async def _note(_, frame):
        errors.append(frame.error)

    async def talk(worker):
        await pipecat_parts.until(lambda: errors)
        for frame in reply(agent_parts.ramp(9000), 24000):
            await worker.queue_frame(frame)

    down = pipecat_parts.converse(service, talk)
    assert len(errors) == 1 and "the avatar failed" in errors[0] and "no memory" in errors[0]
    np.testing.assert_array_equal(heard(down), agent_parts.ramp(9000))
    assert {a.sample_rate for a in of(down, frames.TTSAudioRawFrame)} == {24000} and stream.ended
    assert len(of(down, frames.TTSStoppedFrame)) == 1


def test_bot_keeps_its_voice_where_the_portrait_cannot_be_read():
    service = pipecat_service.AvctVideoService("no.jpg", size=256)
    down, up = asyncio.run(
        utils.run_test(
            service, frames_to_send=reply(agent_parts.ramp(900)), start_timeout=pipecat_parts.PATIENCE
        )
    )
    (error,) = of(up, frames.ErrorFrame)
    assert "could not start" in error.error and "no.jpg" in error.error
    np.testing.assert_array_equal(heard(down), agent_parts.ramp(900))


def test_bot_begins_before_an_avatar_that_takes_long(monkeypatch):
    monkeypatch.setattr(pipecat_service, "OPENING", 0)
    stream, ready = agent_parts.KeepingStream(), asyncio.Event()
    service = pipecat_service.AvctVideoService(stream=stream)

    async def open_later():
        await ready.wait()
        return stream

    monkeypatch.setattr(service._source, "open", open_later)

    async def talk(worker):
        for frame in reply(agent_parts.ramp(900), 24000):
            await worker.queue_frame(frame)
        while not service.has_passed:
            await asyncio.sleep(0.001)
        ready.set()
        await pipecat_parts.until(lambda: stream.frames)
        for frame in reply(agent_parts.ramp(1280)):
            await worker.queue_frame(frame)

    service.has_passed = False

    @service.event_handler("on_after_push_frame")
    async def _note(_, frame):
        service.has_passed |= isinstance(frame, frames.TTSStoppedFrame)

    down = pipecat_parts.converse(service, talk)
    np.testing.assert_array_equal(heard(down), [*agent_parts.ramp(900), *agent_parts.ramp(1280)])
    assert [f.sample_rate for f in of(down, frames.TTSAudioRawFrame)] == [24000, 16000, 16000]
    assert stream.ended


def test_audio_that_cannot_be_used_is_left_out():
    bad = frames.TTSAudioRawFrame(b"123", 16000, 1, context_id="a")
    sent = [bad, frames.TTSStoppedFrame(context_id="a"), *reply(agent_parts.ramp(640), context="b")]
    down, up = run(agent_parts.KeepingStream(), sent)
    (error,) = of(up, frames.ErrorFrame)
    assert "3 bytes" in error.error
    np.testing.assert_array_equal(heard(down), agent_parts.ramp(640))
    assert [f.context_id for f in of(down, frames.TTSAudioRawFrame)] == ["b"]
    assert [f.context_id for f in of(down, frames.TTSStoppedFrame)] == ["a", "b"]


def test_true_stream_says_a_voice():
    voice = soundtrack.listen(str(VOICES / "flite.flac"), sample_rate=24000).samples[: 24000 * 2]
    samples = np.round(voice * 32767).astype(np.int16)
    animator = factory.make(weights_file.System(live_parts.TINY, live_parts.variables()))

    async def talk():
        stream = await async_stream.AsyncStream.create(skimage.data.astronaut(), animator=animator, seed=1)
        service = pipecat_service.AvctVideoService(stream=stream)
        down, _ = await utils.run_test(service, frames_to_send=reply(samples, 24000, pieces=480))
        return stream, down

    stream, down = asyncio.run(talk())
    resampler = pcm.Resampler()
    expected = np.append(resampler.push(samples, 24000), resampler.finish())
    np.testing.assert_array_equal(heard(down)[: len(expected)], expected)
    images = of(down, frames.OutputImageRawFrame)
    assert {image.size for image in images} == {(256, 256)} and len({i.image for i in images}) > 1
    assert not stream.stream._worker.is_alive()


def test_example_makes_a_pipeline(monkeypatch):
    from pipecat.transports import base_transport

    from scripts.examples import pipecat_avatar

    monkeypatch.setenv("OPENAI_API_KEY", "none")

    class Transport(base_transport.BaseTransport):
        """Nowhere."""

        input = output = lambda self: frame_processor.FrameProcessor()

    async def make():
        return pipecat_avatar.make_worker(Transport(), pipecat_service.AvctVideoService("face.jpg"))

    (steps,) = [part for part in asyncio.run(make()).pipeline.processors if getattr(part, "processors", None)]
    names = [type(part).__name__ for part in steps.processors]
    assert names[-4:-1] == ["AvctVideoService", "FrameProcessor", "LLMAssistantAggregator"]
    assert asyncio.iscoroutinefunction(pipecat_avatar.bot)
