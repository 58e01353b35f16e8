"""What `import avct_jax` gives, and what it does not cost."""

import subprocess
import sys

import pytest

import avct_jax

HEAVY = ("jax", "flax", "librosa", "cv2", "torch", "tensorflow", "numpy", "ai_edge_litert", "pocketsphinx")
COUNT = f"import sys; print([name for name in {HEAVY!r} if name in sys.modules])"


@pytest.mark.parametrize(
    "statement",
    [
        "import avct_jax",
        "from avct_jax.cli import main\ntry: main.main(['--help'])\nexcept SystemExit: pass",
        "from avct_jax.cli import main\ntry: main.main(['animate', '--help'])\nexcept SystemExit: pass",
        "from avct_jax.cli import main\nmain.main(['animate', '--image', 'a.jpg'])",
    ],
)
def test_import_and_help_load_nothing_heavy(statement):
    done = subprocess.run([sys.executable, "-c", f"{statement}\n{COUNT}"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


@pytest.mark.parametrize("name", avct_jax.__all__)
def test_public_names_are_there_and_documented(name):
    assert getattr(avct_jax, name).__doc__


def test_unknown_names_are_refused_as_python_does():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = avct_jax.nothing
