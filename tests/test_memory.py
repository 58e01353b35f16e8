"""Memory does not grow with the length of the sound."""

import pathlib
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from avct_jax import animator, checkpoint_file
system = checkpoint_file.load(sys.argv[1])
wav = np.tile(np.random.default_rng(0).normal(0, .1, 16000).astype(np.float32), int(sys.argv[3]))
class Face(animator.Animator):
    def _read_portrait(self, image, notes):
        return image, np.array([0, 0, 0, 0, 0, 250], np.float32)
Face(system).animate(np.full((64, 64, 3), 128, np.uint8), wav, sys.argv[4], phonemes=sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(folder: pathlib.Path, checkpoint, seconds: int) -> int:
    script = f'[{{"word": "x", "phones": [{{"ph": "AA", "bg": 0, "ed": {100 * seconds}}}]}}]'
    (folder / "x.json").write_text(script)
    output = folder / f"{seconds}.mp4"
    arguments = [sys.executable, "-c", PROGRAM, checkpoint, folder / "x.json", str(seconds), output]
    return int(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
def test_animate_takes_as_much_memory_for_ten_minutes_as_for_ten_seconds(tmp_path, tiny_checkpoint):
    short, long = (peak(tmp_path, tiny_checkpoint, seconds) for seconds in (10, 600))
    assert long < 1.1 * short
