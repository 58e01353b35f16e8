"""Many jobs, one warm program a process: what is made is kept, what fails is told, the rest goes on."""

import functools
import logging
import os
import pathlib
from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

from avct_jax import errors
from avct_jax.animator import base
from avct_jax.data.clips import worker_pool
from avct_jax.files import atomic_write
from avct_jax.jobs import animation_job, result_record
from avct_jax.workers import engine

PATIENCE = 5.0  # s in which a process that is to end may remove its half-written video


class JobOutcome(NamedTuple):
    """What became of a job.

    Attributes:
      report: of what was made now.
      kept: it was made before.
      failure: why it could not be made, a line.
    """

    report: base.Report | None = None
    kept: bool = False
    failure: str = ""


Answer = JobOutcome | worker_pool.WorkProgress


def run(
    jobs: Sequence[animation_job.AnimationJob], *, workers: int = 1, by: engine.Engine = engine.HERE
) -> Generator[tuple[animation_job.AnimationJob, Answer], None, None]:
    """Make the videos of jobs and their records, in processes of their own.

    Processes are spawned: a script has to call it under `if __name__ == "__main__"`. Leaving the loop ends
    them, and leaves whole files only; the same call goes on from there.

    Args:
      workers: processes; each holds the networks. 0, with Ray: as many as there is room for.
      by: who works, see `workers.engine`.

    Yields:
      Each job with what became of it as they come, and with `WorkProgress` of frames while it is drawn.

    Raises:
      UserError: two jobs have the same output, or one's is an input of another; or no process lives.
    """
    animation_job.refuse_clashes(jobs)
    answers = by.pool()(_work, jobs, None, jobs=workers, option="--workers", patience=PATIENCE)
    done = False
    try:
        for job, answer in answers:
            if isinstance(answer, worker_pool.WorkFailure):
                answer = JobOutcome(failure=str(answer.error or answer.text))
            yield job, answer
        done = True
    finally:
        answers.close()
        if not done:  # where a process had to be killed
            for folder in {pathlib.Path(os.path.realpath(job.output)).parent for job in jobs}:
                atomic_write.remove_half_written(folder)


def do(
    job: animation_job.AnimationJob,
    load: Callable[[str | None, str], base.Animator],
    progress: animation_job.Progress | None = None,
) -> JobOutcome:
    """Do one job: keep what is made already, else make the video and its record.

    Args:
      load: gives the animator of a checkpoint and of landmarks; asked only where something is to be made.
      progress: called with frames done and frames in all.

    Raises:
      UserError: something cannot be read, used or written; or the video is there, not signed as asked.
    """
    animation_job.look(job)
    given = result_record.digests(job)
    if result_record.is_made(job, given):
        return JobOutcome(kept=True)
    animation_job.make_folder(job)
    report = animation_job.animate(job, load(job.checkpoint, job.landmarks), progress)
    if report.unsigned:  # no record: the next run makes it again
        raise errors.UserError(f"{job.output!r} is whole and NOT signed as asked: {report.unsigned}")
    result_record.write(job, report, given)
    return JobOutcome(report)


def _work(job: animation_job.AnimationJob, _: Any, tell: Callable[[int], None]) -> JobOutcome:
    logger = logging.getLogger("avct_jax")
    if not logger.handlers:  # what it says is in the report
        logger.addHandler(logging.NullHandler())
    told = 0

    def progress(done: int, total: int) -> None:
        nonlocal told
        tell(done - told)
        told = done

    return do(job, _animator, progress)


@functools.lru_cache(maxsize=2)
def _animator(checkpoint: str | None, landmarks: str) -> base.Animator:
    from avct_jax import compile_cache

    compile_cache.enable()
    from avct_jax.animator import factory

    return factory.load(checkpoint, landmarks=landmarks)
