"""Files that bear their name only when they are whole, and never in the place of an input."""

import contextlib
import functools
import hashlib
import os
import pathlib
import secrets
import socket
import time
from collections.abc import Iterator
from typing import IO

from avct_jax import errors

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

PREFIX = ".avct-"  # of files that are being written
TOKEN_BYTES = 6  # tell them apart
HOST_BYTES = 2  # of these: the machine that writes, for locks need not reach others
OTHERS_AGE = 86400.0  # seconds for which nothing was written, and another machine's writer counts as dead
LONGEST_SUFFIX = 32  # characters; file systems end at 255 bytes in all
Path = str | os.PathLike


def refuse_overwriting(output: Path, *inputs: Path | None, option: str = "--output") -> None:
    """Refuse an output that is one of the inputs, whatever names lead to it, or a folder that holds one.

    Every command, and what it calls, asks here before it begins.

    Raises:
      UserError: an input would be lost.
    """
    for given in inputs:
        if given is not None and os.path.exists(given) and os.path.exists(output) and _covers(output, given):
            raise errors.UserError(
                f"{option} {os.fspath(output)!r} is an input or holds one that would be lost; name another"
            )


def _covers(output: Path, given: Path) -> bool:
    place = pathlib.Path(os.path.realpath(output))
    return os.path.samefile(given, output) or place in pathlib.Path(os.path.realpath(given)).parents


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yield a hidden name beside `path` to write to; it becomes `path` when the block ends, or is removed.

    It has the same suffix: numpy and others go by it. The content is on the disk before it bears the name.

    Raises:
      UserError: the folder is missing, full, or not to be written to.
    """
    path = pathlib.Path(os.path.realpath(path))  # a link stays one: what it names is written
    temporary = hidden_beside(path)
    try:
        with held(temporary):  # until it has its name: to flush it takes a while
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except OSError as error:
        raise errors.UserError(
            f"cannot write {path} ({error.strerror}); free space or choose another folder"
        ) from None
    finally:
        with contextlib.suppress(OSError):  # the folder itself may be missing
            temporary.unlink(missing_ok=True)


def hidden_beside(path: pathlib.Path) -> pathlib.Path:
    """Name a file that is being written: beside `path`, as short as any name, of the same suffix."""
    return path.with_name(f"{PREFIX}{token()}{path.suffix[:LONGEST_SUFFIX]}")


def token() -> str:
    """Hexadecimal digits that no other writer has; the first four are this machine's."""
    return _host() + secrets.token_hex(TOKEN_BYTES - HOST_BYTES)


@functools.cache
def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[: 2 * HOST_BYTES]


@contextlib.contextmanager
def held(path: pathlib.Path) -> Iterator[None]:
    """Make an empty file, and show while the block runs that its writer lives: see remove_half_written.

    Raises:
      OSError: the folder is missing, full, or not to be written to.
    """
    remove_half_written(path.parent)
    if fcntl is None:  # on Windows, where an open file could not be renamed
        path.touch()
        yield
        return
    with _locked(path):
        yield


def _locked(path: pathlib.Path) -> IO[bytes]:
    """Make a file, and lock it for as long as it is open."""
    assert fcntl is not None
    while True:
        file = open(path, "ab")  # noqa: SIM115 - it is returned open
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks: nobody removes anything there
            return file
        if _is_at(path, file):
            return file
        file.close()  # another process saw it before it was locked, and took it for a dead writer's: again


def _is_at(path: pathlib.Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def remove_half_written(folder: pathlib.Path) -> None:
    """Remove what writers left in a folder when they were killed; what a living one holds stays.

    On a network's disk a lock may be seen by the machine alone that holds it: what other machines write is
    removed when nothing has been written to it for a day.
    """
    if fcntl is None:  # nobody can tell
        return
    try:
        found = list(folder.glob(f"{PREFIX}{'[0-9a-f]' * 2 * TOKEN_BYTES}*"))
    except OSError:  # another process removed the folder meanwhile
        return
    for path in found:
        with contextlib.suppress(OSError), open(path, "rb") as file:
            own = path.name.startswith(PREFIX + _host())
            if not own and time.time() - os.fstat(file.fileno()).st_mtime < OTHERS_AGE:
                continue
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(path, file):
                path.unlink()


def write(path: str | os.PathLike, content: bytes) -> None:
    """Write a file at once.

    Raises:
      UserError: the folder is missing, full, or not to be written to.
    """
    with writing(path) as temporary:
        temporary.write_bytes(content)
