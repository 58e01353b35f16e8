"""`WS /v1/stream`: audio in, images and audio out, without WebRTC."""

import asyncio
import collections
import contextlib
import logging
from collections.abc import Sequence
from typing import Any

import fastapi
from fastapi import websockets

from avct_jax import errors
from avct_jax.live.frames import StreamFrame
from avct_jax.serve import safe_decode, upload
from avct_jax.serve.guard import Message
from avct_jax.serve.settings import Limits
from avct_jax.serve.streams import image_coders, stream_protocol
from avct_jax.serve.streams.sessions import LiveSession, LiveSessions
from avct_jax.serve.videos.video_jobs import Busy

router = fastapi.APIRouter()
_log = logging.getLogger(__name__)
SUBPROTOCOL = "avct"
POLICY, TOO_BUSY, GONE, FAILED = 1008, 1013, 1001, 1011  # RFC 6455's codes of closing
LATENCY_EVERY = 50  # frames
WAITING = 1000  # messages of a client that have not been done
ENDING = "the server is shutting down"
SLOW = "this connection is too slow for the stream"
NO_SESSION = "there is no such stream; it may have been closed"


@router.websocket("/v1/stream")
async def stream(socket: fastapi.WebSocket) -> None:
    """Speak live, see stream_protocol.py."""
    offered = socket.scope.get("subprotocols", ())
    chosen = SUBPROTOCOL if SUBPROTOCOL in offered else None
    await socket.accept(chosen)
    try:
        await _serve(socket, socket.app.state.sessions, socket.app.state.settings.limits)
    except Busy as error:
        await _end(socket, TOO_BUSY, str(error))
    except errors.UserError as error:
        await _end(socket, POLICY, str(error))
    except (websockets.WebSocketDisconnect, RuntimeError):  # gone, or gone while we sent
        pass
    except asyncio.CancelledError:  # the server ends
        await _end(socket, GONE, ENDING)
    except Exception:
        _log.exception("a live stream failed")
        await _end(socket, FAILED, "this should not have happened: please report it")


async def _serve(socket: fastapi.WebSocket, sessions: LiveSessions, limits: Limits) -> None:
    start = await _start(socket, limits)
    early: list[Message] = []
    session = await _opened(socket, start, sessions, limits, early)
    try:
        await socket.send_text(stream_protocol.tell("ready", **_described(session, start)))
        await _talk(socket, session, start, limits, early)
    finally:
        if not start.session:
            await sessions.close(session)
    if session.why:
        await _end(socket, GONE, session.why)


def _described(session: LiveSession, start: stream_protocol.StartMessage) -> dict[str, Any]:
    """What a client must know of its stream."""
    stream, (height, width) = session.stream, session.stream.size
    return {
        "session": session.id, "size": session.size, "width": width, "height": height, "notes": session.notes,
        "frame_rate": stream.frame_rate, "sample_rate": stream.sample_rate,
        "codec": image_coders.CODECS[start.video], "latency": stream.latency.algorithmic,
    }  # fmt: skip


async def _start(socket: fastapi.WebSocket, limits: Limits) -> stream_protocol.StartMessage:
    try:
        text = (await asyncio.wait_for(socket.receive(), limits.body_seconds)).get("text")
    except TimeoutError:
        raise errors.UserError("no start message came") from None
    start = stream_protocol.read(text or "")
    if not isinstance(start, stream_protocol.StartMessage):
        raise errors.UserError('begin with {"type": "start", ...}')
    return start


async def _opened(
    socket: fastapi.WebSocket,
    start: stream_protocol.StartMessage,
    sessions: LiveSessions,
    limits: Limits,
    early: list[Message],
) -> LiveSession:
    """The stream that a client names, or a new one of the portrait that it sends."""
    if start.session:
        if (known := sessions.get(start.session)) is None:
            raise errors.UserError(NO_SESSION)
        return known
    upload.check_consent(start.consent)
    sessions.check_room()
    try:
        message = await asyncio.wait_for(socket.receive(), limits.body_seconds)
    except TimeoutError:
        raise errors.UserError("no portrait came after the start message") from None
    if not (given := message.get("bytes")):
        raise errors.UserError("send the portrait's bytes after the start message")
    if len(given) > limits.image:
        raise errors.UserError(f"the image has {len(given)} bytes; {limits.image} are the most")
    folder = sessions.new_folder()
    with upload.removed_on_failure(folder):
        (folder / "given").write_bytes(given)
        await safe_decode.image(folder / "given", folder / "image.png", limits)
    creating = sessions.create(folder, folder / "image.png", start.consent, **start.options())
    return await _unless_gone(socket, sessions, asyncio.create_task(creating), early)


