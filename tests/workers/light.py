"""Work that hardly costs anything, for what spreads it."""

import os
import pathlib
import random
import time

from avct_jax.files import atomic_write


def work(item, shared, progress):
    """Answer as the item says."""
    if item == "die":
        os.kill(os.getpid(), 9)
    if item == "fail":
        raise KeyError("odd")
    progress(3)
    return f"{item}{shared}"
