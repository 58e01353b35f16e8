"""hama's phoneme network in Flax beside hama's own library, over a live stream's window, in one run.

python scripts/benchmarks/hama_speed.py
"""

import time
from collections.abc import Callable

import jax
import numpy as np

from avct_jax import demo
from avct_jax.data.speech import audio_io
from avct_jax.models.frozen import hama_conformer

SAMPLES = 29 * 640  # of a stream's window: 20 frames before a chunk, 2 of it, 7 after it
ROUNDS = 5


def spent(call: Callable[[], object], count: int) -> np.ndarray:
    """Milliseconds of processor time and of wall clock that one call takes."""
    begin = np.array([time.process_time(), time.perf_counter()])
    for _ in range(count):
        call()
    return 1000 * (np.array([time.process_time(), time.perf_counter()]) - begin) / count


def main() -> None:
    """Measure both in turn, and print the medians."""
    import hama

    with demo.sentence() as path:
        wav = audio_io.read_audio(path)[:SAMPLES].astype(np.float32)
    library = hama.ASRModel().session
    given = {"waveform": wav[None], "waveform_lengths": np.array([SAMPLES])}
    program = jax.jit(hama_conformer.HamaConformer().apply)
    variables = jax.device_put(hama_conformer.variables())
    ours = lambda: jax.block_until_ready(program(variables, wav[None]))
    ours()
    theirs = lambda: library.run(["log_probs"], given)
    rounds = np.array([[spent(theirs, 3), spent(ours, 30)] for _ in range(ROUNDS)])
    for name, row in zip(("hama's library", "Flax"), np.median(rounds, 0), strict=True):
        print(f"{name:<16}{row[0]:8.1f} ms of processor time {row[1]:8.1f} ms of wall clock")
    ratio = np.median(rounds[:, 0] / rounds[:, 1], 0)
    print(f"{'ratio':<16}{ratio[0]:8.1f}{ratio[1]:29.1f}")


if __name__ == "__main__":
    main()