async def _unless_gone(
    socket: fastapi.WebSocket,
    sessions: LiveSessions,
    opening: asyncio.Task[LiveSession],
    early: list[Message],
) -> LiveSession:
    """Wait for a stream, keeping what comes early; one whose client has gone meanwhile is closed."""
    leaving = asyncio.create_task(_keep(socket, early))
    try:
        await asyncio.wait((opening, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not opening.done():  # the client has gone, or the server ends
            opening.add_done_callback(lambda made: _close_unwanted(sessions, made))
    if not opening.done():
        raise leaving.exception() or websockets.WebSocketDisconnect(GONE)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    return opening.result()


async def _keep(socket: fastapi.WebSocket, early: list[Message]) -> None:
    """Keep what a client says, until it has gone.

    Raises:
      UserError: it says too much.
    """
    while (message := await socket.receive())["type"] != "websocket.disconnect":
        early.append(message)
        if len(early) > WAITING:
            raise errors.UserError("wait for the ready message before you send so much")


def _close_unwanted(sessions: LiveSessions, made: asyncio.Task[LiveSession]) -> None:
    if not made.cancelled() and made.exception() is None:
        asyncio.get_running_loop().create_task(sessions.close(made.result()))


async def _talk(
    socket: fastapi.WebSocket,
    session: LiveSession,
    start: stream_protocol.StartMessage,
    limits: Limits,
    early: list[Message],
) -> None:
    """Take and give until one of both ends; what went wrong goes on."""
    coder = image_coders.coder(start.video, session.stream.frame_rate)
    outbox, inbox = Outbox(socket, session, limits, coder), Inbox(socket, session, start.sample_rate, early)
    tasks: list[asyncio.Task] = [asyncio.create_task(inbox.take()), asyncio.create_task(inbox.do())]
    tasks.append(asyncio.create_task(session.closed.wait()))
    if start.watch:
        tasks += [asyncio.create_task(outbox.fill()), asyncio.create_task(outbox.send())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Inbox:
    """What a client says, done in order; an interruption overtakes the rest and drops it."""

    def __init__(
        self, socket: fastapi.WebSocket, session: LiveSession, rate: int, early: Sequence[Message] = ()
    ):
        """Begin with what came before the stream was there."""
        self._socket, self._session, self._rate = socket, session, rate
        self._early = collections.deque(early)
        self._waiting: asyncio.Queue[bytes | stream_protocol.Command] = asyncio.Queue(WAITING)
        self._phonemes: list[tuple[str, float, float]] = []
        self._odd = b""

    async def take(self) -> None:
        """Take messages until the client has gone.

        Raises:
          UserError: one is none.
        """
        while True:
            message = self._early.popleft() if self._early else await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise websockets.WebSocketDisconnect(message.get("code", 1000))
            if (sound := message.get("bytes")) is not None:
                await self._waiting.put(sound)
                continue
            match stream_protocol.read(message.get("text") or ""):
                case stream_protocol.InterruptMessage():
                    while not self._waiting.empty():
                        self._waiting.get_nowait()
                    self._phonemes, self._odd = [], b""
                    await self._session.interrupt()
                case stream_protocol.StartMessage():
                    raise errors.UserError("the stream has been started already")
                case command:
                    await self._waiting.put(command)

    async def do(self) -> None:
        """Do what was taken; a text or an adjustment that is refused is told, and the stream goes on.

        Raises:
          UserError: audio cannot be taken.
        """
        while True:
            found = await self._waiting.get()
            if isinstance(found, bytes):
                told, self._phonemes = self._phonemes, []
                whole = self._odd + found
                even = len(whole) // 2 * 2  # a piece may end in the middle of a sample
                self._odd = whole[even:]
                await self._session.say(whole[:even], self._rate, phonemes=told or None)
                continue
            self._odd = b""
            try:
                await self._obey(found)
            except errors.UserError as error:
                line = " ".join(str(error).split())
                await self._socket.send_text(stream_protocol.tell("refused", message=line))

    async def _obey(self, command: stream_protocol.Command) -> None:
        match command:
            case stream_protocol.FlushMessage():
                await self._session.stream.flush()
            case stream_protocol.TextMessage(text=text):
                await self._session.say_text(self._socket.app.state.voice, text)
            case stream_protocol.AdjustMessage() as how:
                await self._session.adjust(**how.model_dump(exclude={"type"}))
            case stream_protocol.PhonemesMessage(phonemes=told):
                self._phonemes += told


class Outbox:
    """What waits to be sent: a slow reader loses images, never audio, and at last its place."""

    def __init__(
        self,
        socket: fastapi.WebSocket,
        session: LiveSession,
        limits: Limits,
        coder: image_coders.ImageCoder,
    ):
        """Begin empty; images are coded when they are sent, so that those left out are none of a code's."""
        self._socket, self._session, self._limits, self._coder = socket, session, limits, coder
        self._waiting: collections.deque[tuple[StreamFrame, bool]] = collections.deque()
        self._there = asyncio.Event()

    @property
    def behind(self) -> int:
        """How many frames wait."""
        return len(self._waiting)

    async def fill(self) -> None:
        """Take the stream's frames as they come.

        Raises:
          UserError: the reader is too slow.
        """
        frames = self._session.watch()
        async with contextlib.aclosing(frames):
            async for frame in frames:
                if self.behind > self._limits.hopeless:
                    raise errors.UserError(SLOW)
                shown = self.behind <= self._limits.backlog
                self._session.dropped += not shown
                self._waiting.append((frame, shown))
                self._there.set()

    async def send(self) -> None:
        """Send what waits, as fast as it is read."""
        while True:
            while not self._waiting:
                self._there.clear()
                await self._there.wait()
            frame, shown = self._waiting.popleft()
            if frame.audio is not None:
                await self._socket.send_bytes(stream_protocol.audio(frame))
            if shown:
                await self._socket.send_bytes(await asyncio.to_thread(self._coder, frame))
            if frame.index % LATENCY_EVERY == 0:
                await self._socket.send_text(stream_protocol.tell("latency", **measured(self._session)))


def measured(session: LiveSession) -> dict[str, Any]:
    """How late a stream is: seconds."""
    found = session.stream.latency
    parts = {"first_frame": found.first_frame, "frame": found.frame, "lateness": found.lateness}
    return {name: row._asdict() for name, row in parts.items()} | session.counts()


async def _end(socket: fastapi.WebSocket, code: int, line: str) -> None:
    """Say why, and close."""
    with contextlib.suppress(RuntimeError, websockets.WebSocketDisconnect):
        await asyncio.wait_for(socket.send_text(stream_protocol.tell("error", message=line)), 1.0)
        await socket.close(code, line.encode()[:120].decode(errors="ignore"))
