"""The length that a media file's own header states, where ffmpeg says nothing of it: files that were cut off.

Of such a file ffmpeg makes a guess by what is left of it.
"""

import os
import re
import struct

HEAD = 1 << 16  # bytes in which headers are looked for
ENDLESS = 0x7FFFFF00  # bytes from which on a size of 32 bits was written before it was known
W64_FORMAT = b"fmt \xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"  # Sony Wave64's names of 16 bytes
W64_DATA = b"data" + W64_FORMAT[4:]


def seconds(path: str | os.PathLike, kind: str) -> float:
    """Read the header.

    Args:
      kind: the container, as ffmpeg calls it.

    Returns:
      The length that is stated; 0 where none is, or where headers of this kind are not known.
    """
    read = {"wav": _wav, "w64": _w64, "caf": _caf, "avi": _avi}.get(kind)
    if read is None:
        return 0.0
    with open(path, "rb") as file:
        head = file.read(HEAD)
    try:
        return read(head)
    except struct.error:  # cut off within its header
        return 0.0


def _wav(head: bytes) -> float:
    form, data = head.find(b"fmt "), head.find(b"data")
    if not 0 <= form < data:
        return 0.0
    (rate,) = struct.unpack_from("<I", head, form + 16)  # bytes/s
    (size,) = struct.unpack_from("<I", head, data + 4)
    return size / rate if rate and size < ENDLESS else 0.0


def _w64(head: bytes) -> float:
    form, data = head.find(W64_FORMAT), head.find(W64_DATA)
    if not 0 <= form < data:
        return 0.0
    (rate,) = struct.unpack_from("<I", head, form + 32)  # bytes/s
    (size,) = struct.unpack_from("<Q", head, data + 16)  # with its own name and size
    return (size - 24) / rate if rate and 24 < size < 1 << 60 else 0.0


def _caf(head: bytes) -> float:
    """Apple's Core Audio Format: packets of one size only, for else the length is a table's at its end."""
    form, data = head.find(b"desc"), head.find(b"data")
    if not 0 <= form < data:
        return 0.0
    (rate,) = struct.unpack_from(">d", head, form + 12)  # samples/s
    packet, samples = struct.unpack_from(">II", head, form + 28)  # bytes and samples of a packet
    (size,) = struct.unpack_from(">q", head, data + 4)  # -1: to the file's end; with 4 bytes of edits' count
    known = rate > 0 and packet and samples and size > 4
    return (size - 4) / packet * samples / rate if known else 0.0


def _avi(head: bytes) -> float:
    """The longest of its streams."""
    lengths = [0.0]
    for found in re.finditer(b"strh....(auds|vids)", head, re.DOTALL):
        scale, rate, _, length = struct.unpack_from("<4I", head, found.start() + 28)
        lengths.append(length * scale / rate if rate else 0.0)
    return max(lengths)
