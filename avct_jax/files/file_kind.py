"""What a file is by its first bytes, where that is not what its name says."""

import os

from avct_jax import errors

LENGTH = 64  # bytes that tell
POINTER = b"version https://git-lfs"


def begin_of(path: str | os.PathLike) -> bytes:
    """Return a file's first bytes; none where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(LENGTH)
    except OSError:
        return b""


def refuse_pointer(path: str | os.PathLike, begin: bytes | None = None) -> None:
    """Refuse what Git LFS leaves in the place of a file that was not fetched.

    Raises:
      UserError: it is one.
    """
    if (begin_of(path) if begin is None else begin).startswith(POINTER):
        raise errors.UserError(
            f"{os.fspath(path)!r} is a Git LFS pointer, not the file itself; run `git lfs pull`"
        )


def refuse_torch(path: str | os.PathLike) -> None:
    """Refuse a PyTorch checkpoint where one of ours is needed.

    Raises:
      UserError: it is one.
    """
    begin = begin_of(path)
    # torch.save writes a zip, or a pickle; safetensors 8 bytes and JSON.
    if begin.startswith((b"PK", b"\x80")) and begin[8:9] != b"{":
        raise errors.UserError(f"{os.fspath(path)!r} is a PyTorch checkpoint; run `avct convert` on it first")
