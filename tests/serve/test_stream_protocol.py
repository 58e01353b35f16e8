"""The messages of a WebSocket's stream."""

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.live import frames
from avct_jax.serve.streams import stream_protocol as protocol


def frame(**changed):
    """A red frame of a reply."""
    image = np.zeros((16, 16, 3), np.uint8)
    image[..., 0] = 250
    made = frames.StreamFrame(image, np.arange(-320, 320, dtype=np.int16), 1.72, 43, True, False)
    return made._replace(**changed)


def test_an_image_is_a_head_and_what_it_was_coded_to():
    message = protocol.image(protocol.H264, frame(), b"coded", whole=True)
    assert protocol.HEAD.unpack(message[:16]) == (3, protocol.SPEAKING | 4, 43, 1.72)
    assert message[16:] == b"coded"


def test_audio_is_a_head_and_samples():
    message = protocol.audio(frame(end_of_speech=True))
    assert message[:16] == b"\x02\x03\0\0" + (43).to_bytes(4, "little") + np.float64(1.72).tobytes()
    np.testing.assert_array_equal(np.frombuffer(message[16:], "<i2"), np.arange(-320, 320))


def test_a_start_has_defaults():
    start = protocol.read('{"type": "start"}')
    assert (start.sample_rate, start.size, start.watch, start.session) == (16000, None, True, None)
    told = protocol.read('{"type": "phonemes", "phonemes": [["HH", 0, 0.06]]}')
    assert told.phonemes == [("HH", 0.0, 0.06)]


@pytest.mark.parametrize(
    "text, line",
    [
        ("", "Invalid JSON"),
        ("{", "Invalid JSON"),
        ("[]", "the message: "),
        ("{}", "type"),
        ('{"type": "shout"}', "does not match any of the expected tags"),
        (
            '{"type": "start", "sample_rate": 10}',
            "start.sample_rate: Input should be greater than or equal to 4000",
        ),
        ('{"type": "start", "video": "av1"}', "start.video: Input should be 'jpeg' or 'h264'"),
        ('{"type": "start", "volume": 3}', "start.volume: Extra inputs are not permitted"),
        ('{"type": "phonemes", "phonemes": [["HH", 0]]}', "phonemes"),
        ('{"type": "flush"' + " " * 100_000 + "}", "100017 characters"),
        ("[" * 50_000, "Invalid JSON"),
    ],
)
def test_what_is_no_message_is_told_in_a_line(text, line):
    with pytest.raises(errors.UserError) as refused:
        protocol.read(text)
    assert line in str(refused.value) and "\n" not in str(refused.value) and len(str(refused.value)) < 400
