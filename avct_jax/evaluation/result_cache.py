"""What is known of each video so far, in a folder: a run that was stopped goes on where it was."""

import json
import os
import pathlib
import zipfile
from typing import Any

from avct_jax import errors
from avct_jax.evaluation import video_features as observations
from avct_jax.files import atomic_write

VERSION = 3  # of what is kept; another one is measured anew


class Store:
    """Records and observations by system and video.

    A record is used again only under its own stamp: the videos' sizes and times, and who looked at them.
    """

    def __init__(self, folder: str | os.PathLike):
        """Open or make the folder.

        Raises:
          UserError: it cannot be made or written.
        """
        self.folder = make_folder(folder)

    def path(self, system: str, name: str, suffix: str) -> pathlib.Path:
        """Where a video's record (.json) or observation (.npz) is."""
        return self.folder / folder(system) / f"{name}{suffix}"

    def read(self, system: str, name: str, stamp: Any) -> dict[str, Any] | None:
        """A video's record; None where there is none of this stamp."""
        try:
            record = json.loads(self.path(system, name, ".json").read_text())
        except (OSError, ValueError):
            return None
        wanted = json.loads(json.dumps([VERSION, stamp]))
        return record if isinstance(record, dict) and record.get("stamp") == wanted else None

    def write(self, system: str, name: str, stamp: Any, values: dict[str, Any]) -> dict[str, Any]:
        """Keep a video's record; returns it."""
        record = {"stamp": [VERSION, stamp], **values}
        write_text(self.path(system, name, ".json"), json.dumps(record, indent=1) + "\n")
        return record

    def openings(self, system: str, name: str) -> list[float | None]:
        """The mouth's opening in each frame of a video that was measured."""
        return json.loads(self.path(system, name, ".json").read_text())["openings"]

    def observation(self, system: str, name: str) -> observations.Observation:
        """The observation that belongs to a record."""
        return observations.load(self.path(system, name, ".npz"))

    def has_observation(self, system: str, name: str) -> bool:
        """Is there a whole one? A machine that stops may leave half of it."""
        return zipfile.is_zipfile(self.path(system, name, ".npz"))

    def keep(self, system: str, name: str, seen: observations.Observation) -> None:
        """Keep an observation; its record is written afterwards."""
        path = self.path(system, name, ".npz")
        make_folder(path.parent)
        observations.save(path, seen)


def folder(system: str) -> str:
    """The name of a system's folder."""
    return system.replace(" ", "_")


def make_folder(path: str | os.PathLike) -> pathlib.Path:
    """Make a folder, and those above it, where they are missing; returns it.

    Raises:
      UserError: it cannot be made.
    """
    try:
        pathlib.Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.UserError(
            f"{os.fspath(path)!r} cannot be made: {error.strerror}; name another --output"
        ) from None
    return pathlib.Path(path)


def write_text(path: pathlib.Path, text: str) -> None:
    """Write a file that appears only when it is whole.

    Raises:
      UserError: it cannot be written.
    """
    make_folder(path.parent)
    atomic_write.write(path, text.encode(errors="backslashreplace"))  # names need not be UTF-8
