"""`/v1/sessions`: live streams by requests alone; their frames go to a WebSocket or to WebRTC."""

import pathlib
import tempfile
from typing import Annotated, Any

import fastapi
import numpy as np
import pydantic
from scipy.io import wavfile

from avct_jax import errors
from avct_jax.serve import direction, safe_decode, upload
from avct_jax.serve.streams import stream_socket
from avct_jax.serve.streams.sessions import LiveSession, LiveSessions

router = fastapi.APIRouter(prefix="/v1/sessions", tags=["live"])


class SessionState(pydantic.BaseModel):
    """A live stream."""

    id: str
    size: int = pydantic.Field(description="height of the frames, px")
    width: int = pydantic.Field(description="of the frames, px")
    notes: list[str]
    consent: str
    latency: dict[str, Any] = pydantic.Field(description="seconds, and counts of frames")


def _sessions(request: fastapi.Request) -> LiveSessions:
    return request.app.state.sessions


Sessions = Annotated[LiveSessions, fastapi.Depends(_sessions)]


def find(name: str, sessions: Sessions) -> LiveSession:
    """The stream of an id.

    Raises:
      HTTPException: there is none.
    """
    if (session := sessions.get(name)) is None:
        raise fastapi.HTTPException(404, stream_socket.NO_SESSION)
    return session


Session = Annotated[LiveSession, fastapi.Depends(find)]


@router.post("", status_code=201)
async def create_session(
    request: fastapi.Request,
    sessions: Sessions,
    image: Annotated[fastapi.UploadFile, fastapi.File(description="a portrait")],
    consent: Annotated[str, upload.CONSENT],
    how: direction.Form,
) -> SessionState:
    """Open a stream; it is closed when nobody has watched it for a minute."""
    upload.check_consent(consent)
    sessions.check_room()
    limits, folder = request.app.state.settings.limits, sessions.new_folder()
    with upload.removed_on_failure(folder):
        seen = await upload.portrait(image, folder, limits)
        session = await sessions.create(folder, seen, consent, **how.options())
    return _state(session)


@router.get("/{name}")
async def get_session(session: Session) -> SessionState:
    """How a stream does."""
    return _state(session)


@router.delete("/{name}", status_code=204)
async def delete_session(session: Session, sessions: Sessions) -> None:
    """Close a stream."""
    await sessions.close(session)


@router.post("/{name}/audio", status_code=202)
async def say_audio(
    request: fastapi.Request,
    session: Session,
    audio: Annotated[fastapi.UploadFile, fastapi.File(description="a recording, or a video's audio")],
) -> dict[str, float]:
    """Say a recording."""
    limits = request.app.state.settings.limits
    with tempfile.TemporaryDirectory(dir=session.folder) as folder:
        given, heard = (pathlib.Path(folder) / name for name in ("given", "audio.wav"))
        await upload.save(audio, given, limits.audio, "audio")
        decoded = await safe_decode.audio(given, heard, limits)
        rate, samples = wavfile.read(heard)
    await session.say(np.asarray(samples, np.int16), rate, last_chunk=True)
    return {"seconds": decoded.seconds}


@router.post("/{name}/text", status_code=202)
async def say_text(
    request: fastapi.Request,
    session: Session,
    text: Annotated[str, fastapi.Form(description="what is said, in English")],
) -> None:
    """Say a text; it is spoken sentence by sentence."""
    await session.say_text(request.app.state.voice, text)


@router.post("/{name}/adjust", status_code=204)
async def adjust(
    session: Session,
    head_motion: Annotated[float | None, fastapi.Form(description=direction.FAR)] = None,
    blink: Annotated[float | None, fastapi.Form(description=direction.OFTEN)] = None,
    mouth: Annotated[float | None, fastapi.Form(description=direction.WIDE)] = None,
    expression: Annotated[str | None, fastapi.Form(description=direction.EXPRESSION)] = None,
    gaze: Annotated[str | None, fastapi.Form(description=f"{direction.GAZE}; or free")] = None,
) -> None:
    """Do more or less from now on."""
    wanted = {
        "head_motion": head_motion,
        "blink": blink,
        "mouth": mouth,
        "expression": expression,
        "gaze": gaze,
    }
    if not any(value is not None for value in wanted.values()):
        raise errors.UserError(f"give one of {', '.join(wanted)}, as a field of a form")
    await session.adjust(**wanted)


@router.post("/{name}/interrupt", status_code=204)
async def interrupt(session: Session) -> None:
    """Drop what has not been said."""
    await session.interrupt()


def _state(session: LiveSession) -> SessionState:
    return SessionState(
        id=session.id,
        size=session.size,
        width=session.stream.size[1],
        notes=list(session.notes),
        consent=session.consent,
        latency=stream_socket.measured(session),
    )
