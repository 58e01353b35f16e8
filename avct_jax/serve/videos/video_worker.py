"""The process that draws videos: warm from job to job, of low priority beside live streams, safe to kill.

Jobs come as lines of JSON on standard input; what becomes of them goes out as lines on standard output.
"""

import json
import os
import sys
from collections.abc import Iterator
from typing import IO, Any

NICE = 10  # live streams come first
STEP = 0.01  # of a job: progress is told so often


def main() -> None:
    """Draw until standard input ends; the first argument names a checkpoint, or is empty."""
    os.nice(NICE)
    with os.fdopen(os.dup(1), "w", buffering=1) as out:
        os.dup2(2, 1)  # what libraries print must not come between
        work(iter(sys.stdin.readline, ""), out, sys.argv[1] or None)


def work(lines: Iterator[str], out: IO[str], checkpoint: str | None) -> None:
    """Do the jobs of some lines."""
    from avct_jax import compile_cache, errors

    compile_cache.enable()
    from avct_jax.animator import factory

    animator: Any = None

    def tell(**what: Any) -> None:
        print(json.dumps(what), file=out)

    for line in lines:
        try:
            animator = animator or factory.load(checkpoint)
            report = animator.animate(**json.loads(line), progress=_Teller(tell))
            tell(done={"frames": report.frames, "seconds": report.seconds, "notes": report.notes})
        except errors.UserError as error:
            tell(refused=" ".join(str(error).split()))


class _Teller:
    """Tells progress, not for every frame."""

    def __init__(self, tell: Any):
        self._tell, self._told = tell, -1.0

    def __call__(self, done: int, total: int) -> None:
        if done == total or done / total >= self._told + STEP:
            self._told = done / total
            self._tell(progress=[done, total])


if __name__ == "__main__":
    main()
