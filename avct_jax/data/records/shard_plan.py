"""Which clips are packed together, and under what name: a hash of all that is in a shard.

A shard that is there is up to date, whoever made it: processes and machines may pack one folder together, a
part may be killed and started again, and clips that are added change the shards alone that they fall into.
"""

import hashlib
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from avct_jax import errors
from avct_jax.data.clips import manifest

FOLDER = "packed"  # in the folder of clips
CLIPS = 256  # of a shard, about: the hash of a clip's name says whether one ends with it


class ShardPlan(NamedTuple):
    """Clips that are packed together, in order of name.

    Attributes:
      name: of its file, without suffix.
    """

    name: str
    entries: tuple[manifest.Entry, ...]


def plan(
    folder: pathlib.Path, entries: Iterable[manifest.Entry], suffix: str, content: Sequence[object]
) -> list[ShardPlan]:
    """Divide clips into shards.

    Args:
      folder: of clips.
      suffix: of a clip's file that is packed.
      content: what else decides the shards' bytes, JSON values.

    Raises:
      UserError: a clip's file is missing.
    """
    found, group = [], []
    for entry in entries:
        group.append(entry)
        if int(hashlib.md5(_bytes(entry.name)).hexdigest(), 16) % CLIPS == 0:
            found.append(_named(folder, group, suffix, content))
            group = []
    return [*found, _named(folder, group, suffix, content)] if group else found


def _named(folder, group: list[manifest.Entry], suffix: str, content) -> ShardPlan:
    marks = [[entry.name, entry.frames, entry.audio, *_mark(folder, entry.name + suffix)] for entry in group]
    text = json.dumps([suffix, *content, marks])
    return ShardPlan(hashlib.md5(text.encode()).hexdigest(), tuple(group))


def _mark(folder: pathlib.Path, name: str) -> list[int]:
    try:
        found = (folder / name).stat()
    except FileNotFoundError:
        raise errors.UserError(f"no clip at {folder / name}; make clips by `avct preprocess`") from None
    return [found.st_size, found.st_mtime_ns]


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogateescape")
