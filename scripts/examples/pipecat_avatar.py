"""A voice bot with a face, in the browser: `AVATAR=face.jpg python scripts/examples/pipecat_avatar.py`.

pip install 'avct-jax[pipecat]' 'pipecat-ai[runner,webrtc]'; OpenAI's key is read from OPENAI_API_KEY.
"""

# pyright: reportMissingImports=false

import functools
import os

from pipecat.audio.vad import silero
from pipecat.pipeline import pipeline, worker
from pipecat.processors.aggregators import llm_context, llm_response_universal
from pipecat.runner import utils
from pipecat.services.openai import llm, stt, tts
from pipecat.transports import base_transport
from pipecat.workers import runner

import avct_jax
from avct_jax.agents import pipecat_service

load = functools.cache(avct_jax.load)  # later conversations need not compile


def make_worker(transport, avatar):
    """From the microphone to the face."""
    context = llm_context.LLMContext([{"role": "system", "content": "Answer in one or two short sentences."}])
    listen = llm_response_universal.LLMUserAggregatorParams(vad_analyzer=silero.SileroVADAnalyzer())
    user, assistant = llm_response_universal.LLMContextAggregatorPair(context, user_params=listen)
    mind = [stt.OpenAISTTService(), user, llm.OpenAILLMService(), tts.OpenAITTSService()]
    steps = pipeline.Pipeline([transport.input(), *mind, avatar, transport.output(), assistant])
    rates = worker.PipelineParams(audio_out_sample_rate=16000, enable_metrics=True)  # the avatar's own rate
    return worker.PipelineWorker(steps, params=rates)


async def bot(arguments):
    """Talk with somebody who has connected."""
    size = {"video_out_width": 256, "video_out_height": 256, "video_out_framerate": 25}
    both = {"audio_in_enabled": True, "audio_out_enabled": True, "video_out_enabled": True}
    parameters = lambda: base_transport.TransportParams(**both, **size)
    transport = await utils.create_transport(arguments, {"webrtc": parameters})
    avatar = pipecat_service.AvctVideoService(os.environ.get("AVATAR", "face.jpg"), animator=load())
    workers = runner.WorkerRunner()
    await workers.add_workers(make_worker(transport, avatar))
    await workers.run()


if __name__ == "__main__":
    from pipecat.runner.run import main

    main()
