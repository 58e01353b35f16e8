"""Where an agent's avatar comes from, and the audio that agents have."""

import asyncio
from typing import Any

import numpy as np
from jaxtyping import Int16

from avct_jax import errors
from avct_jax.animator import base
from avct_jax.data.phonemes import pronunciation
from avct_jax.live import async_stream


class AvatarSource:
    """A stream that is given, or what one is made of when the agent starts."""

    def __init__(
        self, image: base.Image | None, stream: async_stream.AsyncStream | None, options: dict[str, Any]
    ):
        """Note what was given.

        Args:
          image: a portrait, see `Stream`.
          stream: instead of an image; who takes it closes it.
          options: more of `Stream`, with an image.

        Raises:
          UserError: there is neither an image nor a stream, or both.
        """
        if (image is None) == (stream is None):
            raise errors.UserError("an avatar is made of an image or of a stream; give one of them")
        if stream is not None and options:
            raise errors.UserError(f"a stream that is made takes no {errors.few(options)}; leave them out")
        self._image, self._stream, self._options = image, stream, options

    async def open(self) -> async_stream.AsyncStream:
        """Return the stream, when all is loaded that a first reply needs.

        Raises:
          UserError: as `Stream`.
        """
        await asyncio.to_thread(pronunciation.pronunciations, "hello")  # the dictionary takes 0.5 s
        if self._stream is None:
            self._stream = await async_stream.AsyncStream.create(self._image, **self._options)
        return self._stream

    async def close(self) -> None:
        """Shut the stream down, a given one too."""
        if self._stream is not None:
            await self._stream.shutdown()


def mono(audio: bytes | memoryview, channels: int) -> Int16[np.ndarray, " n"]:
    """Average the channels of int16 samples that take turns.

    Raises:
      UserError: the samples are cut off in the middle.
    """
    raw = bytes(audio)
    if len(raw) % (2 * channels):
        raise errors.UserError(
            f"{len(raw)} bytes of audio are given; {channels} channels of 16 bits have {2 * channels}"
        )
    samples = np.frombuffer(raw, "<i2").astype(np.int16).reshape(-1, channels)
    return samples[:, 0] if channels == 1 else np.round(samples.mean(1)).astype(np.int16)


def missing(framework: str, extra: str) -> errors.UserError:
    """What is told where a framework is not installed."""
    return errors.UserError(f"{framework} is not installed: pip install 'avct-jax[{extra}]'")
