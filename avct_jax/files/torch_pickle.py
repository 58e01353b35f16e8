"""Reading what `torch.save` wrote, without PyTorch and without running anything that the file holds.

Such a file is a pickle beside raw numbers. Here the pickle may name only what tensors are made of;
each name stands for an inert record of ours, and any other name (`os.system`, a pickled module) is
refused before anything is called. Both layouts are read: the zip archive of PyTorch >= 1.6, and the
plain stream before it, in which most published checkpoints are kept.

Memory and time are bounded by the file's size: Python's own machine of the pickle's instructions is used,
not that in C, which a few bytes can make allocate gigabytes, or hash nested tuples for hours; what is named
again is not copied again; lists that are shared are walked once; tensors are views of the file's numbers.
"""

import collections
import io
import math
import os
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar, NamedTuple

import numpy as np

from avct_jax import errors
from avct_jax.files import file_kind

LONGEST_LINE = 2**16  # bytes of a name or a number that is written as text
MOST_DIMENSIONS = 64  # of a tensor, as PyTorch has it; no instruction takes more arguments either
USUAL = 8  # entries of an argument: sizes of tensors, which are short
MOST_COPIES = 4  # how often all numbers may be in tensors that share them
SMALL = 2**16  # numbers, in files with hardly any
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
        return _Resolver(numbers)(content)
    except errors.UserError as error:
        raise errors.UserError(f"{path}: {error}") from None
    except OSError as error:
        raise errors.UserError(f"cannot read {path}: {error.strerror}; name a readable checkpoint") from None
    except (
        *(pickle.UnpicklingError, zipfile.BadZipFile, struct.error, EOFError, RecursionError, MemoryError),
        *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, UnicodeDecodeError),
    ):
        raise errors.UserError(f"{path} is damaged or no PyTorch checkpoint; download it again") from None


class _Within:
    """A file that is never asked for more bytes than it still has: they would be allocated first."""

    def __init__(self, file: Any):
        self._file = file
        self.size = file.seek(0, io.SEEK_END)
        self.tell, self.seek, self.seekable = file.tell, file.seek, file.seekable
        file.seek(0)

    def read(self, count: int = -1) -> bytes:
        left = self.size - self._file.tell()
        if count > left:
            raise EOFError(f"{count} bytes are wanted, {left} are left")
        return self._file.read(count)

    def readline(self) -> bytes:
        line = self._file.readline(LONGEST_LINE)
        if not line.endswith(b"\n"):  # else a name that is cut short would be called another name
            raise EOFError("a line without an end")
        return line


def _read_zip(file: BinaryIO) -> tuple[Any, dict[_Storage, np.ndarray]]:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        name = next((n for n in names if n.split("/")[1:] == ["data.pkl"]), None)
        if name is None or any(i.compress_type != zipfile.ZIP_STORED for i in archive.infolist()):
            raise errors.UserError("a zip archive, but not of torch.save; give the checkpoint file itself")
        if sum(i.file_size for i in archive.infolist()) > os.fstat(file.fileno()).st_size:
            raise zipfile.BadZipFile("its parts overlap")
        folder = name.removesuffix("data.pkl")
        if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
            raise errors.UserError("written on a big-endian machine; save it again on a little-endian one")
        unpickler = _TensorsOnly(_Within(io.BytesIO(archive.read(name))), encoding="utf-8")
        content = unpickler.load()
        numbers = {s: archive.read(f"{folder}data/{s.key}") for s in unpickler.storages}
    return content, {s: _numbers(data, s.kind) for s, data in numbers.items()}


def _read_stream(stream: BinaryIO) -> tuple[Any, dict[_Storage, np.ndarray]]:
    file = _Within(stream)
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
        if count < 0:
            raise ValueError("fewer than no numbers")
        numbers[by_key[key]] = _numbers(file.read(count * dtype.itemsize), by_key[key].kind)
    return content, numbers


