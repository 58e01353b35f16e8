"""The messages of `WS /v1/stream`; docs/how-to/serve.md has them in words.

The client begins with JSON, {"type": "start", ...}, and the bytes of a portrait; then bytes are audio (int16,
the lower byte first, mono, at the rate that it said) and JSON is what to do. The server answers in JSON;
images and audio are bytes: a head of 16 (kind, flags, 0, 0, frame as uint32, seconds as float64, the lower
byte first), then a JPEG, int16 samples, or what H.264 makes of an image.
"""

import json
import struct
from typing import Annotated, Any, Literal

import numpy as np
import pydantic

from avct_jax import errors
from avct_jax.data.speech import pcm
from avct_jax.live.frames import StreamFrame
from avct_jax.serve import direction

HEAD = struct.Struct("<BBxxId")
JPEG, PCM, H264 = 1, 2, 3
SPEAKING, END_OF_SPEECH, WHOLE = 1, 2, 4
LONGEST = 100_000  # characters of a message


class _Message(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")


class StartMessage(direction.Direction):
    """Opens a stream, or joins one that `POST /v1/sessions` has opened; the portrait follows in bytes."""

    type: Literal["start"]
    session: str | None = pydantic.Field(None, description="of a stream that is open")
    consent: str = ""
    sample_rate: int = pydantic.Field(pcm.RATE, ge=pcm.RATES[0], le=pcm.RATES[1])
    watch: bool = pydantic.Field(True, description="frames are wanted; WebRTC may have them instead")
    video: Literal["jpeg", "h264"] = pydantic.Field("jpeg", description="how images are coded")


class FlushMessage(_Message):
    """The reply ends here."""

    type: Literal["flush"]


class InterruptMessage(_Message):
    """Drop what has not been shown."""

    type: Literal["interrupt"]


class PhonemesMessage(_Message):
    """Says what the coming audio says: [symbol, start, end], seconds since the reply began."""

    type: Literal["phonemes"]
    phonemes: list[tuple[str, float, float]]


class TextMessage(_Message):
    """Says a text, in English, as a reply of its own."""

    type: Literal["text"]
    text: str


class AdjustMessage(_Message):
    """Does more or less from now on; what is not named stays."""

    type: Literal["adjust"]
    head_motion: float | None = None
    blink: float | None = None
    mouth: float | None = None
    expression: dict[str, float] | str | None = None
    gaze: tuple[float, float] | str | None = None


Command = TextMessage | AdjustMessage | FlushMessage | InterruptMessage | PhonemesMessage
_READ: Any = pydantic.TypeAdapter(Annotated[StartMessage | Command, pydantic.Field(discriminator="type")])


def read(text: str) -> StartMessage | Command:
    """Take a client's message.

    Raises:
      UserError: it is none.
    """
    if len(text) > LONGEST:
        raise errors.UserError(f"the message has {len(text)} characters; {LONGEST} are the most")
    try:
        return _READ.validate_json(text)
    except pydantic.ValidationError as error:
        raise errors.UserError(explain(error.errors())) from None


def explain(found: Any) -> str:
    """Say in a line what is wrong with a message or a request."""
    first = found[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return " ".join(f"{where or 'the message'}: {first['msg']}{more}".split())


def image(kind: int, frame: StreamFrame, coded: bytes, *, whole: bool = False) -> bytes:
    """A frame's image.

    Args:
      kind: how it is coded, JPEG or H264.
      whole: of H.264, that images before it are not needed.
    """
    return _head(kind, frame, WHOLE * whole) + coded


def audio(frame: StreamFrame) -> bytes:
    """A frame's audio."""
    assert frame.audio is not None
    return _head(PCM, frame) + np.asarray(frame.audio, "<i2").tobytes()


def tell(kind: str, **what: Any) -> str:
    """A message of the server's."""
    return json.dumps({"type": kind, **what})


def _head(kind: int, frame: StreamFrame, flags: int = 0) -> bytes:
    flags |= SPEAKING * frame.speaking + END_OF_SPEECH * frame.end_of_speech
    return HEAD.pack(kind, flags, frame.index, frame.pts)
