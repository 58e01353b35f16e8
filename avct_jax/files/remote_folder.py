"""Folders of object stores (gs://, s3://) by etils' epath: fetched to read, mirrored to write.

Everything else sees a folder of this machine: mapped arrays and records need files, and Orbax 0.12 writes to
gs:// and to disks alone. What is read is fetched once, what is written is sent while the work goes on.
"""

import contextlib
import hashlib
import importlib.util
import os
import pathlib
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

from avct_jax import errors
from avct_jax.files import atomic_write

SCHEMES = {"gs": "gcsfs", "s3": "s3fs"}  # and what reads them
THREADS = 16  # that copy at once
SMALL = 1 << 20  # bytes: what is smaller is fetched again, for it may have changed and be as long
EVERY = 30.0  # s between looks for what is to be sent
UNFINISHED = (atomic_write.PREFIX, ".orbax-checkpoint-tmp")  # in names of what is not whole


def address(path: str | os.PathLike) -> str | None:
    """The address of a folder elsewhere, "s3://bucket/clips"; None for one of this machine.

    Args:
      path: pathlib may have made one slash of two.
    """
    found = re.fullmatch(rf"({'|'.join(SCHEMES)}):/+(.+?)/*", os.fspath(path))
    return f"{found[1]}://{found[2]}" if found else None


def open_place(where: str) -> Any:
    """An epath.Path of an address.

    Raises:
      UserError: what reads that store is not installed.
    """
    from etils import epath
    from etils.epath import gpath

    scheme = where.partition(":")[0]
    needed = SCHEMES[scheme]
    if importlib.util.find_spec(needed) is not None:
        os.environ.setdefault("EPATH_USE_TF", "false")  # TensorFlow, where it is installed, reads no s3://
        getattr(gpath._is_tf_installed, "cache_clear", lambda: None)()  # it may have been asked before
    elif scheme == "s3" or importlib.util.find_spec("tensorflow") is None:
        raise errors.UserError(f"{where} needs {needed}: pip install 'avct-jax[remote]', or {needed} alone")
    return epath.Path(where)


def fetch(
    where: str,
    folder: pathlib.Path,
    *,
    wanted: Callable[[str], bool] = lambda name: True,
    progress: Callable[[int, int], None] | None = None,
) -> pathlib.Path:
    """Copy a folder here; files that are there and as long are kept, but for small ones.

    Args:
      folder: of this machine; made if missing.
      wanted: which files, by their names relative to the folder.
      progress: called with files copied and all that are to be.

    Returns:
      `folder`.

    Raises:
      UserError: nothing is there, or it cannot be read.
    """
    place = open_place(where)
    with _told(f"{where} cannot be read"):
        sizes = {name: size for name, size in _sizes(place).items() if wanted(name)}
        if not sizes:
            raise errors.UserError(f"{where} holds nothing that is needed; check the address")
        todo = [name for name, size in sizes.items() if size < SMALL or _size(folder / name) != size]
        with futures.ThreadPoolExecutor(THREADS) as pool:
            copying = pool.map(lambda name: _fetch_file(place / name, folder / name), todo)
            for done, _ in enumerate(copying, 1):
                if progress:
                    progress(done, len(todo))
    return folder


def cached(where: str, cache: pathlib.Path) -> pathlib.Path:
    """Where in a cache the copy of an address lies."""
    return cache / "fetched" / hashlib.md5(where.encode()).hexdigest()


@contextlib.contextmanager
def mirrored(where: str, *, send: bool = True, every: float = EVERY) -> Iterator[pathlib.Path]:
    """Yield a folder of this machine whose files are those of an address, and are sent there as they change.

    What is removed is removed there, after what is new was sent. The address is the truth: the folder begins
    as its copy, and is removed in the end.

    Args:
      send: False for a process that only reads.
      every: s between looks for changes; the last is when the block ends, with an exception too.

    Raises:
      UserError: it cannot be read, or in the end not be written.
    """
    place = open_place(where)
    with tempfile.TemporaryDirectory(prefix="avct-") as temporary:
        folder = pathlib.Path(temporary)
        with _told(f"{where} cannot be read"):
            there = bool(_sizes(place))
        if there:
            fetch(where, folder)
        mirror = _Mirror(place, folder)
        ended = threading.Event()
        watch = threading.Thread(target=_keep_sending, args=(mirror, ended, every), daemon=True)
        if send:
            watch.start()
        try:
            yield folder
        finally:
            ended.set()
            if send:
                watch.join()
                with _told(f"{where} cannot be written to"):
                    mirror.send()


class _Mirror:
    def __init__(self, place: Any, folder: pathlib.Path):
        self._place, self._folder = place, folder
        self._sent = self._look()

    def _look(self) -> dict[str, tuple[int, int]]:
        found = {}
        for path in self._folder.rglob("*"):
            name = path.relative_to(self._folder).as_posix()
            if any(part in name for part in UNFINISHED):
                continue
            with contextlib.suppress(FileNotFoundError):  # it was removed meanwhile
                if path.is_file():
                    found[name] = (path.stat().st_size, path.stat().st_mtime_ns)
        return found

    def send(self) -> None:
        now = self._look()
        changed = [name for name, mark in now.items() if self._sent.get(name) != mark]
        for name in changed:
            with contextlib.suppress(FileNotFoundError):
                _send_file(self._folder / name, self._place / name)
                self._sent[name] = now[name]
        for name in [name for name in self._sent if name not in now]:
            (self._place / name).unlink(missing_ok=True)
            del self._sent[name]


def _keep_sending(mirror: _Mirror, ended: threading.Event, every: float) -> None:
    while not ended.wait(every):
        with contextlib.suppress(Exception):  # it is tried again, and in the end told
            mirror.send()


def _sizes(place: Any) -> dict[str, int]:
    """Every file below a place, by its name relative to it."""
    found: dict[str, int] = {}
    if not place.exists():
        return found
    for each in place.iterdir():
        if each.is_dir():
            found |= {f"{each.name}/{name}": size for name, size in _sizes(each).items()}
        else:
            found[each.name] = each.stat().length
    return found


def _size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _fetch_file(place: Any, path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write.writing(path) as temporary, place.open("rb") as source, open(temporary, "wb") as file:
        shutil.copyfileobj(source, file, 1 << 22)


def _send_file(path: pathlib.Path, place: Any) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "rb") as file, place.open("wb") as target:
        shutil.copyfileobj(file, target, 1 << 22)


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except errors.UserError:
        raise
    except Exception as error:  # each store has its own
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise errors.UserError(f"{what} ({reason}); check the address, and your rights there") from None