class _TensorsOnly(pickle._Unpickler):  # type: ignore[name-defined] - in CPython since 3.0
    """Knows the few names that a dict of tensors needs; every other one is refused unlooked-up."""

    dispatch: ClassVar[dict] = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]
    stack: list[Any]  # the machine's own, of which its type stubs know nothing
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file, **options):
        super().__init__(file, **options)
        self.storages: set[_Storage] = set()
        self.room = file.size  # entries of long arguments in all: each takes a byte at least

    def load_build(self):
        """Leave aside what an OrderedDict carries beside its items; nothing else may be given a state."""
        self.stack.pop()
        if not isinstance(self.stack[-1], collections.OrderedDict):
            raise pickle.UnpicklingError("a state for what is no dict")

    def load_setitem(self):
        """As in the standard library, for plain keys."""
        value, key = self.stack.pop(), self.stack.pop()
        self.stack[-1][_plain(key)] = value

    def load_setitems(self):
        """As in the standard library, for plain keys."""
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self.stack[-1][_plain(key)] = value

    def load_dict(self):
        """As in the standard library, for plain keys."""
        items = self.pop_mark()
        self.append({_plain(key): value for key, value in zip(items[::2], items[1::2], strict=True)})

    def load_reduce(self):
        """Call what `find_class` knows, with as many arguments as that takes."""
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(arguments, tuple) or len(arguments) > MOST_DIMENSIONS:
            raise pickle.UnpicklingError("arguments that no tensor has")
        for argument in arguments:
            self.room -= len(argument) if isinstance(argument, list | tuple) and len(argument) > USUAL else 0
        if self.room < 0:
            raise pickle.UnpicklingError("something long that is named again and again")
        self.append(function(*arguments))

    def refuse(self):
        """Refuse sets, which hash what is in them, objects of classes and buffers: no tensor needs one."""
        raise pickle.UnpicklingError("an instruction that no tensor needs")

    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems
    dispatch[pickle.DICT[0]] = load_dict
    for _code in (pickle.FROZENSET, pickle.ADDITEMS, pickle.EMPTY_SET, pickle.INST, pickle.OBJ,
                  pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4,
                  pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER):  # fmt: skip
        dispatch[_code[0]] = refuse

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGES:
            return _Kind(name)
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        what = ascii(f"{module}.{name}"[:80])[1:-1]
        raise errors.UserError(
            f"holds {what}, which is not a tensor and is not run; give a file of tensors alone"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        if not isinstance(pid, tuple) or len(pid) > MOST_DIMENSIONS:
            raise pickle.UnpicklingError("numbers without a name")
        _, kind, key, *_ = pid
        if not isinstance(key, str | int):
            raise pickle.UnpicklingError("numbers without a name")
        storage = _Storage(kind.name, str(_plain(key)))
        self.storages.add(storage)
        return storage


def _plain(key: Any) -> Any:
    """A key of a dict: nothing whose hash has to be worked out of other things, or is many others' too."""
    if isinstance(key, str | float | bytes | None) or (isinstance(key, int) and key.bit_length() <= 64):
        return key
    raise pickle.UnpicklingError(f"a {type(key).__name__} as a key")


def _rebuild_tensor(storage, offset, shape, strides, *_):
    shape, strides = _size(shape), _size(strides)
    if not isinstance(storage, _Storage) or any(type(n) is not int for n in (offset, *shape, *strides)):
        raise pickle.UnpicklingError("a tensor of other things than numbers")
    return _Tensor(storage, offset, shape, strides)


def _size(numbers) -> tuple:
    if len(numbers) > MOST_DIMENSIONS:
        raise pickle.UnpicklingError("more dimensions than a tensor has")
    return tuple(numbers)


def _ordered(pairs=()):
    return collections.OrderedDict((_plain(key), value) for key, value in pairs)


ALLOWED = {
    ("collections", "OrderedDict"): _ordered,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    ("torch", "Size"): _size,
}


class _Resolver:
    """Replaces the records of tensors by their numbers, all the way down; what is shared stays so."""

    def __init__(self, numbers: dict[_Storage, np.ndarray]):
        self.numbers = numbers
        self.room = MOST_COPIES * sum(map(len, numbers.values())) + SMALL
        self.made: dict[int, tuple[Any, Any]] = {}  # by identity; the original is kept, lest its id be reused

    def __call__(self, value: Any) -> Any:
        """Return `value` with arrays."""
        if not isinstance(value, _Tensor | dict | list | tuple):
            return value
        if id(value) in self.made:
            return self.made[id(value)][1]
        if isinstance(value, _Tensor):
            made: Any = self._array(value)
            self.made[id(value)] = value, made
        elif isinstance(value, dict):
            made = {}
            self.made[id(value)] = value, made
            made.update((key, self(item)) for key, item in value.items())
        else:
            made = []
            self.made[id(value)] = value, made
            made.extend(self(item) for item in value)
        return made

    def _array(self, tensor: _Tensor) -> np.ndarray:
        """The tensor's view of its storage; a record that points outside is refused."""
        storage, offset, shape, strides = tensor
        numbers = self.numbers[storage]
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        inside = min((offset, *shape, *strides)) >= 0 and (0 in shape or last < len(numbers))
        self.room -= math.prod(shape)
        if not inside or self.room < 0:
            raise errors.UserError(
                "a tensor reaches outside its numbers; the file is damaged: download it again"
            )
        steps = tuple(s * numbers.itemsize for s in strides)
        return np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps, writeable=False)


def _numbers(data: bytes, kind: str) -> np.ndarray:
    found = np.frombuffer(data, STORAGES[kind])
    return (found.astype("<u4") << 16).view("<f4") if kind == "BFloat16Storage" else found
