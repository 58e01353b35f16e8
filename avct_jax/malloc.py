"""Memory: how much there is, and what is freed is kept for what comes next."""

import contextlib
import ctypes
import os
import pathlib
import re
import sys

# Of glibc's mallopt (malloc.h).
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
LARGEST = 2**31 - 1
MEMORY, CONTAINER = pathlib.Path("/proc/meminfo"), pathlib.Path("/sys/fs/cgroup/memory.max")


def keep_freed() -> bool:
    """Let the C library keep freed memory instead of giving it back to the system; returns whether it does.

    A step on the CPU takes one block of a gigabyte from malloc and frees it at its end. By default such
    blocks are mapped anew each time, page by page: 265 000 page faults a step of LITE, a fifth of its CPU
    time. Streams do the same with a few dozen MiB, in each of many arenas: a server that keeps them in one
    takes less memory, and as much at the end of an hour as at its begin. To be called before threads begin.
    Elsewhere than with glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    with contextlib.suppress(AttributeError, OSError):  # musl has no mallopt
        set_option = ctypes.CDLL(None).mallopt
        wanted = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, LARGEST), (M_ARENA_MAX, 1))
        return all([set_option(option, value) for option, value in wanted])
    return False


def available() -> int | None:
    """Bytes of memory that this process may still take, about; None where the system does not say."""
    found = []
    with contextlib.suppress(OSError):
        if kib := re.search(r"MemAvailable: +([0-9]+) kB", MEMORY.read_text()):
            found.append(1024 * int(kib[1]))
    with contextlib.suppress(OSError, ValueError):  # "max": no limit
        found.append(int(CONTAINER.read_text()))
    if not found:
        with contextlib.suppress(AttributeError, OSError, ValueError):  # all there is
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min((x for x in found if x > 0), default=None)
