"""What is imported when: nothing for help, little before inputs are checked, no more than is used after."""

import os
import pathlib
import subprocess
import sys

import pytest

import avct_jax

ROOT = pathlib.Path(avct_jax.__file__).parent.parent
MAIN = "from avct_jax.cli import main\ntry: main.main({!r})\nexcept SystemExit: pass"
# Code, and modules that it must not import.
STEPS = {
    "help": (MAIN.format(["animate", "--help"]), ("jax", "flax", "numpy", "scipy", "cv2", "PIL", "soxr")),
    "a missing file": (
        MAIN.format(["animate", "--image", "gone.png", "--audio", "gone.wav"]),
        ("jax", "flax", "scipy", "cv2", "PIL", "hama", "ai_edge_litert", "typeguard"),
    ),
    "a missing job": (
        MAIN.format(["animate", "--jobs", "gone.jsonl"]),
        ("jax", "flax", "scipy", "hama", "ai_edge_litert"),
    ),
    "looking": (
        "import avct_jax.animator.inputs",
        ("jax", "flax", "scipy", "hama", "ai_edge_litert", "librosa", "pocketsphinx"),
    ),
    "the animator": (  # a second for scipy.signal, and it is needed by nothing
        "import avct_jax.animator.factory",
        (
            "scipy.signal",
            "scipy.stats",
            "scipy.interpolate",
            "librosa",
            "optax",
            "orbax",
            "tensorflow",
            "hama",
        ),
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_what_is_not_needed_yet_is_not_imported(step):
    code, barred = STEPS[step]
    code = f"import sys\n{code}\nprint([name for name in {barred!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
