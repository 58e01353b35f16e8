"""PNG files without the texts in them.

Programs that draw images write whole workflows into a png, and scanners long colour profiles. Pillow takes
either for an attack when it is longer than a megabyte, and refuses the image.
"""

import io
import os
import struct
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
TURNING = (b"XML:com.adobe.xmp", b"Raw profile type exif")  # texts that may say which way is up
LONG = 500_000  # bytes of a text; Pillow takes twice as many
MOST_PROFILE = 16 << 20  # bytes of a colour profile; more is an attack indeed


class _Chunk(NamedTuple):
    kind: bytes
    content: bytes
    whole: bytes


def without_texts(path: str | os.PathLike) -> tuple[io.BytesIO, bytes]:
    """Return a png's bytes without its texts and colour profile; and that profile, or b"".

    Short texts that may say which way is up are kept.

    A file that ends early, or has no chunks, comes back as far as it goes: Pillow knows what to say of it.
    """
    kept, profile = io.BytesIO(), b""
    with open(path, "rb") as file:
        kept.write(file.read(len(SIGNATURE)))
        for chunk in _chunks(file):
            if chunk.kind == b"iCCP":
                profile = _unpacked(chunk.content)
            elif chunk.kind not in TEXTS or _tells_which_way_is_up(chunk):
                kept.write(chunk.whole)
    kept.seek(0)
    return kept, profile


def _chunks(file: IO[bytes]) -> Iterator[_Chunk]:
    while head := file.read(8):
        length = struct.unpack(">I", head[:4])[0] if len(head) == 8 else 0
        content, check = file.read(length), file.read(4)
        yield _Chunk(head[4:], content, head + content + check)


def _tells_which_way_is_up(chunk: _Chunk) -> bool:
    if not chunk.content.startswith(TURNING):
        return False
    return len(_unpacked(chunk.content) if chunk.kind == b"zTXt" else chunk.content) < LONG


def _unpacked(content: bytes) -> bytes:
    """Of "name, 0, method, compressed bytes"; b"" where they are damaged or endless."""
    packed = content.partition(b"\0")[2][1:]
    unpack = zlib.decompressobj()
    try:
        found = unpack.decompress(packed, MOST_PROFILE)
    except zlib.error:
        return b""
    return found if unpack.eof else b""
