"""Memory does not grow with the length of the audio."""

import pathlib
import subprocess
import sys
import wave

import numpy as np
import pytest

from tests import toy_stage

PROGRAM = """
import sys, tracemalloc
import jax
import numpy as np
from avct_jax import weights_file
from avct_jax.animator import keypoint_animator
system = weights_file.load(sys.argv[1])
class Face(keypoint_animator.KeypointAnimator):
    def _read_portrait(self, image, notes, **options):
        return image, np.array([0, 0, 0, 0, 0, 250], np.float32)
def kilobytes(what):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(what))
held = []  # kB of arrays, as frames are written; what the process has is 100 MB more or less from run to run
def look(done, total):
    if not held:
        tracemalloc.start()
    held.append((tracemalloc.get_traced_memory()[0] + sum(x.nbytes for x in jax.live_arrays())) / 1024)
picture = np.full((64, 64, 3), 128, np.uint8)
Face(system).animate(picture, sys.argv[3], sys.argv[4], phonemes=sys.argv[2],
                     progress=look)
quarter = max(len(held) // 4, 1)
print(kilobytes("VmHWM"), min(held[-quarter:]) - min(held[:quarter]))
"""
FRAMES = 60 * 25 * 64 * 64 * 3 / 1024  # kB that all frames of the long video take


def memory(folder: pathlib.Path, checkpoint, seconds: int) -> list[float]:
    """Most memory of all, and the least in the last quarter of the frames less that in the first, kB."""
    script = f'[{{"word": "x", "phones": [{{"ph": "AA", "bg": 0, "ed": {100 * seconds}}}]}}]'
    (folder / "x.json").write_text(script)
    second = np.random.default_rng(0).normal(0, 3000, 16000).astype(np.int16).tobytes()
    with wave.open(str(folder / "x.wav"), "wb") as audio:
        audio.setparams((1, 2, 16000, 0, "NONE", ""))
        for _ in range(seconds):
            audio.writeframes(second)
    files = (folder / name for name in ("x.json", "x.wav", f"{seconds}.mp4"))
    arguments = [sys.executable, "-c", PROGRAM, checkpoint, *files]
    here = toy_stage.environment(flags=toy_stage.WIRING)
    done = subprocess.run(arguments, env=here, check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="needs /proc")
def test_animate_takes_as_much_memory_for_a_minute_as_for_ten_seconds(tmp_path, tiny_checkpoint):
    """Compiling, on as many threads as there are, makes the peak vary by a tenth from run to run."""
    (short, _), (long, grown) = (memory(tmp_path, tiny_checkpoint, seconds) for seconds in (10, 60))
    assert long < 1.3 * short and grown < FRAMES / 2
