"""A LiveKit agent with a face.

AVATAR=face.jpg python -m livekit.agents start scripts/examples/livekit_avatar.py

pip install 'avct-jax[livekit]'; the server and its keys are read from LIVEKIT_URL, LIVEKIT_API_KEY and
LIVEKIT_API_SECRET. Speech and language models run in LiveKit's inference service.
"""

# pyright: reportMissingImports=false

import os

from livekit import agents

from avct_jax.agents import livekit_avatar

MODELS = {"stt": "deepgram/nova-3", "llm": "openai/gpt-4.1-mini", "tts": "cartesia/sonic-3"}
server = agents.AgentServer()


@server.rtc_session()
async def talk(job):
    """Talk with whoever is in the room."""
    session = agents.AgentSession(**MODELS)
    face = livekit_avatar.AvatarSession(os.environ.get("AVATAR", "face.jpg"))
    await face.start(session, room=job.room)
    await session.start(agents.Agent(instructions="Answer in one or two short sentences."), room=job.room)
    await session.generate_reply(instructions="Greet the user.")
