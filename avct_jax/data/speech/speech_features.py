"""Speech as the networks hear it: 16 kHz mono, and 41 features every 10 ms, four rows a frame."""

import functools
import importlib.machinery
import importlib.util
import logging
import numbers
import os
import types
from concurrent import futures
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from avct_jax import arguments, errors
from avct_jax.data.media import container, soundtrack
from avct_jax.data.speech import mel

SAMPLE_RATE = mel.SAMPLE_RATE  # samples/s
FRAME_RATE = 25  # frames/s, Wang et al. 2022
FRAME_SAMPLES = SAMPLE_RATE // FRAME_RATE  # 640 samples = 40 ms of sound behind each image
ROWS_PER_FRAME = 4
FEATURES = 41  # 13 MFCC, 26 log filter-bank energies, F0 in Hz, voiced flag
F0_WHOLE = 1100  # rows = 11 s of sound whose pitch is sought at once; longer sound goes in chunks
F0_CHUNK = 500  # rows = 5 s
F0_MARGIN = 100  # rows = 1 s heard on both sides of a chunk, so that seams do not show
F0_THREADS = 4  # at most; WORLD lets go of the interpreter, and takes 20 MB a chunk
SILENCE_FLOOR = -60.0  # dB of full scale: below this nobody speaks, whatever the rest of the clip does
WHOLE = {("u", 1), ("i", 2), ("i", 4)}  # samples as wav files have them
LOUDEST = 8.0  # of full scale: floats may overshoot; far more are whole numbers under another name
PAIRED = ([True, False], [False, True])  # a rate and samples, as scipy and soundfile give them
SILENCE_RUN = 3  # frames = 120 ms: shorter gaps are stop consonants, not pauses

ffmpeg = container.ffmpeg

_log = logging.getLogger(__name__)


def read_audio(
    path: str | os.PathLike, *, sample_rate: int = SAMPLE_RATE, track: int | None = None
) -> Float[np.ndarray, "n"]:
    """Read the sound of any file that ffmpeg knows, a video's too, from the file's time 0 on.

    Channels are averaged, other rates resampled (soxr). Damage, and what is heard where that is not the first
    track and all of its channels, are logged; see `soundtrack.listen`.

    Args:
      path: a sound or video file; never seen by a shell, so any name will do.
      sample_rate: samples/s of the answer.
      track: which of several sound tracks, from 1; by default the first in which there is something to hear.
    Returns: samples, full scale = 1, float32.
    Raises:
      UserError: missing, a folder, empty, not readable as sound, without sound, or shorter than 40 ms.
    """
    return read_heard(path, sample_rate=sample_rate, track=track).samples


def read_heard(
    path: str | os.PathLike, *, sample_rate: int = SAMPLE_RATE, track: int | None = None
) -> soundtrack.Heard:
    """`read_audio`, and which track and channel it was: what a video of this sound has to hold."""
    heard = soundtrack.listen(path, sample_rate=sample_rate, number=None if track is None else track - 1)
    if len(heard.samples) * FRAME_RATE < sample_rate:
        milliseconds = 1000 * len(heard.samples) / sample_rate
        raise errors.UserError(
            f"{path}: {milliseconds:.0f} ms of sound; at least 40 ms are needed, give a longer recording"
        )
    return heard


def from_samples(given: Any) -> Float[np.ndarray, "n"]:
    """Take a sound that is in memory: mono, 16 kHz, whole numbers of full scale or floats of -1 to 1.

    Raises:
      UserError: not one row of numbers, shorter than 40 ms, whole numbers whose full scale nobody knows (as
        a list's are), or floats far beyond 1.
    """
    if isinstance(given, tuple | list) and [isinstance(x, numbers.Real) for x in given] in PAIRED:
        raise errors.UserError(
            "a sound with its rate is given; give the samples alone, resampled to 16 000 a second"
        )
    samples = arguments.array(given, "a sound")
    if samples.ndim != 1 or samples.dtype.kind not in "iuf":
        raise errors.UserError(
            f"a sound of {samples.dtype} and shape {samples.shape} is given; it must be one row of samples, "
            "16 000 a second"
        )
    if len(samples) < FRAME_SAMPLES:
        raise errors.UserError(f"{len(samples)} samples of sound are given; {FRAME_SAMPLES} are the least")
    if samples.dtype.kind != "f" and (samples.dtype.kind, samples.dtype.itemsize) not in WHOLE:
        raise errors.UserError(
            f"a sound of {samples.dtype} is given, whose full scale is unknown; give floats of -1 to 1, "
            "or int16"
        )
    if samples.dtype.kind == "f":
        if lost := int((~np.isfinite(samples)).sum()):
            _log.warning("samples are given that are no numbers (NaN, Inf), %d in all: they are silent", lost)
            samples = np.where(np.isfinite(samples), samples, 0)
        if (top := float(np.abs(samples).max())) > LOUDEST:
            raise errors.UserError(
                f"a sound of {samples.dtype} up to {top:.4g} is given; divide it: floats go from -1 to 1"
            )
        return samples.astype(np.float32)
    scale = 2.0 ** (8 * samples.dtype.itemsize - 1)
    return ((samples - (scale if samples.dtype.kind == "u" else 0.0)) / scale).astype(np.float32)


