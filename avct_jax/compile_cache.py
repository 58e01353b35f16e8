"""Compiled programs kept in the user's cache folder: the second start does not compile again.

AVCT_CACHE_DIR names another folder, AVCT_NO_CACHE (any text) switches it off.
"""

import contextlib
import glob
import os
import pathlib
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any

FOLDER_VARIABLE = "AVCT_CACHE_DIR"
OFF_VARIABLE = "AVCT_NO_CACHE"
LEAST_SECONDS = 0.02  # of compilation that is worth a file: to find one takes 2 to 5 ms
ROOM = (
    2**26
)  # bytes that a disk must have free: JAX leaves parts of programs on a full one, and never mends them
UNREADABLE = re.compile(r"Error reading persistent compilation cache entry for '(.+?)':")  # JAX's warning
UNFINISHED = 1.0  # seconds since a file was last written to


def folder() -> pathlib.Path | None:
    """Where compiled programs are kept; None when switched off."""
    if os.environ.get(OFF_VARIABLE, "").strip():
        return None
    import platformdirs

    named = os.environ.get(FOLDER_VARIABLE, "").strip()
    root = (
        pathlib.Path(named).expanduser() if named else pathlib.Path(platformdirs.user_cache_dir("avct_jax"))
    )
    return root / "xla"


_in_use: pathlib.Path | None = None


def in_use() -> pathlib.Path | None:
    """The folder that `enable` chose; None before, and without one."""
    return _in_use


def enable() -> pathlib.Path | None:
    """Make JAX keep what it compiles; to be called before anything is compiled.

    A folder that JAX was told of in another way stays. One that cannot be written, or whose disk is all but
    full, is done without.

    Returns:
      The folder in use, None without one.
    """
    import jax

    global _in_use
    config: Any = jax.config  # which has its settings as attributes from run time on only
    if (chosen := config.jax_compilation_cache_dir) is not None:
        return pathlib.Path(chosen)
    kept = folder()
    if kept is None or not _writable(kept):
        return None
    _remove_empty(kept)
    jax.config.update("jax_compilation_cache_dir", str(kept))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", LEAST_SECONDS)
    _in_use = kept
    return kept


def remove_unfinished() -> None:
    """Remove what was written a moment ago: this process is ended, perhaps in the middle of writing it.

    JAX writes a program's file in place, and would find a part of one for ever after.
    """
    if _in_use is None:
        return
    for path in _in_use.glob("*"):
        with contextlib.suppress(OSError):  # another process may have removed it
            if time.time() - path.stat().st_mtime < UNFINISHED:
                path.unlink()


@contextlib.contextmanager
def mended() -> Iterator[None]:
    """While it lasts, a program that JAX cannot read is removed: it is compiled, and kept, anew.

    JAX itself would leave what a full disk, or a killed process, left of it, and warn in each run.
    """
    import warnings

    show = warnings.showwarning

    def look(message: Any, *rest: Any, **named: Any) -> None:
        found = UNREADABLE.match(str(message))
        if found is None or _in_use is None:
            show(message, *rest, **named)
            return
        for path in _in_use.glob(f"{glob.escape(found[1])}-*"):
            with contextlib.suppress(OSError):
                path.unlink()

    warnings.showwarning = look
    try:
        yield
    finally:
        warnings.showwarning = show


def _remove_empty(folder: pathlib.Path) -> None:
    """Of programs of which nothing is left JAX says nothing, and compiles them in each run."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file() and not entry.stat().st_size:
                os.unlink(entry.path)


def _writable(path: pathlib.Path) -> bool:
    try:
        path.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(path).free < ROOM:
            return False
        with tempfile.TemporaryFile(dir=path):
            return True
    except OSError:
        return False
