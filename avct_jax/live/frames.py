"""What a stream yields."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int16, UInt8

from avct_jax.data.speech import pcm


class AudioChunk(NamedTuple):
    """The audio of one frame, as bitHuman's runtime hands it over."""

    data: Int16[np.ndarray, " 640"]
    sample_rate: int = pcm.RATE

    @property
    def array(self) -> Int16[np.ndarray, " 640"]:
        """Samples."""
        return self.data

    @property
    def bytes(self) -> bytes:
        """Samples of 16 bits, the lower byte first."""
        return self.data.astype("<i2").tobytes()

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.data) / self.sample_rate


class StreamFrame(NamedTuple):
    """A frame with its 40 ms of audio.

    Attributes:
      image: RGB.
      audio: 16 kHz mono; None while nobody speaks.
      pts: seconds since the stream began.
      index: number of the frame.
      speaking: whether a reply is being said.
      end_of_speech: whether a reply ends with this frame.
    """

    image: UInt8[np.ndarray, "h w 3"]
    audio: Int16[np.ndarray, " 640"] | None
    pts: float
    index: int
    speaking: bool
    end_of_speech: bool

    @property
    def bgr_image(self) -> UInt8[np.ndarray, "h w 3"]:
        """As OpenCV wants it, and protocols that come from it."""
        return np.ascontiguousarray(self.image[..., ::-1])

    @property
    def audio_chunk(self) -> AudioChunk | None:
        """The audio with its rate."""
        return None if self.audio is None else AudioChunk(self.audio)

    @property
    def frame_index(self) -> int:
        """The same as `index`."""
        return self.index

    @property
    def has_image(self) -> bool:
        """Always."""
        return True
