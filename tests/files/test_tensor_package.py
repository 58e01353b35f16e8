"""Files of hama's tensors, whole, damaged, and others."""

import struct

import numpy as np
import pytest

from avct_jax import errors
from avct_jax.files import tensor_package


def written(tensors):
    """Bytes of a file, as hama writes them."""
    table, data = b"", b""
    for name, values in tensors.items():
        kind = {np.dtype(np.float32): 0, np.dtype(np.float16): 1}[values.dtype]
        table += struct.pack("<H", len(name.encode())) + name.encode() + struct.pack("<BB", kind, values.ndim)
        table += struct.pack(f"<{values.ndim}I", *values.shape) + struct.pack("<QQ", len(data), values.nbytes)
        data += values.tobytes() + bytes(-values.nbytes % 16)
    head = b"HAMAPK\x01\x02" + struct.pack("<I", len(tensors)) + table
    return head + bytes(-len(head) % 16) + data


TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "block.0.ä": np.array([0.5, -2], np.float16),
    "scalar": np.array(3, np.float32),
}


def test_tensors_are_read_as_they_were_written(tmp_path):
    (tmp_path / "x.hama").write_bytes(written(TENSORS))
    found = tensor_package.read(tmp_path / "x.hama")
    assert list(found) == list(TENSORS)
    for name, values in TENSORS.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: b"",
        lambda c: b"PK" + c[2:],
        lambda c: c[:10],
        lambda c: c[:40],
        lambda c: c[:-20],
        lambda c: c[:8] + struct.pack("<I", 2**31) + c[12:],
        lambda c: c.replace(b"\x01\x00a\x00", b"\x01\x00a\x07"),
        lambda c: c.replace(b"\x01\x00a", b"\x01\x00\xff"),
    ],
)
def test_damage_is_told(tmp_path, change):
    (tmp_path / "x.hama").write_bytes(change(written(TENSORS)))
    with pytest.raises(errors.UserError, match="is damaged, or no file of hama's; install hama anew"):
        tensor_package.read(tmp_path / "x.hama")
