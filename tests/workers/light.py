"""Work that costs hardly anything, for what spreads it."""

import os
import pathlib
import time

from avct_jax.files import atomic_write

FRAME_SECONDS = 0.002


def work(item, shared, progress):
    """Answer as the item says."""
    if item == "die":
        os.kill(os.getpid(), 9)
    if item == "fail":
        raise KeyError("odd")
    progress(3)
    return f"{item}{shared}"


def write_slowly(path, content):
    """A file that grows for a while under another name, as a video does."""
    with atomic_write.writing(path) as hidden, open(hidden, "wb") as file:
        for byte in content:
            file.write(bytes([byte]))
            file.flush()
            time.sleep(FRAME_SECONDS)


def once(item, shared, progress):
    """Write the item into a folder, and end the process of the first who does."""
    mark = pathlib.Path(shared) / "mark"
    if item == 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), 9)
    atomic_write.write(pathlib.Path(shared) / f"{item}.txt", str(item).encode())
    progress(1)
    return item
