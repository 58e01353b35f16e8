"""What a video was made of and how, in a file beside it: talk.mp4.json for talk.mp4."""

import datetime
import functools
import importlib.metadata
import json
import os
import pathlib
import platform
from typing import Any

import avct_jax
from avct_jax.animator import base
from avct_jax.data.media import video_io
from avct_jax.files import atomic_write, checksum
from avct_jax.jobs import animation_job

FORMAT, VERSION = "avct_jax result", 1  # the first fields, see animation_job._may_be_ours
PACKAGES = (
    "jax", "jaxlib", "flax", "numpy", "scipy", "opencv-python-headless", "pillow", "ai-edge-litert", "soxr",
    "imageio-ffmpeg", "hama", "pocketsphinx", "hibari-tts",
)  # fmt: skip
EMBEDDED = "mesh.safetensors"  # weights_file.DEFAULT, named here because that module imports JAX
Digests = dict[str, str]


def path_of(output: str | os.PathLike) -> pathlib.Path:
    """Name the record of a video."""
    return pathlib.Path(f"{os.fspath(output)}.json")


def digests(job: animation_job.AnimationJob) -> Digests:
    """Return the SHA-256 of everything that a job reads, and of its checkpoint, by kind.

    Raises:
      OSError: one cannot be read.
    """
    found = {kind: digest(path) for kind, path in job.files.items()}
    return found | {"checkpoint": digest(_checkpoint(job))}


def write(job: animation_job.AnimationJob, report: base.Report, given: Digests) -> dict[str, Any]:
    """Write a video's record beside it; returns it.

    Args:
      given: `digests` from before it was made.

    Raises:
      UserError: it cannot be written.
    """
    inputs = {
        kind: {"file": os.path.abspath(path), "sha256": given[kind]} for kind, path in job.files.items()
    }
    record = {
        "format": FORMAT,
        "version": VERSION,
        "settings": job.settings,
        "inputs": inputs,
        "checkpoint": {"file": job.checkpoint or EMBEDDED, "sha256": given["checkpoint"]},
        "seed": report.seed,
        "video": {
            "file": os.path.basename(job.output),
            "sha256": digest(job.output),
            "frames": report.frames,
            "frame_rate": video_io.FRAME_RATE,
            "seconds": report.seconds,
            "size": report.size,
        },
        "subtitles": _subtitles(job, report),
        "notes": report.notes,
        "timings": {part: round(seconds, 3) for part, seconds in report.timings.items()},
        "packages": versions(),
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    atomic_write.write(path_of(job.output), text.encode(errors="backslashreplace"))
    return record


def _subtitles(job: animation_job.AnimationJob, report: base.Report) -> dict[str, Any] | None:
    """Where they went, how many there are, and of how many the times are guessed."""
    if job.request.subtitles is None:
        return None
    count, guessed = len(report.cues), sum(cue.guessed for cue in report.cues)
    return {"place": os.fspath(job.request.subtitles), "count": count, "guessed_times": guessed}


def read(output: str | os.PathLike) -> dict[str, Any] | None:
    """Read a video's record; None where there is none that can be understood."""
    try:
        record = json.loads(path_of(output).read_bytes())
    except (OSError, ValueError):
        return None
    known = isinstance(record, dict) and record.get("format") == FORMAT and record.get("version") == VERSION
    return record if known else None


def is_made(job: animation_job.AnimationJob, given: Digests) -> bool:
    """Whether a job's video is there, whole, and was made with these settings of these files.

    Versions of packages do not count.
    """
    record = read(job.output)
    try:
        if record is None or record["settings"] != json.loads(json.dumps(job.settings)):
            return False
        before = {kind: file["sha256"] for kind, file in record["inputs"].items()}
        before["checkpoint"] = record["checkpoint"]["sha256"]
        there = all(map(os.path.isfile, job.outputs))
        return there and before == given and digest(job.output) == record["video"]["sha256"]
    except (OSError, LookupError, TypeError, AttributeError):  # no video, or somebody's own JSON
        return False


def digest(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file; of one that has not changed it is kept.

    Raises:
      OSError: it cannot be read.
    """
    found = os.stat(path)
    return _digest(os.path.realpath(path), found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _digest(path: str, size: int, time: int) -> str:
    return checksum.sha256(path)


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of what a video is made by."""
    found = {"avct-jax": avct_jax.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _checkpoint(job: animation_job.AnimationJob) -> pathlib.Path:
    root = pathlib.Path(avct_jax.__file__).parent
    return pathlib.Path(job.checkpoint) if job.checkpoint else root / "pretrained" / EMBEDDED
