"""Small files of text, in whatever encoding Praat, spreadsheets and editors write."""

import os

from avct_jax import errors

MOST_BYTES = 2**26  # 64 MB: hours of phonemes or poses; more is another file by mistake, or an attack
Path = str | os.PathLike


def read(path: Path) -> str:
    """Read a file of text: UTF-8 or UTF-16, in either order, with or without a mark; else Latin-1.

    Raises:
      UserError: it cannot be read, or is larger than MOST_BYTES.
    """
    name = repr(os.fspath(path))
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise errors.UserError(f"{name} cannot be read ({error.strerror}); check the name") from None
    if len(data) > MOST_BYTES:
        raise errors.UserError(f"{name} has more than {MOST_BYTES >> 20} MB of text; check the name")
    return decode(data)


def decode(data: bytes) -> str:
    """Return the text of bytes in one of those encodings."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    if b"\x00" in data[:2]:
        return data.decode("utf-16-be" if data[0] == 0 else "utf-16-le", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def separator(header: str) -> str | None:
    """What stands between the columns of a table, by its first line; None: spaces, as str.split takes it."""
    return next((mark for mark in "\t;," if mark in header), None)
