"""MediaPipe's networks in LiteRT, TensorFlow's runtime for CPUs."""

import contextlib
import os
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32

from avct_jax.data.faces import model_files


def open_network(file: str, num_threads: int):
    """Open one of face_models' networks.

    Raises:
      UserError: the file is missing or another one.
    """
    with _quiet():
        from ai_edge_litert import interpreter as litert  # 0.3 s to import: only where a face is looked for

        network = litert.Interpreter(model_path=str(model_files.find(file)), num_threads=num_threads)
        network.allocate_tensors()
    return network


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep LiteRT's start-up notices off the terminal: its C++ writes to file descriptor 2 itself."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def run(network, patch: Float32[np.ndarray, "s s 3"]) -> tuple[np.ndarray, ...]:
    """Run a network on one image and return its outputs, each with a batch of one."""
    network.set_tensor(network.get_input_details()[0]["index"], patch[None])
    network.invoke()
    return tuple(network.get_tensor(output["index"]) for output in network.get_output_details())
