"""The step's program as text: what JAX handed to XLA, what XLA made of it, and the memory that takes."""

import json
import pathlib
from typing import Any

from avct_jax.files import atomic_write

FOLDER = "hlo"
BYTES = ("argument", "output", "alias", "temp", "generated_code")


def write(folder: pathlib.Path, program: Any, *arguments: Any) -> None:
    """Write a function that jax.jit made, and that was called with such arguments, to `folder`/hlo.

    Files: step.stablehlo.mlir, step.optimised.hlo (of one device), memory.json (bytes of a device).

    Raises:
      UserError: nothing can be written there.
    """
    lowered = program.lower(*arguments)
    compiled = lowered.compile()  # found, not compiled again
    found: Any = compiled.memory_analysis()
    memory = {name: getattr(found, f"{name}_size_in_bytes", 0) for name in BYTES}
    texts = {
        "step.stablehlo.mlir": lowered.as_text(),
        "step.optimised.hlo": compiled.as_text() or "",
        "memory.json": json.dumps(memory, indent=1) + "\n",
    }
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        atomic_write.write(folder / FOLDER / name, text.encode())
