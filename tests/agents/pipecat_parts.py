"""A Pipecat pipeline around one processor, driven step by step; imported where Pipecat is."""

import asyncio

from pipecat.frames import frames
from pipecat.pipeline import pipeline, worker
from pipecat.processors.frame_processor import FrameDirection
from pipecat.tests import utils
from pipecat.workers import runner

from tests.agents import agent_parts

PATIENCE = 60  # seconds that a busy machine is given


def converse(processor, talk):
    """Run a pipeline while `talk(worker)` queues frames and waits; return what came down."""

    async def run():
        received = asyncio.Queue()
        ends = [
            utils.QueuedFrameProcessor(queue=queue, queue_direction=FrameDirection.DOWNSTREAM)
            for queue in (asyncio.Queue(), received)
        ]
        steps = pipeline.Pipeline([ends[0], processor, ends[1]])
        task, started = worker.PipelineWorker(steps, cancel_on_idle_timeout=False), asyncio.Event()

        @task.event_handler("on_pipeline_started")
        async def _start(*_):
            started.set()

        async def drive():
            await started.wait()
            await talk(task)
            await task.queue_frame(frames.EndFrame())

        workers = runner.WorkerRunner()
        await workers.add_workers(task)
        await asyncio.wait_for(asyncio.gather(workers.run(), drive()), PATIENCE)
        return [received.get_nowait() for _ in range(received.qsize())]

    return asyncio.run(run())


async def until(condition):
    """Wait for what happens in other tasks and threads."""
    while not condition():
        await asyncio.sleep(0.001)


def spoken(samples, rate=16000, channels=1, context="a", pieces=3000):
    """Pieces of a reply."""
    audio = [samples[i : i + pieces].tobytes() for i in range(0, len(samples), pieces)]
    return [frames.TTSAudioRawFrame(piece, rate, channels, context_id=context) for piece in audio]


def reply(*args, context="a", **options):
    """A whole reply."""
    return [
        frames.TTSStartedFrame(context_id=context),
        *spoken(*args, context=context, **options),
        frames.TTSStoppedFrame(context_id=context),
    ]


def of(found, kind):
    """Frames of a kind."""
    return [frame for frame in found if isinstance(frame, kind)]


def heard(found):
    """Samples of all audio."""
    return agent_parts.joined([frame.audio for frame in of(found, frames.TTSAudioRawFrame)])


def places(found, *kinds):
    """Where frames of some kinds are."""
    return [i for i, frame in enumerate(found) if isinstance(frame, kinds)]
