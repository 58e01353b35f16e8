"""`AsyncStream` as the runtime of pipecat-bithuman: somebody else's service, unchanged."""

import asyncio

import numpy as np
import pytest

pytest.importorskip("pipecat_bithuman", reason="needs pipecat-bithuman: make test-agents")

import pipecat_bithuman
from pipecat.frames import frames
from pipecat.tests import utils

from tests.agents import agent_parts, pipecat_parts

reply, of, heard = pipecat_parts.reply, pipecat_parts.of, pipecat_parts.heard

pytestmark = pytest.mark.usefixtures("no_pitch")


def service_of(stream):
    async def create():
        return stream

    return pipecat_bithuman.BitHumanVideoService(runtime_factory=create)


def test_stream_has_the_protocols_methods():
    stream = agent_parts.KeepingStream()
    assert isinstance(stream, pipecat_bithuman.BitHumanRuntime)
    stream.stream.close()


def test_reply_is_said_whole_and_ends():
    stream = agent_parts.KeepingStream()
    sent = [
        utils.SleepFrame(0.05),
        *reply(agent_parts.ramp(20001)),
        *reply(agent_parts.ramp(700), context="b"),
    ]
    run_test = utils.run_test(service_of(stream), frames_to_send=sent, start_timeout=pipecat_parts.PATIENCE)
    down, up = asyncio.run(run_test)
    sound = heard(down)
    np.testing.assert_array_equal(sound[:20001], agent_parts.ramp(20001))
    np.testing.assert_array_equal(sound[20480:21180], agent_parts.ramp(700))
    assert len(sound) == 34 * 640 and not of(up, frames.ErrorFrame)
    images = of(down, frames.OutputImageRawFrame)
    assert [image.image for image in images] == [f.image.tobytes() for f in stream.frames[: len(images)]]
    pairs = [
        (down[i - 1].image, f.audio) for i, f in enumerate(down) if isinstance(f, frames.TTSAudioRawFrame)
    ]
    assert pairs == [(f.image.tobytes(), f.audio_chunk.bytes) for f in stream.frames if f.speaking]
    ends = [i for i, f in enumerate(down) if isinstance(f, frames.TTSStoppedFrame)]
    assert [len(heard(down[:end])) // 640 for end in ends] == [32, 34]
    assert stream.ended


def test_resampled_reply_is_said_whole():
    stream = agent_parts.KeepingStream()
    samples = np.round(9000 * np.cos(np.arange(24000) / 20)).astype(np.int16)
    down, _ = asyncio.run(utils.run_test(service_of(stream), frames_to_send=reply(samples, 24000)))
    np.testing.assert_allclose(
        heard(down)[100:15900], 9000 * np.cos(np.arange(100, 15900) * 1.5 / 20), atol=20
    )


def test_interruption_leaves_nothing_of_the_reply():
    stream = agent_parts.KeepingStream()
    service = service_of(stream)

    async def talk(worker):
        for frame in reply(np.full(16000 * 60, 1, np.int16), pieces=16000):
            await worker.queue_frame(frame)
        await pipecat_parts.until(lambda: sum(f.speaking for f in stream.frames) > 20)
        await service.queue_frame(frames.InterruptionFrame())
        for frame in reply(np.full(8000, 2, np.int16), context="b"):
            await worker.queue_frame(frame)

    down = pipecat_parts.converse(service, talk)
    (cut,) = pipecat_parts.places(down, frames.InterruptionFrame)
    assert set(heard(down[:cut])) == {1} and not set(heard(down[cut:])) & {1}
    assert (heard(down[cut:]) == 2).sum() == 8000 and stream.ended
    assert [f.context_id for f in of(down, frames.TTSStoppedFrame)] == ["b"]
