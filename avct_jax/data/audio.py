"""Speech as the networks hear it: 16 kHz mono, and 41 features every 10 ms, four rows a frame."""

import functools
import importlib.machinery
import importlib.util
import logging
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import types
from concurrent import futures
from typing import IO, Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from avct_jax import errors, file_kind
from avct_jax.data import in_memory, mel

SAMPLE_RATE = mel.SAMPLE_RATE  # samples/s
FRAME_RATE = 25  # frames/s, Wang et al. 2022
FRAME_SAMPLES = SAMPLE_RATE // FRAME_RATE  # 640 samples = 40 ms of sound behind each picture
ROWS_PER_FRAME = 4
FEATURES = 41  # 13 MFCC, 26 log filter-bank energies, F0 in Hz, voiced flag
F0_WHOLE = 1100  # rows = 11 s of sound whose pitch is sought at once; longer sound goes in chunks
F0_CHUNK = 500  # rows = 5 s
F0_MARGIN = 100  # rows = 1 s heard on both sides of a chunk, so that seams do not show
F0_THREADS = 4  # at most; WORLD lets go of the interpreter, and takes 20 MB a chunk
SILENCE_FLOOR = -60.0  # dB of full scale: below this nobody speaks, whatever the rest of the clip does
SILENT_MIX = 1e-4  # of full scale: channels that cancel each other out leave less
WHOLE = {("u", 1), ("i", 2), ("i", 4)}  # samples as wav files have them
LOUDEST = 8.0  # of full scale: floats may overshoot; far more are whole numbers under another name
FFMPEG_SECONDS = 60  # in which an ffmpeg says its version
SILENCE_RUN = 3  # frames = 120 ms: shorter gaps are stop consonants, not pauses

_log = logging.getLogger(__name__)


def read_audio(path: str | os.PathLike, *, sample_rate: int = SAMPLE_RATE) -> Float[np.ndarray, "n"]:
    """Read the sound of any file that ffmpeg knows, a video's first sound track too.

    Channels are averaged, other rates resampled (soxr where this ffmpeg has it). Damage, and channels that
    cancel each other out, are logged.

    Args:
      path: a sound or video file; never seen by a shell, so any name will do.
      sample_rate: samples/s of the answer.
    Returns: samples, full scale = 1, float32.
    Raises:
      UserError: missing, a folder, empty, not readable as sound, without sound, or shorter than 40 ms; or the
        disk is full.
    """
    path = pathlib.Path(path)
    _check_file(path)
    wav, complaint = _decode(path, sample_rate)
    if len(wav) == 0:
        raise errors.UserError(_why_nothing(path, complaint))
    if np.abs(wav).max() < SILENT_MIX:
        first, _ = _decode(path, sample_rate, before="pan=mono|c0=c0,")
        if np.abs(first).max(initial=0) >= SILENT_MIX:
            _log.warning("the channels of %s cancel each other out: the first one is heard", path)
            wav = first
    if complaint := complaint.strip():
        _log.warning(
            "%s is damaged (%s): %.2f s of its sound could be read",
            path, re.sub(r"^(\[[^\]]*\] )+", "", complaint.splitlines()[-1]), len(wav) / sample_rate,
        )  # fmt: skip
    if len(wav) * FRAME_RATE < sample_rate:
        milliseconds = 1000 * len(wav) / sample_rate
        raise errors.UserError(
            f"{path}: {milliseconds:.0f} ms of sound; at least 40 ms are needed, give a longer recording"
        )
    return np.nan_to_num(wav, copy=False, posinf=1.0, neginf=-1.0)


def from_samples(given: Any) -> Float[np.ndarray, "n"]:
    """Take a sound that is in memory: mono, 16 kHz, whole numbers of full scale or floats of -1 to 1.

    Raises:
      UserError: not one row of numbers, shorter than 40 ms, whole numbers whose full scale nobody knows (as
        a list's are), or floats far beyond 1.
    """
    samples = in_memory.array(given, "a sound")
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
        samples = np.where(np.isfinite(samples), samples, 0)
        if (top := float(np.abs(samples).max())) > LOUDEST:
            raise errors.UserError(
                f"a sound of {samples.dtype} up to {top:.4g} is given; divide it: floats go from -1 to 1"
            )
        return samples.astype(np.float32)
    scale = 2.0 ** (8 * samples.dtype.itemsize - 1)
    return ((samples - (scale if samples.dtype.kind == "u" else 0.0)) / scale).astype(np.float32)


def map_audio(path: str | os.PathLike) -> Float[np.ndarray, "n"]:
    """The sound of a film from its time 0 on, 16 kHz mono, on disk until it is looked at.

    Unlike `read_audio`, which counts samples, this keeps the container's clock: gaps are silence, and sound
    that begins later than the picture does so here.

    Raises:
      UserError: as read_audio.
    """
    path = pathlib.Path(path)
    _check_file(path)
    with tempfile.TemporaryFile() as decoded:
        command = _decode_command(path, SAMPLE_RATE, before="aresample=async=1:first_pts=0,")
        complaint = _run(command, decoded)
        if os.fstat(decoded.fileno()).st_size < 4:
            raise errors.UserError(_why_nothing(path, complaint))
        return np.memmap(decoded, np.float32, mode="r")  # the mapping outlives the file's name