def map_audio(path: str | os.PathLike) -> Float[np.ndarray, "n"]:
    """What `read_audio` reads, on disk until it is looked at.

    Raises:
      UserError: as read_audio; or the disk is full.
    """
    return soundtrack.listen(path, sample_rate=SAMPLE_RATE, on_disk=True).samples


def frame_count(samples: int) -> int:
    """How many images accompany a 16 kHz sound: its 40 ms blocks, a begun last block included.

    Rounding up keeps the sound whole: the image never ends before it.
    """
    return max(1, -(-samples // FRAME_SAMPLES))


def audio_features(
    wav: Float[np.ndarray, "n"], *, f0: Literal["harvest", "dio"] = "harvest"
) -> Float[np.ndarray, "rows columns"]:
    """13 MFCC, 26 log filter-bank energies, F0 and voiced flag, every 10 ms.

    The sound's mean is removed and its peak set to 1 first; digital silence stays zero. F0 (Hz) is WORLD's,
    straight lines between voiced stretches, constant before the first and after the last, zero without any.

    Args:
      wav: 16 kHz mono, any scale.
      f0: "harvest" as the paper, or "dio" + stonemask: far cheaper, but a quarter of the flags differ.
    Returns: float32; as many rows as python_speech_features gives, 1 + ceil((n - 400) / 160).
    """
    mean = float(np.mean(wav, dtype=np.float64))
    peak = max(float(wav.max()) - mean, mean - float(wav.min()))
    scale = 1 / peak if peak > 0 else 1.0
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

    A window beyond the sound makes no row, so the last frame lacks one to five rows: the last row
    is repeated (the reference system drops that frame instead, and with it the end of the sound).

    Args:
      features: rows of `audio_features`.
      frames: `frame_count` of the sound; by default, as many as the rows fill, the last one perhaps in part.
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

    Up to 11 s, exactly WORLD's answer for the whole. Longer sound is heard in chunks of 5 s, 1 s around, by a
    few threads: constant memory, the same voiced flags, F0 within .3% (measured on a minute of two voices).
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


def silent_frames(wav: Float[np.ndarray, "n"]) -> Bool[np.ndarray, "t"]:
    """Frames in which nobody speaks, so that a mouth can be kept shut there.

    A frame is quiet below -60 dB of full scale, or below a level a quarter of the way from the clip's own
    background (10th percentile) to its speech (95th), held within 25 to 45 dB under the speech. Only runs of
    at least 120 ms count.
    """
    frames = frame_count(len(wav))
    blocks = np.pad(wav, (0, frames * FRAME_SAMPLES - len(wav))).reshape(frames, FRAME_SAMPLES)
    centred = blocks - blocks.mean(1, keepdims=True)  # an offset or a hum's drift is not speech
    level = 10 * np.log10(np.mean(centred**2, 1, dtype=np.float64) + 1e-12)
    background, speech = np.percentile(level, (10, 95))
    threshold = np.clip(background + 0.25 * (speech - background), speech - 45, speech - 25)
    return _long_runs(level < max(SILENCE_FLOOR, threshold), SILENCE_RUN)


def _long_runs(flags: Bool[np.ndarray, "t"], length: int) -> Bool[np.ndarray, "t"]:
    """Keep runs of True of at least `length`, and shorter ones only when they are everything."""
    if flags.all():
        return flags
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    kept = np.zeros_like(flags)
    for begin, end in edges.reshape(-1, 2):
        kept[begin:end] = end - begin >= length
    return kept


def world_pitch(wav: Float[np.ndarray, "n"], f0: str) -> Float[np.ndarray, "rows"]:
    """F0 in Hz every 10 ms by WORLD, of the whole at once; 0 where unvoiced."""
    world = load_world()
    if f0 == "harvest":
        return world.harvest(wav, SAMPLE_RATE, frame_period=10.0)[0]
    if f0 == "dio":
        hertz, seconds = world.dio(wav, SAMPLE_RATE, frame_period=10.0)
        return world.stonemask(wav, hertz, seconds, SAMPLE_RATE)
    raise ValueError(f"f0 is {f0!r}; it must be 'harvest' or 'dio'")


@functools.cache
def load_world() -> types.ModuleType:
    """pyworld's compiled part alone: its __init__ imports pkg_resources, which is slow and warns."""
    package = importlib.util.find_spec("pyworld")
    if package is None or not package.submodule_search_locations:
        raise errors.UserError("pyworld is not installed, and F0 needs it; pip install pyworld")
    part = importlib.machinery.PathFinder.find_spec("pyworld", package.submodule_search_locations)
    if part is None or part.loader is None:
        raise errors.UserError("pyworld is installed in part only; pip install --force-reinstall pyworld")
    module = importlib.util.module_from_spec(part)
    part.loader.exec_module(module)
    return module
