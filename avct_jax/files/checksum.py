"""Checksums of files."""

import hashlib
import os


def sha256(path: str | os.PathLike) -> str:
    """Return a file's SHA-256, in hexadecimal digits.

    Raises:
      OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
