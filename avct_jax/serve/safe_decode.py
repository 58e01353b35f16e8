"""Strangers' files, decoded in a process of their own that may take so much time and memory, and no more."""

import asyncio
import contextlib
import json
import os
import pathlib
import signal
import sys
from typing import NamedTuple

from avct_jax import errors
from avct_jax.serve.settings import Limits

LIMITED = "it cannot be decoded within the limits of this server; give a smaller or simpler file"
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "HOME", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "IMAGEIO_FFMPEG_EXE")


class Decoded(NamedTuple):
    """What came of a file.

    Attributes:
      seconds: of audio; 0 of an image.
      notes: what was decided on the way, a line each.
    """

    seconds: float
    notes: tuple[str, ...]


async def image(source: pathlib.Path, target: pathlib.Path, limits: Limits) -> Decoded:
    """Decode a portrait, by its content, to a png.

    Raises:
      UserError: it is no image, has too many pixels, or takes too long.
    """
    return await _decode("image", source, target, limits)


async def audio(source: pathlib.Path, target: pathlib.Path, limits: Limits) -> Decoded:
    """Decode a recording, or a video's audio, to a wav of 48 kHz, mono.

    Raises:
      UserError: there is no audio in it, or it lasts or takes too long.
    """
    return await _decode("audio", source, target, limits)


async def film(source: pathlib.Path, target: pathlib.Path, limits: Limits) -> Decoded:
    """Look for the marks of a film; what is found is written as JSON.

    Raises:
      UserError: it is no film, or takes too long.
    """
    return await _decode("film", source, target, limits)


async def _decode(kind: str, source: pathlib.Path, target: pathlib.Path, limits: Limits) -> Decoded:
    task = {"kind": kind, "source": str(source), "target": str(target), "limits": limits._asdict()}
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "avct_jax.serve.decode_process", json.dumps(task),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        env={**environment, "OPENBLAS_NUM_THREADS": "1"}, start_new_session=True,
    )  # fmt: skip
    try:
        said, _ = await asyncio.wait_for(process.communicate(), limits.decode_seconds)
        answer = json.loads(said)
    except (TimeoutError, ValueError):
        raise errors.UserError(f"the {kind}: {LIMITED}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):  # and the ffmpeg that it may have begun
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if "error" in answer:
        raise errors.UserError(f"the {kind}: {answer['error']}")
    return Decoded(answer["seconds"], tuple(answer["notes"]))
