"""How a WebSocket carries a stream's images: a JPEG each, or H.264, which takes a fifteenth of the bytes."""

import fractions
from collections.abc import Callable
from typing import Any, Literal

import cv2
import numpy as np

from avct_jax.live.frames import StreamFrame
from avct_jax.serve.streams import stream_protocol

Coding = Literal["jpeg", "h264"]
# Makes the message of a frame's image; all that it made before may be needed to read it.
ImageCoder = Callable[[StreamFrame], bytes]
QUALITY = 88  # of JPEG: some 20 kB at 256 px
RATE_FACTOR = 23  # x264's usual one; the watermark is read after it, at 256 px too
KEY_EVERY = 250  # frames from one that is whole to the next, at most
BT_709, LIMITED = 1, 1  # matrix, primaries and curve by ITU-T H.273; range by ffmpeg
PROFILE, LEVEL = "high", "4.0"  # up to 1024 px
# As WebCodecs names them (RFC 6381): H.264, profile, nothing constrained, level.
CODECS: dict[Coding, str] = {"jpeg": "jpeg", "h264": "avc1.640028"}


class JpegCoder:
    """Each image by itself."""

    def __call__(self, frame: StreamFrame) -> bytes:
        """A head and a JPEG."""
        done, jpeg = cv2.imencode(".jpg", frame.bgr_image, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
        assert done
        return stream_protocol.image(stream_protocol.JPEG, frame, jpeg.tobytes())


class H264Coder:
    """Each image by how it differs from the last that was coded; none waits for another."""

    def __init__(self, frame_rate: int):
        """Begin with an image that is whole.

        Args:
          frame_rate: images a second, by which x264 shares out bits.
        """
        self._rate, self._coder, self._count = frame_rate, None, 0

    def __call__(self, frame: StreamFrame) -> bytes:
        """A head and an access unit, Annex B; where it is whole, with what a decoder begins with."""
        import av

        made = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.image), format="rgb24")
        made = made.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        made.pts, self._count = self._count, self._count + 1
        coder = self._coder = self._coder or self._new_coder(made.width, made.height)
        (packet,) = coder.encode(made)  # zerolatency: at once
        return stream_protocol.image(stream_protocol.H264, frame, bytes(packet), whole=packet.is_keyframe)

    def _new_coder(self, width: int, height: int) -> Any:
        import av

        coder: Any = av.CodecContext.create("libx264", "w")
        coder.width, coder.height, coder.pix_fmt = width, height, "yuv420p"
        coder.time_base, coder.framerate = fractions.Fraction(1, self._rate), self._rate
        coder.gop_size, coder.max_b_frames = KEY_EVERY, 0
        coder.thread_count = 1  # the face is drawn beside it
        coder.colorspace = coder.color_primaries = coder.color_trc = BT_709
        coder.color_range = LIMITED
        coder.options = {
            "preset": "veryfast", "tune": "zerolatency", "crf": str(RATE_FACTOR), "profile": PROFILE,
            "level": LEVEL,
        }  # fmt: skip
        return coder


def coder(coding: Coding, frame_rate: int) -> ImageCoder:
    """Make what codes a stream's images."""
    return H264Coder(frame_rate) if coding == "h264" else JpegCoder()
