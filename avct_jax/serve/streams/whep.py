"""`/whep`: a stream's images and audio by WebRTC (draft-ietf-wish-whep), encoded by aiortc."""

import asyncio
import contextlib
import fractions
import secrets
from typing import Any, cast

import aiortc
import av
import fastapi
import numpy as np
from aiortc import mediastreams
from fastapi import responses

from avct_jax import errors
from avct_jax.serve.settings import ServerSettings
from avct_jax.serve.streams.sessions import LiveSession, LiveSessions
from avct_jax.serve.streams.sessions_api import Sessions
from avct_jax.serve.streams.stream_socket import NO_SESSION

router = fastapi.APIRouter(prefix="/whep", tags=["live"])
SDP = "application/sdp"
CLOCK = 90_000  # ticks a second, of images
PACKET = 320  # samples = 20 ms: aiortc gives packets of one frame the same time
BEHIND = 5  # images that wait to be encoded; more are left out
LOST = frozenset(("failed", "closed", "disconnected"))


class _Images(mediastreams.VideoStreamTrack):
    """A stream's images, for aiortc to encode."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: asyncio.Queue[av.VideoFrame | None] = asyncio.Queue()

    async def recv(self) -> av.VideoFrame:
        """The next image."""
        return cast(av.VideoFrame, await _next(self, self.waiting))


class _Audio(mediastreams.AudioStreamTrack):
    """A stream's audio, for aiortc to encode."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: asyncio.Queue[av.AudioFrame | None] = asyncio.Queue()

    async def recv(self) -> av.AudioFrame:
        """The next 20 ms."""
        return cast(av.AudioFrame, await _next(self, self.waiting))


async def _next(track: Any, waiting: asyncio.Queue) -> Any:
    if track.readyState != "live" or (found := await waiting.get()) is None:
        raise mediastreams.MediaStreamError
    return found


class Peer:
    """One watcher of a stream."""

    def __init__(self, session: LiveSession, settings: ServerSettings):
        """Ready a connection."""
        servers = [aiortc.RTCIceServer(urls=url) for url in settings.ice_servers]
        self.connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=servers))
        self._session, self._seconds = session, settings.limits.peer_seconds
        self._images, self._audio = _Images(), _Audio()
        self._connected, self._over = asyncio.Event(), asyncio.Event()
        self.connection.on("connectionstatechange", self._changed)

    async def answer(self, offer: str) -> str:
        """Agree with a watcher on what is sent.

        Raises:
          UserError: it is no offer to take images and audio.
        """
        try:
            await self.connection.setRemoteDescription(aiortc.RTCSessionDescription(offer, "offer"))
            kinds = {t.kind for t in self.connection.getTransceivers()}
            if not kinds & {"audio", "video"}:
                raise ValueError("it asks for neither images nor audio")
            for kind, track in (("audio", self._audio), ("video", self._images)):
                if kind in kinds:
                    self.connection.addTrack(track)
            await self.connection.setLocalDescription(await self.connection.createAnswer())
        except Exception as error:  # whatever a parser says of a stranger's text
            await self.connection.close()
            raise errors.UserError(f"this is no SDP offer that can be answered: {error}") from None
        return self.connection.localDescription.sdp

    async def run(self) -> None:
        """Send until one of both ends."""
        sending = asyncio.create_task(self._send())
        try:
            over = asyncio.create_task(self._over.wait())
            await asyncio.wait((sending, over), return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await self.close()

    async def close(self) -> None:
        """Hang up."""
        self._over.set()
        for track in (self._images, self._audio):
            track.waiting.put_nowait(None)
        await self.connection.close()

    def _changed(self) -> None:
        if self.connection.connectionState == "connected":
            self._connected.set()
        elif self.connection.connectionState in LOST:
            self._over.set()

    async def _send(self) -> None:
        await asyncio.wait_for(self._connected.wait(), self._seconds)
        frames, first = self._session.watch(), None
        async with contextlib.aclosing(frames):
            async for frame in frames:
                first = frame.index if first is None else first
                self._give_audio(frame, frame.index - first)
                if self._images.waiting.qsize() < BEHIND:
                    self._give_image(frame, frame.index - first)
                else:
                    self._session.dropped += 1

    def _give_image(self, frame: Any, index: int) -> None:
        image = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
        image.pts = index * CLOCK // self._session.stream.frame_rate
        image.time_base = fractions.Fraction(1, CLOCK)
        self._images.waiting.put_nowait(image)

    def _give_audio(self, frame: Any, index: int) -> None:
        """Silence where nobody speaks: the watcher's clock goes on by audio."""
        rate = self._session.stream.sample_rate
        samples = rate // self._session.stream.frame_rate
        given = np.zeros(samples, np.int16) if frame.audio is None else frame.audio
        for begin in range(0, samples, PACKET):
            piece = np.ascontiguousarray(given[None, begin : begin + PACKET])
            audio = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
            audio.sample_rate, audio.pts = rate, index * samples + begin
            audio.time_base = fractions.Fraction(1, rate)
            self._audio.waiting.put_nowait(audio)


class Peers:
    """All watchers by WebRTC."""

    def __init__(self, sessions: LiveSessions, settings: ServerSettings):
        """Begin without any."""
        self._sessions, self._settings = sessions, settings
        self._peers: dict[str, tuple[Peer, asyncio.Task]] = {}

    @property
    def count(self) -> int:
        """How many are connected, or about to be."""
        return len(self._peers)

    async def add(self, session: LiveSession, offer: str) -> tuple[str, str]:
        """Let one watch; its id, and the answer.

        Raises:
          UserError: the offer is none, or another one watches.
        """
        peer = Peer(session, self._settings)
        answer, name = await peer.answer(offer), secrets.token_urlsafe(16)
        task = asyncio.create_task(peer.run())
        self._peers[name] = peer, task
        task.add_done_callback(lambda _: self._peers.pop(name, None))
        return name, answer

    async def remove(self, name: str) -> bool:
        """Hang up; False where there is no such watcher."""
        if name not in self._peers:
            return False
        peer, task = self._peers[name]
        await peer.close()
        await asyncio.gather(task, return_exceptions=True)
        return True

    async def close(self) -> None:
        """Hang up on all."""
        await asyncio.gather(*(self.remove(name) for name in list(self._peers)))


@router.post("/{session}", status_code=201, response_class=responses.Response)
async def watch(request: fastapi.Request, session: str, sessions: Sessions) -> responses.Response:
    """Watch a stream: an SDP offer in, the answer out; DELETE the Location to hang up."""
    if (found := sessions.get(session)) is None:
        raise fastapi.HTTPException(404, NO_SESSION)
    if request.headers.get("content-type", "").partition(";")[0].strip() != SDP:
        raise fastapi.HTTPException(415, f"send an SDP offer, content-type {SDP}")
    offer = (await request.body()).decode(errors="replace")
    name, answer = await request.app.state.peers.add(found, offer)
    headers = {"location": f"/whep/{session}/{name}"}
    return responses.Response(answer, 201, headers, SDP)


@router.delete("/{session}/{name}", status_code=204)
async def hang_up(request: fastapi.Request, session: str, name: str) -> None:
    """Stop watching."""
    if not await request.app.state.peers.remove(name):
        raise fastapi.HTTPException(404, "there is no such watcher; it may have hung up")
