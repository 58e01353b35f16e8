"""Images of a stream as a WebSocket carries them."""

import av
import cv2
import numpy as np

from avct_jax.live import frames
from avct_jax.marks import mark_detector
from avct_jax.serve.streams import image_coders
from avct_jax.serve.streams import stream_protocol as protocol
from tests.marks import marked_film


def messages(coder, shown):
    """The messages of some images."""
    return [
        coder(frames.StreamFrame(image, None, index / 25, index, False, False))
        for index, image in enumerate(shown)
    ]


def plain(*colours, side=64):
    """Images of one colour each."""
    return [np.full((side, side, 3), colour, np.uint8) for colour in colours]


def test_a_jpeg_is_an_image_by_itself():
    (message,) = messages(image_coders.coder("jpeg", 25), plain((250, 0, 0)))
    assert protocol.HEAD.unpack(message[:16]) == (protocol.JPEG, 0, 0, 0.0)
    decoded = cv2.imdecode(np.frombuffer(message[16:], np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape == (64, 64, 3) and np.abs(decoded.mean((0, 1)) - [0, 0, 250]).max() < 4  # BGR


def test_h264_gives_each_image_at_once_in_its_colours():
    colours = [(250, 0, 0), (20, 200, 90), (10, 20, 230)]
    decoder = av.CodecContext.create("h264", "r")
    for index, message in enumerate(messages(image_coders.coder("h264", 25), plain(*colours))):
        kind, flags, *_ = protocol.HEAD.unpack(message[:16])
        assert (kind, flags) == (protocol.H264, protocol.WHOLE * (index == 0))
        (found,) = decoder.decode(av.Packet(message[16:]))  # at once: no image waits for a later one
        pixels = found.to_ndarray(format="rgb24", src_colorspace="ITU709")
        assert np.abs(pixels.mean((0, 1)) - colours[index]).max() < 4


def test_h264_names_its_profile_and_level():
    first = messages(image_coders.coder("h264", 25), plain((90, 90, 90), side=1024))[0][16:]
    head = first[first.index(b"\0\0\1\x67") + 4 :]
    assert image_coders.CODECS["h264"] == f"avc1.{head[:3].hex()}"


def test_h264_is_whole_again_after_ten_seconds():
    coded = messages(image_coders.coder("h264", 25), plain(*[(90, 90, 90)] * 251, side=32))
    whole = [index for index, message in enumerate(coded) if message[1] & protocol.WHOLE]
    assert whole == [0, 250]


def test_h264_keeps_the_watermark_in_far_fewer_bytes(tmp_path):
    shown = marked_film.marked(marked_film.frames())
    coded = messages(image_coders.coder("h264", 25), shown)
    path = tmp_path / "stream.h264"
    path.write_bytes(b"".join(message[16:] for message in coded))
    found = mark_detector.read(path)
    assert found.found and found.payload == marked_film.PAYLOAD
    assert 8 * path.stat().st_size < sum(map(len, messages(image_coders.coder("jpeg", 25), shown)))
