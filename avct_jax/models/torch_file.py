"""Reading what `torch.save` wrote, without PyTorch and without running anything that the file holds.

Such a file is a pickle beside raw numbers. Here the pickle may name only what tensors are made of;
each name stands for an inert record of ours, and any other name (`os.system`, a pickled module) is
refused before anything is called. Both layouts are read: the zip archive of PyTorch >= 1.6, and the
plain stream before it, in which most published checkpoints are kept.
"""

import collections
import io
import pathlib
import pickle
import struct
import zipfile
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from avct_jax import errors
from avct_jax.data import file_kind

MAGIC = 0x1950A86A20F9469CFC6C  # first pickle of the plain stream (torch.serialization)

STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}


class _Kind(NamedTuple):
    name: str


class _Storage(NamedTuple):
    kind: str
    key: str


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: str | pathlib.Path) -> Any:
    """Read a checkpoint: its own nesting of dicts and lists, tensors as numpy arrays.

    Raises:
      UserError: the file is missing, damaged, no such file, or holds more than tensors.
    """
    path = pathlib.Path(path)
    file_kind.refuse_pointer(path)
    try:
        with path.open("rb") as file:
            read_layout = _read_zip if file.read(4) == b"PK\x03\x04" else _read_stream
            file.seek(0)
            content, numbers = read_layout(file)
        return _resolve(content, numbers)
    except errors.UserError as error:
        raise errors.UserError(f"{path}: {error}") from None
    except OSError as error:
        raise errors.UserError(f"cannot read {path}: {error.strerror}; name a readable checkpoint") from None
    except (
        *(pickle.UnpicklingError, zipfile.BadZipFile, struct.error, EOFError, RecursionError, MemoryError),
        *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, UnicodeDecodeError),
    ):
        raise errors.UserError(f"{path} is damaged or no PyTorch checkpoint; download it again") from None


def _read_zip(file: BinaryIO) -> tuple[Any, dict[_Storage, np.ndarray]]:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        name = next((n for n in names if n.split("/")[1:] == ["data.pkl"]), None)
        if name is None or any(i.compress_type != zipfile.ZIP_STORED for i in archive.infolist()):
            raise errors.UserError("a zip archive, but not of torch.save; give the checkpoint file itself")
        folder = name.removesuffix("data.pkl")
        if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
            raise errors.UserError("written on a big-endian machine; save it again on a little-endian one")
        unpickler = _TensorsOnly(io.BytesIO(archive.read(name)), encoding="utf-8")
        content = unpickler.load()
        numbers = {s: archive.read(f"{folder}data/{s.key}") for s in unpickler.storages}
    return content, {s: np.frombuffer(data, STORAGES[s.kind]) for s, data in numbers.items()}


def _read_stream(file: BinaryIO) -> tuple[Any, dict[_Storage, np.ndarray]]:
    magic, _, _ = (_TensorsOnly(file, encoding="utf-8").load() for _ in range(3))
    if magic != MAGIC:
        raise errors.UserError("no checkpoint of torch.save; give the file as it was published")
    unpickler = _TensorsOnly(file, encoding="utf-8")
    content = unpickler.load()
    by_key = {s.key: s for s in unpickler.storages}
    numbers = {}
    for key in _TensorsOnly(file, encoding="utf-8").load():
        dtype = np.dtype(STORAGES[by_key[key].kind])
        (count,) = struct.unpack("<q", file.read(8))
        numbers[by_key[key]] = np.frombuffer(file.read(count * dtype.itemsize), dtype, count)
    return content, numbers


class _TensorsOnly(pickle.Unpickler):
    """Knows the few names that a dict of tensors needs; every other one is refused unlooked-up."""

    def __init__(self, file, **options):
        super().__init__(file, **options)
        self.storages: set[_Storage] = set()

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGES:
            return _Kind(name)
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        raise errors.UserError(
            f"holds {module}.{name}, which is not a tensor and is not run; give a file of tensors alone"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        _, kind, key, *_ = pid
        storage = _Storage(kind.name, str(key))
        self.storages.add(storage)
        return storage


def _rebuild_tensor(storage, offset, shape, strides, *_):
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    ("torch", "Size"): tuple,
}


def _resolve(value: Any, numbers: dict[_Storage, np.ndarray]) -> Any:
    """Replace the records of tensors by their numbers, all the way down."""
    if isinstance(value, _Tensor):
        return _array(value, numbers[value.storage])
    if isinstance(value, dict):
        return {key: _resolve(item, numbers) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_resolve(item, numbers) for item in value]
    return value


def _array(tensor: _Tensor, numbers: np.ndarray) -> np.ndarray:
    """The tensor's view of its storage; a record that points outside is refused."""
    _, offset, shape, strides = tensor
    last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    inside = min((offset, *shape, *strides)) >= 0 and (0 in shape or last < len(numbers))
    if not inside:
        raise errors.UserError("a tensor reaches outside its numbers; the file is damaged: download it again")
    if tensor.storage.kind == "BFloat16Storage":
        numbers = (numbers.astype("<u4") << 16).view("<f4")
    steps = tuple(s * numbers.itemsize for s in strides)
    return np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps).copy()
