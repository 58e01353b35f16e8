"""What headers state, and headers that state nothing."""

import struct

import pytest

from avct_jax.data.media import stated_length


def wav(size):
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
    return b"RIFF\xff\xff\xff\xffWAVE" + form + b"data" + struct.pack("<I", size)


def caf(size, packet=2):
    form = struct.pack(">4sqd4sIIIII", b"desc", 32, 8000.0, b"lpcm", 0, packet, 1, 1, 16)
    return b"caff\0\1\0\0" + form + b"data" + struct.pack(">qI", size, 0)


@pytest.mark.parametrize(
    "kind, content, wanted",
    [
        ("wav", wav(32000), 2.0),
        ("wav", wav(0), 0.0),
        ("wav", wav(2**32 - 1), 0.0),  # written as it came
        ("wav", wav(32000)[:-2], 0.0),
        ("wav", b"RIFF", 0.0),
        ("caf", caf(32004), 2.0),
        ("caf", caf(-1), 0.0),  # to the file's end
        ("caf", caf(32004, packet=0), 0.0),  # packets of many sizes
        ("w64", b"riff" + bytes(100), 0.0),
        ("avi", b"RIFF" + bytes(100), 0.0),
        ("mp3", wav(32000), 0.0),
    ],
)
def test_length_is_what_the_header_states(tmp_path, kind, content, wanted):
    (tmp_path / "a").write_bytes(content)
    assert stated_length.seconds(tmp_path / "a", kind) == wanted