def frame_count(samples: int) -> int:
    """How many pictures accompany a 16 kHz sound: its 40 ms blocks, a begun last block included.

    Rounding up keeps the sound whole: the picture never ends before it.
    """
    return max(1, -(-samples // FRAME_SAMPLES))


def audio_features(
    wav: Float[np.ndarray, "n"], *, f0: Literal["harvest", "dio"] = "harvest"
) -> Float[np.ndarray, "rows 41"]:
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
    features: Float[np.ndarray, "rows 41"], *, frames: int | None = None
) -> Float[np.ndarray, "t 4 41"]:
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


def _check_file(path: pathlib.Path) -> None:
    if os.path.isdir(path):
        raise errors.UserError(f"{path}: a folder, not a sound; name a sound or video file inside it")
    if not os.path.exists(path):
        raise errors.UserError(f"{path}: no such sound file; check the name and the folder")
    if not os.access(path, os.R_OK):
        raise errors.UserError(f"{path}: not allowed to read this sound; change its permissions")
    if path.stat().st_size == 0:
        raise errors.UserError(f"{path}: an empty file (0 bytes); record or download the sound again")
    file_kind.refuse_pointer(path)


def decode_to(path: str | os.PathLike, folder: str | os.PathLike) -> pathlib.Path:
    """Decode a sound once, at its own rate, to 16-bit samples of one format from beginning to end.

    Joined mp3 files change from mono to stereo on the way, and an encoder's filters would begin anew there.

    Returns: the .wav in `folder`.
    Raises:
      UserError: no such file, no sound in it, or the disk is full.
    """
    path, output = pathlib.Path(path), pathlib.Path(folder) / "sound.wav"
    _check_file(path)
    command = [*_input(path), "-map", "0:a:0", "-c:a", "pcm_s16le", "-f", "wav", "-rf64", "auto"]
    complaint = _run([*command, "-y", f"file:{output.absolute()}"])
    if not output.exists():
        raise errors.UserError(_why_nothing(path, complaint))
    return output


def _decode(path, sample_rate, *, before=""):
    """Samples, and what the decoder complained of."""
    with tempfile.TemporaryFile() as decoded:  # a pipe would hold the sound twice while it is joined
        complaint = _run(_decode_command(path, sample_rate, before=before), decoded)
        decoded.seek(0)
        return np.fromfile(decoded, np.float32), complaint


def _run(command: list[str], output: IO[bytes] | None = None) -> str:
    """Call ffmpeg and return what it complains of.

    Raises:
      UserError: the disk is full: whatever it wrote is not all.
    """
    nowhere, told = subprocess.DEVNULL, subprocess.PIPE
    result = subprocess.run(command, stdin=nowhere, stdout=output or nowhere, stderr=told)
    text = result.stderr.decode(errors="replace")
    if result.returncode and "No space left on device" in text:
        raise errors.UserError(
            f"the disk of {tempfile.gettempdir()} is full; free space, or set TMPDIR to another folder"
        )
    return text


def _input(path: pathlib.Path) -> list[str]:
    # "file:" and the absolute path keep names like "-y.wav" or "a:b.wav" from being options or protocols.
    return [
        ffmpeg(), "-nostdin", "-v", "error", "-protocol_whitelist", "file", "-i", f"file:{path.absolute()}",
    ]  # fmt: skip


def _decode_command(path: pathlib.Path, sample_rate: int, *, before: str = "") -> list[str]:
    # rematrix_maxval averages channels where float output would add them
    resample = f"{before}aresample={sample_rate}:rematrix_maxval=1.0" + (
        ":resampler=soxr" if _has_soxr() else ""
    )
    rate = str(sample_rate)
    return [*_input(path), "-map", "0:a:0", "-af", resample, "-ac", "1", "-ar", rate, "-f", "f32le", "-"]


def ffmpeg() -> str:
    """The ffmpeg to call: imageio-ffmpeg's own, or the one IMAGEIO_FFMPEG_EXE or the system names."""
    import imageio_ffmpeg

    try:
        found = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise errors.UserError(
            "no ffmpeg found; pip install imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE"
        ) from error
    if not shutil.which(found):
        raise errors.UserError(f"IMAGEIO_FFMPEG_EXE is {found!r}, which is no program; unset or correct it")
    ffmpeg_version(found)
    return found


@functools.cache
def ffmpeg_version(program: str) -> tuple[int, int]:
    """The version of an ffmpeg, (5, 1) of 5.1.2; one that was built from between versions is the newest.

    Raises:
      UserError: it is another program.
    """
    try:
        done = subprocess.run(
            [program, "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=FFMPEG_SECONDS
        )
        said = done.stdout.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    if not said.startswith("ffmpeg version "):
        raise errors.UserError(f"IMAGEIO_FFMPEG_EXE is {program!r}, which is no ffmpeg; unset or correct it")
    number = re.match(r"ffmpeg version n?(\d+)\.(\d+)", said)
    return (int(number[1]), int(number[2])) if number else (999, 0)


@functools.cache
def _has_soxr() -> bool:
    shown = subprocess.run(
        [ffmpeg(), "-hide_banner", "-buildconf"], stdin=subprocess.DEVNULL, capture_output=True
    )
    return b"--enable-libsoxr" in shown.stdout + shown.stderr


def _why_nothing(path: pathlib.Path, complaint: str) -> str:
    if re.search(r"matches no streams|does not contain any stream", complaint):
        return f"{path}: has no sound track; give a file with speech in it"
    return f"{path}: cannot be read as sound (corrupt or not a media file); try converting it to wav"
