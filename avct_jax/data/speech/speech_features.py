"""PAPER's features of a recording: 41 every 10 ms, four rows a frame; and how its level is taken off.

Audio is 16 kHz mono everywhere (audio_io.py). LITE's features are those of streaming_features.py.
"""

import importlib.machinery
import importlib.util
import os
import sys
import threading
import types
from concurrent import futures
from typing import Literal

import numpy as np
from jaxtyping import Float

from avct_jax import errors, speech_format
from avct_jax.data.speech import mel

SAMPLE_RATE = mel.SAMPLE_RATE  # samples/s
FRAME_RATE = 25  # frames/s, Wang et al. 2022
FRAME_SAMPLES = SAMPLE_RATE // FRAME_RATE  # 640 samples = 40 ms of audio behind each image
ROWS_PER_FRAME = speech_format.ROWS
FEATURES = speech_format.COLUMNS
LEAST_PEAK = 1e-9  # of full scale: below it there is nothing to be made louder
F0_WHOLE = 1100  # rows = 11 s of audio whose pitch is sought at once; longer audio goes in chunks
F0_CHUNK = 500  # rows = 5 s
F0_MARGIN = 100  # rows = 1 s heard on both sides of a chunk, so that seams do not show
F0_THREADS = 4  # at most; WORLD lets go of the interpreter, and takes 20 MB a chunk
WORLD = "pyworld.pyworld"  # module
_LOADING = threading.Lock()


