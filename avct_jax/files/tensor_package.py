"""Tensors of a `.hama` file (package hama, Apache-2.0): a table of names, then numbers.

    "HAMAPK", version (1 byte), flags (1 byte), count (uint32), then for each tensor: length of its name
    (uint16), name, type (0: float32, 1: float16), dimensions (1 byte; uint32 each), begin and length
    (uint64, bytes after the table, which is padded to 16 bytes)

all with the lower byte first.
"""

import pathlib
import struct
from collections.abc import Iterator

import numpy as np

from avct_jax import errors

MAGIC = b"HAMAPK"
TYPES = {0: np.dtype("<f4"), 1: np.dtype("<f2")}
ALIGNED = 16  # bytes


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Return all tensors by their names, as float32.

    Raises:
      UserError: it is no such file, or cut off.
    """
    content = path.read_bytes()
    try:
        return dict(_tensors(content))
    except (struct.error, ValueError, KeyError, UnicodeDecodeError):
        raise errors.UserError(f"{str(path)!r} is damaged, or no file of hama's; install hama anew") from None


def _tensors(content: bytes) -> Iterator[tuple[str, np.ndarray]]:
    if not content.startswith(MAGIC):
        raise ValueError
    (count,) = struct.unpack_from("<I", content, 8)
    rows, at = [], 12
    for _ in range(count):
        (length,) = struct.unpack_from("<H", content, at)
        name = content[at + 2 : at + 2 + length].decode()
        kind, dimensions = struct.unpack_from("<BB", content, at + 2 + length)
        at += 4 + length
        shape = struct.unpack_from(f"<{dimensions}I", content, at)
        begin, size = struct.unpack_from("<QQ", content, at + 4 * dimensions)
        at += 4 * dimensions + 16
        rows.append((name, TYPES[kind], shape, begin, size))
    base = -(-at // ALIGNED) * ALIGNED
    for name, kind, shape, begin, size in rows:
        values = np.frombuffer(content[base + begin : base + begin + size], kind)
        yield name, values.reshape(shape).astype(np.float32)
