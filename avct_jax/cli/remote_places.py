"""Folders of object stores in the options of `avct train`: copies of this machine in their place."""

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

PACKED = "packed/"  # all that --source grain reads
MADE_HERE = (".frames/", "tfrecords/", ".done/", ".part/")


@contextlib.contextmanager
def opened(where: Any, *, quiet: bool = False) -> Iterator[Any]:
    """Yield a training's `Where` with folders of this machine in the place of s3:// and gs://.

    Clips are fetched once into the cache folder; the run is mirrored: see files/remote_folder.py.

    Raises:
      UserError: an address cannot be read or written, or several processes would write to one.
    """
    from avct_jax import errors, progress
    from avct_jax.files import remote_folder

    clips, run = map(remote_folder.address, (where.clips, where.run))
    with contextlib.ExitStack() as held:
        if clips:
            told = None if quiet else progress.tenths("{done} of {total} files of clips are fetched")
            wanted = _is_packed if where.source == "grain" else _is_clip
            folder = remote_folder.cached(clips, _cache())
            where = dataclasses.replace(
                where, clips=remote_folder.fetch(clips, folder, wanted=wanted, progress=told)
            )
        if run:
            import jax

            if jax.process_count() > 1:
                raise errors.UserError(
                    f"--run {run}: several processes write one checkpoint; give a folder that all of them "
                    "see, such as the bucket mounted"
                )
            where = dataclasses.replace(where, run=held.enter_context(remote_folder.mirrored(run)))
        yield where


def shown(path: pathlib.Path) -> str:
    """A folder as it was typed."""
    from avct_jax.files import remote_folder

    return remote_folder.address(path) or str(path)


def _is_packed(name: str) -> bool:
    return name.startswith(PACKED)


def _is_clip(name: str) -> bool:
    return not name.startswith((PACKED, *MADE_HERE))


def _cache() -> pathlib.Path:
    from avct_jax import compile_cache

    programs = compile_cache.folder()
    return programs.parent if programs else pathlib.Path(tempfile.gettempdir()) / "avct"
