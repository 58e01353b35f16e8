"""The folder of this installation's own settings, and the number that its watermarks bear."""

import contextlib
import functools
import logging
import os
import pathlib
import secrets

import platformdirs

from avct_jax.marks import mark_payload

FOLDER_VARIABLE = "AVCT_CONFIG_DIR"
FILE = "installation"

_log = logging.getLogger(__name__)


def folder() -> pathlib.Path:
    """Where keys and numbers are kept: AVCT_CONFIG_DIR, or the user's usual place."""
    named = os.environ.get(FOLDER_VARIABLE, "").strip()
    return (
        pathlib.Path(named).expanduser() if named else pathlib.Path(platformdirs.user_config_dir("avct_jax"))
    )


def number() -> int:
    """Return the number drawn at first use, which says nothing of who or where; 0 where none can be kept."""
    return _number(folder() / FILE)


def write_once(path: pathlib.Path, content: bytes) -> bytes:
    """Write a private file (0600, in a folder of 0700) unless it is there; return what is in it then.

    Of two processes that begin at once both get what one has written.

    Raises:
      OSError: it cannot be read or written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}-{secrets.token_hex(6)}")
    try:
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
        with contextlib.suppress(FileExistsError):
            _name(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)
    return path.read_bytes()


def _name(hidden: pathlib.Path, path: pathlib.Path) -> None:
    """Give a file its name, whole or not at all, and never over another's."""
    try:
        os.link(hidden, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: of two at once the later's stays
        if not path.exists():
            os.replace(hidden, path)


@functools.cache
def _number(path: pathlib.Path) -> int:
    drawn = 1 + secrets.randbelow(2**mark_payload.INSTALLATION_BITS - 1)
    try:
        kept = path.read_bytes() if path.exists() else write_once(path, b"%d\n" % drawn)
        told = int(kept)
    except OSError as error:
        remedy = f"see to the folder, or name another by {FOLDER_VARIABLE}"
        _log.warning("watermarks tell no installation: %s: %s; %s", path, error.strerror, remedy)
        return mark_payload.NONE
    except ValueError:
        told = mark_payload.NONE
    if 0 < told < 2**mark_payload.INSTALLATION_BITS:
        return told
    most = 2**mark_payload.INSTALLATION_BITS - 1
    said = "watermarks tell no installation: %s holds no number from 1 to %d; remove it, and one is drawn"
    _log.warning(said, path, most)
    return mark_payload.NONE
