"""Memory that is freed and asked for again costs nothing the second time."""

import subprocess
import sys

from avct_jax import malloc

CODE = """
import ctypes, resource, sys
from avct_jax import malloc
kept = malloc.keep_freed() if sys.argv[1] == "keep" else True
faults, SIZE, libc = [], 160_000_000, ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(SIZE)
    ctypes.memset(block, 1, SIZE)
    libc.free(block)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(int(kept), faults[-1])
"""


def faults(how):
    done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


def test_freed_memory_is_mapped_once():
    kept, few = faults("keep")
    _, many = faults("plain")
    # Other C libraries than glibc have no such switch.
    assert (few < 100 and many > 5000) if kept else few > 5000


def test_available_memory_is_the_least_that_the_system_says(tmp_path, monkeypatch):
    names = {"MEMORY": "meminfo", "CONTAINER": "memory.max"}
    for name, file in names.items():
        monkeypatch.setattr(malloc, name, tmp_path / file)
    assert malloc.available() > 2**28  # all of it
    (tmp_path / "meminfo").write_text("MemTotal:  9 kB\nMemAvailable:    3 kB\n")
    assert malloc.available() == 3072
    (tmp_path / "memory.max").write_text("max\n")
    assert malloc.available() == 3072
    (tmp_path / "memory.max").write_text("2048\n")
    assert malloc.available() == 2048
