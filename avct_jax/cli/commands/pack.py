"""`avct pack`: clips become records for trainings on many hours."""

import dataclasses
from typing import Annotated

import tyro

from avct_jax.cli import engine_options, option

EXAMPLES = """
examples:
  avct pack clips                      columns, and JPEGs for `avct train STAGE --source grain`
  avct pack clips --columns-only       what --source numpy reads
  avct pack clips --shard 2/8          the second of eight machines; in the end once without --shard

Everything lies in CLIPS/packed: a copy of that folder is enough to train from. What is packed is kept: a
command that was interrupted goes on, and clips that were added since cost their own shards alone.
"""


@dataclasses.dataclass(frozen=True)
class Options:
    """Pack a folder of clips, so that a training reads at any place what an example shows, and nothing else.

    Attributes:
      clips: folder that `avct preprocess` made
      jobs: processes (default: one a core)
      columns_only: no images
    """

    clips: Annotated[str, tyro.conf.Positional, option.shown_as("CLIPS")]
    jobs: option.MaybePositive = None
    columns_only: option.Flag = False
    work: engine_options.EngineOptions = engine_options.EngineOptions()
    shown: option.Shown = option.Shown()


def run(options: Options) -> int:
    """Do it."""
    import os

    from avct_jax import progress
    from avct_jax.cli import terminal
    from avct_jax.data.records import packing

    part, by, quiet = options.work.part(), options.work.by(), options.shown.quiet
    with terminal.going_on_later(), progress.Progress(unit="shards", quiet=quiet) as bar:
        made = packing.pack(
            options.clips,
            images=not options.columns_only,
            processes=by.count(options.jobs, os.cpu_count() or 1),
            part=part,
            by=by,
            show=lambda state: bar.show(state.done, state.total),
        )
    if not quiet:
        of = "" if part.is_whole else f" of part {part}; without --shard the index is written"
        terminal.show(f"{options.clips}: {made.done} shards are packed{of}")
    return 0
