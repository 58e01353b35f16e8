"""Arrays in files that anybody may have made: read within bounds, none of it run, refused in one line."""

import importlib.resources
import os
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import safetensors
import safetensors.numpy

from avct_jax import errors
from avct_jax.files import file_kind

MOST_BYTES = 2**30  # 1 GB unpacked: the largest network that is read here has half of it
MOST_NAMES = 100_000
FAILURES = (OSError, ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error)
FAILURES += (safetensors.SafetensorError, TypeError, AttributeError, OverflowError, RecursionError)
FAILURES += (NotImplementedError, RuntimeError)  # a zip that is packed otherwise, or encrypted
TRIES = 10
Path = str | os.PathLike
T = TypeVar("T")


def read_npy(path: Path, *, remedy: str = "save it by numpy.save") -> np.ndarray:
    """Read an array that numpy.save wrote.

    Raises:
      UserError: the file is missing, another one, damaged, or says that it is larger than it is.
    """
    try:
        return _parsed(lambda: _one_array(path))
    except FAILURES as error:
        raise _refused(path, error, remedy) from None


def read_npz(
    path: Path, wanted: Callable[[str], bool] = lambda name: True, *, remedy: str = "download it again"
) -> dict[str, np.ndarray]:
    """Read arrays that numpy.savez wrote.

    Args:
      wanted: which names are read.

    Raises:
      UserError: the file is missing, another one, damaged, or larger than MOST_BYTES unpacked.
    """
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) > MOST_NAMES:
                raise ValueError(f"it has {len(members)} parts")
            chosen = {m.filename.removesuffix(".npy"): m for m in members if m.filename.endswith(".npy")}
            chosen = {name: m for name, m in chosen.items() if wanted(name)}
            _check_size(sum(m.file_size for m in chosen.values()), MOST_BYTES)
            return {name: _parsed(lambda m=m: _member(archive, m)) for name, m in chosen.items()}
    except FAILURES as error:
        raise _refused(path, error, remedy) from None


def read_asset(name: str) -> dict[str, np.ndarray]:
    """Read arrays that come with the package, by their file's name in its assets."""
    with importlib.resources.as_file(importlib.resources.files("avct_jax") / "assets" / name) as path:
        return read_npz(path, remedy="install avct_jax again")


def read_safetensors(
    path: Path, check: Callable[[dict[str, str]], None] = lambda words: None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read tensors and the header's own words; no tensor is larger than its file.

    Args:
      check: refuses by these words, before tensors are read.

    Raises:
      UserError: the file is missing, another one or damaged.
    """
    try:
        with safetensors.safe_open(os.fspath(path), framework="numpy") as file:
            names, words = list(file.keys()), file.metadata() or {}
            check(words)
            if len(names) > MOST_NAMES:
                raise ValueError(f"it has {len(names)} tensors")
            return {name: file.get_tensor(name) for name in names}, words
    except errors.UserError:
        raise
    except FAILURES as error:
        file_kind.refuse_torch(path)
        raise _refused(path, error, "copy or download it again") from None


def _parsed(read: Callable[[], T]) -> T:
    """Read once more where another thread parsed at the same time.

    NumPy has headers parsed by ast, which before Python 3.11.8 and 3.12.2 may then answer "recursion depth
    mismatch" (CPython issue 106905).
    """
    for _ in range(TRIES - 1):
        try:
            return read()
        except SystemError:
            continue
    return read()


def _one_array(path: Path) -> np.ndarray:
    with open(path, "rb") as file:
        if file.read(2) == b"PK":
            raise ValueError("it holds several arrays, as numpy.savez writes them")
        file.seek(0)
        version = np.lib.format.read_magic(file)
        shape, _, dtype = _header(file, version)
        _check_size(dtype.itemsize * _count(shape), os.fstat(file.fileno()).st_size)
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        shape, _, dtype = _header(file, np.lib.format.read_magic(file))
        _check_size(dtype.itemsize * _count(shape), member.file_size)
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _header(file: Any, version: tuple[int, int]) -> tuple[tuple[int, ...], bool, np.dtype]:
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for side in shape:
        if side < 0:
            raise ValueError("it has a side below 0")
        count *= side
    return count


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise ValueError(f"it says that it has {size / 2**20:.0f} MB, which are not there or are too many")


def _refused(path: Path, error: BaseException, remedy: str) -> errors.UserError:
    file_kind.refuse_pointer(path)
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:150] or type(error).__name__
    what = "cannot be read" if isinstance(error, OSError) else "is damaged"
    return errors.UserError(f"{os.fspath(path)} {what} ({reason}); {remedy}")
