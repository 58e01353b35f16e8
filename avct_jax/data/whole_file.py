"""Files that bear their name only when they are whole, and never in the place of an input."""

import contextlib
import os
import pathlib
import secrets
from collections.abc import Iterator

from avct_jax import errors

TOKEN_BYTES = 4  # tell apart files of one name that are being written
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
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(TOKEN_BYTES)}{path.suffix}")
    try:
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


def remove_half_written(folder: pathlib.Path) -> None:
    """Remove what `writing` left in a folder when the process was killed; nobody may be writing there."""
    for path in folder.glob(f".*-{'[0-9a-f]' * 2 * TOKEN_BYTES}.*"):
        path.unlink(missing_ok=True)


def write(path: str | os.PathLike, content: bytes) -> None:
    """Write a file at once.

    Raises:
      UserError: the folder is missing, full, or not to be written to.
    """
    with writing(path) as temporary:
        temporary.write_bytes(content)
