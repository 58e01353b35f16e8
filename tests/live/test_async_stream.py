"""A stream of asyncio: interruptions and cancelled tasks lose nothing and bring nothing back."""

import asyncio
import concurrent.futures
import threading

import numpy as np
import pytest

from avct_jax.data.speech import streaming_features
from avct_jax.live import async_stream
from tests.live import live_parts

SECOND = np.arange(1, 16001, dtype=np.int16)


@pytest.fixture(autouse=True)
def _no_pitch(monkeypatch):
    """Speed: WORLD takes most of the time of these tests."""
    monkeypatch.setattr(streaming_features, "pitch", lambda audio: np.zeros(4))


def new_stream():
    return async_stream.AsyncStream(live_parts.PacedStream())


def test_cancelled_reader_loses_no_frame():
    async def talk():
        found = []

        async def read(most):
            async for frame in stream.run():
                found.append(frame)
                if len(found) >= most or frame.end_of_speech:
                    return

        async with new_stream() as stream:
            await stream.push_audio(SECOND, 16000, last_chunk=True)
            for _ in range(20):  # cancelled while a thread waits for a frame
                task = asyncio.create_task(read(len(found) + 2))
                while not task.done() and len(found) < 1:
                    await asyncio.sleep(0)
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await read(1000)
        return found

    found = asyncio.run(talk())
    assert [f.index for f in found] == list(range(len(found)))
    np.testing.assert_array_equal(np.concatenate([f.audio for f in found if f.speaking]), SECOND)


def test_interruption_while_a_frame_is_waited_for_drops_it(monkeypatch):
    async def talk():
        found, loop, at = [], asyncio.get_running_loop(), []

        def interrupt():
            at.append(len(found))
            stream.interrupt()

        async with new_stream() as stream:
            wait = stream.stream.wait_until_due

            def wait_and_interrupt():
                due = wait()
                if stream.stream.interruptions == 0 and stream.stream._planner.index == 10:
                    loop.call_soon_threadsafe(interrupt)  # before the reader hears of it
                return due

            monkeypatch.setattr(stream.stream, "wait_until_due", wait_and_interrupt)
            await stream.push_audio(SECOND, 16000, last_chunk=True)
            async for frame in stream.run():
                found.append(frame)
                if len(found) == 16:
                    break
        return found, *at

    found, at = asyncio.run(talk())
    assert [f.index for f in found] == list(range(16)) and found[at - 1].speaking
    assert not any(f.speaking or f.end_of_speech for f in found[at:])
    assert not found[at + 2].image[0, 0, 0], "shut in the third frame"


@pytest.mark.parametrize("what", ["push", "flush"])
def test_what_waits_for_a_thread_is_dropped_by_an_interruption(what):
    """Audio of the dropped reply would be said after it, its end would end the next reply."""

    async def talk():
        hold = threading.Event()
        loop = asyncio.get_running_loop()
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1))
        async with new_stream() as stream:
            await stream.push_audio(SECOND[:4000], 16000)
            loop.run_in_executor(None, hold.wait)
            calls = {"push": lambda: stream.push_audio(SECOND, 16000), "flush": stream.flush}
            late = asyncio.create_task(calls[what]())
            await asyncio.sleep(0)
            stream.interrupt()
            stream.stream.push_audio(SECOND[:8000], 16000)
            hold.set()
            await late
            (reply,) = stream.stream._planner._replies
            return reply.ended, reply._samples

    assert asyncio.run(talk()) == (False, 8000)


@pytest.mark.parametrize("early", [True, False])
def test_stream_that_nobody_waits_for_any_more_is_closed(monkeypatch, early):
    made, go, there = [], threading.Event(), threading.Event()

    def make(*_, **__):
        go.wait(5)
        made.append(live_parts.PacedStream())
        there.set()
        return made[0]

    monkeypatch.setattr(async_stream.stream, "Stream", make)

    async def talk():
        task = asyncio.create_task(async_stream.AsyncStream.create("face.jpg"))
        await asyncio.sleep(0.01)
        if not early:
            go.set()
            there.wait(5)  # the task has not heard of it yet
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        go.set()
        return task.cancelled()

    assert asyncio.run(talk()) and not made[0]._worker.is_alive()
