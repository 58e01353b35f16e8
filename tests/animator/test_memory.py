"""Memory does not grow with the length of the audio."""

import pathlib
import subprocess
import sys
import wave

import numpy as np
import pytest

PROGRAM = """
import resource, sys
import numpy as np
from avct_jax import weights_file
from avct_jax.animator import keypoint_animator
system = weights_file.load(sys.argv[1])
class Face(keypoint_animator.KeypointAnimator):
    def _read_portrait(self, image, notes, **options):
        return image, np.array([0, 0, 0, 0, 0, 250], np.float32)
Face(system).animate(np.full((64, 64, 3), 128, np.uint8), sys.argv[3], sys.argv[4], phonemes=sys.argv[2])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(folder: pathlib.Path, checkpoint, seconds: int) -> int:
    script = f'[{{"word": "x", "phones": [{{"ph": "AA", "bg": 0, "ed": {100 * seconds}}}]}}]'
    (folder / "x.json").write_text(script)
    second = np.random.default_rng(0).normal(0, 3000, 16000).astype(np.int16).tobytes()
    with wave.open(str(folder / "x.wav"), "wb") as audio:
        audio.setparams((1, 2, 16000, 0, "NONE", ""))
        for _ in range(seconds):
            audio.writeframes(second)
    files = (folder / name for name in ("x.json", "x.wav", f"{seconds}.mp4"))
    arguments = [sys.executable, "-c", PROGRAM, checkpoint, *files]
    return int(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
def test_animate_takes_as_much_memory_for_six_minutes_as_for_ten_seconds(tmp_path, tiny_checkpoint):
    short, long = (peak(tmp_path, tiny_checkpoint, seconds) for seconds in (10, 360))
    assert long < 1.1 * short
