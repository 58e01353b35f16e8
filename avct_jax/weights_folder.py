"""Weights as hubs keep them: a folder with model.safetensors, and config.json that names its sha256."""

import json
import os
import pathlib
import re

from avct_jax import errors, weights_file
from avct_jax.files import atomic_write, checksum, json_text, text_file

WEIGHTS, CONFIG = "model.safetensors", "config.json"
HUB_NAME = r"[\w.-]+/[\w.-]+"  # of a repository: owner/name


def save(folder: str | os.PathLike, system: weights_file.System, *, dtype: str = "float16") -> None:
    """Write a system into a folder, which is made where it is missing.

    Args:
      folder: files of these names in it are written over, other files stay.
      dtype: of kernels, see `weights_file.save`.

    Raises:
      UserError: the folder cannot be made or written to.
    """
    folder = pathlib.Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.UserError(f"cannot make {folder} ({error.strerror}); name another folder") from None
    weights_file.save(folder / WEIGHTS, system, dtype=dtype)
    found = {
        "format": weights_file.FORMAT,
        "version": weights_file.VERSION,
        "family": weights_file.family_of(system.config),
        "weights": {"file": WEIGHTS, "sha256": checksum.sha256(folder / WEIGHTS)},
        "config": weights_file.config_to_dict(system.config),
    }
    atomic_write.write(folder / CONFIG, (json.dumps(found, indent=2) + "\n").encode())


def load(folder: str | os.PathLike) -> weights_file.System:
    """Read a system from a folder that `save` wrote, with all that animating needs.

    Raises:
      UserError: a file is missing, damaged, of another program or version, or not the one that
        config.json names.
    """
    folder = pathlib.Path(folder)
    if not (folder / CONFIG).is_file():
        raise errors.UserError(f"{folder} has no {CONFIG}; name a folder that save_pretrained wrote")
    try:
        known = json_text.parse(text_file.read(folder / CONFIG))
        wanted = known["weights"]["sha256"]
    except (ValueError, KeyError, TypeError):
        raise errors.UserError(f"{folder / CONFIG} names no weights; write the folder again") from None
    if not (folder / WEIGHTS).is_file():
        raise errors.UserError(f"{folder} has no {WEIGHTS}; download it again")
    if checksum.sha256(folder / WEIGHTS) != wanted:
        raise errors.UserError(
            f"{folder / WEIGHTS} is not the file of {CONFIG} (its sha256 differs); download both again"
        )
    system = weights_file.load(folder / WEIGHTS, required=None)
    if json.loads(json.dumps(weights_file.config_to_dict(system.config))) != known.get("config"):
        raise errors.UserError(f"{folder / CONFIG} is of other weights; write the folder again")
    return system


def find(name: str | os.PathLike, *, revision: str | None = None) -> pathlib.Path:
    """Return the folder that `name` means: one on this computer, or a repository of the Hugging Face hub.

    Only a name of the form owner/name that is no folder here is asked for at the hub.

    Args:
      revision: of the repository: a branch, a tag or a commit.

    Raises:
      UserError: there is no such folder or repository, or the extra `hub` is missing.
    """
    if os.path.isdir(name):
        return pathlib.Path(name)
    if not isinstance(name, str) or not re.fullmatch(HUB_NAME, name):
        raise errors.UserError(f"{os.fspath(name)!r} is no folder, and no name of a hub (owner/name)")
    try:
        import huggingface_hub  # pyright: ignore[reportMissingImports] - an extra
    except ImportError:
        raise errors.UserError(
            f"{name!r} is no folder here; to ask the hub for it: pip install 'avct-jax[hub]'"
        ) from None
    try:
        return pathlib.Path(
            huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=[WEIGHTS, CONFIG])
        )
    except Exception as error:  # networks and hubs fail in every way there is
        why = " ".join(str(error).split())[:200]
        raise errors.UserError(
            f"the hub did not give {name!r} ({why}); check the name and the network"
        ) from None