def frame_count(samples: int) -> int:
    """How many images accompany a 16 kHz audio: its 40 ms blocks, a begun last block included.

    Rounding up keeps the audio whole: the image never ends before it.
    """
    return max(1, -(-samples // FRAME_SAMPLES))


def normalised(wav: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Take the level off a recording: its mean becomes 0 and its peak 1; digital silence stays zero.

    All that must not hear how a recording was levelled hears this: recognisers of phonemes, the mel image, a
    clip's features. Features take the same off by themselves, in float64 and block by block, without a copy.
    streaming_features.py cannot: it hears no peak before it comes.
    """
    centred = wav - np.mean(wav, dtype=np.float64).astype(wav.dtype)
    return centred / max(float(np.abs(centred).max()), LEAST_PEAK)


def _level(wav: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """A recording's mean, and the factor that makes its peak around it 1."""
    mean = float(np.mean(wav, dtype=np.float64))
    peak = max(float(wav.max()) - mean, mean - float(wav.min()))
    return mean, 1 / peak if peak > 0 else 1.0


def features(
    wav: Float[np.ndarray, " n"], *, f0: Literal["harvest", "dio"] = "harvest", frames: int | None = None
) -> Float[np.ndarray, "t 4 columns"]:
    """Return `audio_features`, dealt out to frames.

    Args:
      wav: 16 kHz mono, any scale.
      f0: see `audio_features`.
      frames: other than the audio's own number.
    """
    return frame_features(audio_features(wav, f0=f0), frames=frames or frame_count(len(wav)))


def silence() -> Float[np.ndarray, "4 columns"]:
    """Return the features of a frame of digital silence, which no microphone records."""
    return features(np.zeros(SAMPLE_RATE, np.float32))[3]


def audio_features(
    wav: Float[np.ndarray, "n"], *, f0: Literal["harvest", "dio"] = "harvest"
) -> Float[np.ndarray, "rows columns"]:
    """13 MFCC, 26 log filter-bank energies, F0 and voiced flag, every 10 ms.

    The audio's mean is removed and its peak set to 1 first; digital silence stays zero. F0 (Hz) is WORLD's,
    straight lines between voiced stretches, constant before the first and after the last, zero without any.

    Args:
      wav: 16 kHz mono, any scale.
      f0: "harvest" as the paper, or "dio" + stonemask: far cheaper, but a quarter of the flags differ.

    Returns:
      float32; as many rows as python_speech_features gives, 1 + ceil((n - 400) / 160).
    """
    mean, scale = _level(wav)
    cepstra, energies = mel.mfcc_and_filterbank(wav, offset=mean, scale=scale)
    rows = len(cepstra)
    hertz = pitch(wav, offset=mean, scale=scale, f0=f0)[:rows]
    voiced = hertz > 0
    columns = (cepstra, energies, interpolate_unvoiced(hertz)[:, None], voiced[:, None])
    return np.concatenate(columns, 1, dtype=np.float32)


def frame_features(
    features: Float[np.ndarray, "rows columns"], *, frames: int | None = None
) -> Float[np.ndarray, "t 4 columns"]:
    """Deal rows out to frames, four each.

    A window beyond the audio makes no row, so the last frame lacks one to five rows: the last row
    is repeated (the reference system drops that frame instead, and with it the end of the audio).

    Args:
      features: rows of `audio_features`.
      frames: `frame_count` of the audio; by default, as many as the rows fill, the last one perhaps in part.
    """
    frames = frames or -(-len(features) // ROWS_PER_FRAME)
    rows = np.minimum(np.arange(frames * ROWS_PER_FRAME), len(features) - 1)
    return features[rows].reshape(frames, ROWS_PER_FRAME, FEATURES)


def pitch(
    wav: Float[np.ndarray, "n"],
    *,
    offset: float = 0.0,
    scale: float = 1.0,
    f0: Literal["harvest", "dio"] = "harvest",
) -> Float[np.ndarray, "rows"]:
    """F0 in Hz every 10 ms by WORLD, 0 where unvoiced; n // 160 + 1 rows.

    Up to 11 s, exactly WORLD's answer for the whole. Longer audio is heard in chunks of 5 s, 1 s around, by a
    few threads: constant memory, the same voiced flags, F0 within 0.3% (measured on a minute of two voices).
    """
    rows = len(wav) // mel.STEP + 1
    margin, step = (F0_MARGIN, F0_CHUNK) if rows > F0_WHOLE else (0, rows)

    def find(first: int) -> np.ndarray:
        begin, last = max(0, first - margin), min(rows, first + step)
        piece = wav[begin * mel.STEP : (last + margin) * mel.STEP].astype(np.float64)
        return world_pitch((piece - offset) * scale, f0)[first - begin : last - begin]

    if step == rows:
        return find(0)
    with futures.ThreadPoolExecutor(min(F0_THREADS, os.cpu_count() or 1)) as pool:
        return np.concatenate(list(pool.map(find, range(0, rows, step))))


def interpolate_unvoiced(hertz: Float[np.ndarray, "rows"]) -> Float[np.ndarray, "rows"]:
    """Straight lines through the zeros of a pitch curve, its ends extended; all zeros stay zeros."""
    voiced = np.flatnonzero(hertz > 0)
    if len(voiced) == 0:
        return hertz
    return np.interp(np.arange(len(hertz)), voiced, hertz[voiced])


def world_pitch(wav: Float[np.ndarray, "n"], f0: str) -> Float[np.ndarray, "rows"]:
    """F0 in Hz every 10 ms by WORLD, of the whole at once; 0 where unvoiced."""
    world = load_world()
    if f0 == "harvest":
        return world.harvest(wav, SAMPLE_RATE, frame_period=10.0)[0]
    if f0 == "dio":
        hertz, seconds = world.dio(wav, SAMPLE_RATE, frame_period=10.0)
        return world.stonemask(wav, hertz, seconds, SAMPLE_RATE)
    raise ValueError(f"f0 is {f0!r}; it must be 'harvest' or 'dio'")


def load_world() -> types.ModuleType:
    """pyworld's compiled part alone: its __init__ imports pkg_resources, which is slow and warns.

    It can be loaded once in a process, by whoever comes first: it stands where `import pyworld` looks for it,
    and threads wait for one another.
    """
    with _LOADING:
        if WORLD not in sys.modules:
            sys.modules[WORLD] = _read_world()
        return sys.modules[WORLD]


def _read_world() -> types.ModuleType:
    package = importlib.util.find_spec("pyworld")
    if package is None or not package.submodule_search_locations:
        raise errors.UserError("pyworld is not installed, and F0 needs it; pip install pyworld")
    part = importlib.machinery.PathFinder.find_spec(WORLD, package.submodule_search_locations)
    if part is None or part.loader is None:
        raise errors.UserError("pyworld is installed in part only; pip install --force-reinstall pyworld")
    module = importlib.util.module_from_spec(part)
    part.loader.exec_module(module)
    return module
