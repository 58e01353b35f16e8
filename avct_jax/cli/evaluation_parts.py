"""`avct evaluate` by several processes, or by Ray's actors: each measures parts, and keeps what it finds."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from avct_jax.workers import engine, shard

VIDEOS, PROTOCOL = 64, 8  # parts: a protocol's networks are loaded for each


class AskedEvaluation(NamedTuple):
    """What is measured, as plain data.

    Attributes:
      protocol: that makes the videos; None where they are given.
      given: arguments of `reports.of_protocol` or `reports.of_videos`.
      scorers: files of the networks that judge.
    """

    protocol: str | None
    given: dict[str, Any]
    scorers: tuple[str | None, ...]


def measure(
    asked: AskedEvaluation,
    part: shard.Shard,
    by: engine.Engine,
    workers: int,
    *,
    show: Callable[[int, int, str], None],
    tell: Callable[[str], None],
) -> None:
    """Measure a part of the videos in smaller parts; the results lie in the folder of the report.

    Args:
      workers: at once; 0, with Ray: as many as there is room for.
      show: called with parts done and in all, and how many videos were looked at.
      tell: called with a line for a part that was lost; who looks at all makes up for it.

    Raises:
      UserError: as `reports.of_videos`.
    """
    from avct_jax.data.clips import worker_pool

    parts = part.split(PROTOCOL if asked.protocol else VIDEOS)
    done = looks = 0
    for each, answer in by.pool()(_work, parts, asked, jobs=workers, option="--workers"):
        if isinstance(answer, worker_pool.WorkProgress):
            looks += answer.amount
        else:
            done += 1
        if isinstance(answer, worker_pool.WorkFailure):
            if answer.error is not None:
                raise answer.error
            tell(f"part {each}: {answer.text}")
        show(done, len(parts), f"{looks} videos")


def _work(part: shard.Shard, asked: AskedEvaluation, tell: Callable[[int], None]) -> None:
    from avct_jax import compile_cache

    compile_cache.enable()
    from avct_jax.evaluation import reports

    last = 0

    def show(done: int, total: int, text: str) -> None:
        nonlocal last
        tell(max(0, done - last))
        last = done

    how = {"networks": _networks(*asked.scorers), "part": part, "show": show}
    if asked.protocol:
        reports.of_protocol(asked.protocol, **asked.given, **how)
    else:
        reports.of_videos(**asked.given, **how)


@functools.lru_cache(maxsize=1)
def _networks(*files: str | None) -> Any:
    from avct_jax.evaluation.scorers import scorers

    return scorers.make(*files)
