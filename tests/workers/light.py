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


def slowly(item, shared, progress):
    """Write the item's file; returns the node that did, and what is in it."""
    import ray

    content = (item * 5).encode()
    for number in range(5):
        time.sleep(0.1)
        progress(number == 4)
    write_slowly(pathlib.Path(shared) / item, content)
    return ray.get_runtime_context().get_node_id(), content.decode()
