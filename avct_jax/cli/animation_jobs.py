"""`avct animate --jobs` and `--dry-run`: many videos of one command, or the look before."""

import contextlib
import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from avct_jax import errors
from avct_jax.cli import option


@dataclasses.dataclass(frozen=True)
class JobOptions:
    """Many at once, and what is told beside.

    Attributes:
      jobs: a video a line: .jsonl, or .csv with a header, whose fields are these options; those given here
        are for all, and --output names their folder. What is made already is kept
      workers: processes that make the videos of --jobs; each holds the networks (default: 1; with Ray as many
        as there is room for)
      dry_run: look at all inputs, say what is wrong with them, and make nothing
      sidecar: write OUTPUT.json too: settings, seed, versions, checksums; always with --jobs
    """

    jobs: option.MaybeFile = None
    workers: option.MaybePositive = None
    dry_run: option.Flag = False
    sidecar: option.Flag = False


def refuse_alone(work: Any) -> None:
    """Refuse options of many jobs where there is one.

    Raises:
      UserError: they are given.
    """
    if work != type(work)():
        raise errors.UserError("--shard, --engine and what belongs to it are for --jobs; leave them out")


def run(options: Any) -> int:
    """Make the videos of a file of jobs, or look at what is given; 1 where something is wrong."""
    jobs, refused = _read(options)
    if options.many.dry_run:
        return look(jobs, refused, quiet=options.shown.quiet)
    by = options.work.by()
    return make(jobs, refused, by.count(options.many.workers, 1), options.shown, by)


def _read(options: Any) -> Any:
    from avct_jax.cli import jobs_file  # and what an animation asks
    from avct_jax.cli.commands import animate
    from avct_jax.jobs import animation_job

    many, folder = options.many, options.output
    if many.jobs is None:
        refuse_alone(options.work)
        image, spoken = animate.needed(options)
        output = folder or animate.default_output(image, *spoken)
        try:
            return jobs_file.ReadJobs([animate.job_of(options, output)], [])
        except errors.UserError as error:
            return jobs_file.ReadJobs([], [jobs_file.RefusedLine("", " ".join(str(error).split()))])
    if folder is not None and os.path.lexists(folder) and not os.path.isdir(folder):
        raise errors.UserError(f"--output {folder!r} is no folder; with --jobs it names one")
    read = jobs_file.read(many.jobs, dataclasses.replace(options, output=None), folder)
    animation_job.refuse_clashes(read.jobs)
    part = options.work.part()
    return jobs_file.ReadJobs(part.of(read.jobs), part.of(read.refused))


def look(jobs: Sequence[Any], refused: Sequence[Any], *, quiet: bool) -> int:
    """Say what is wrong with jobs."""
    from avct_jax import progress
    from avct_jax.cli import terminal
    from avct_jax.jobs import job_check

    wrong = len(refused)
    with progress.Progress("looking", unit="jobs", quiet=quiet) as bar:
        for line in refused:
            bar.say(_line(line.place, line.reason))
        for number, job in enumerate(jobs):
            bar.show(number, len(jobs))
            found = job_check.problems(job)
            wrong += bool(found)
            for line in (*found, *job_check.remarks(job)):
                bar.say(_line(job.place, line))
    if not quiet:
        count = _jobs(len(jobs) + len(refused))
        terminal.show(
            f"something is wrong with {wrong} of {count}" if wrong else f"{count}: nothing is wrong"
        )
    return 1 if wrong else 0


def make(jobs: Sequence[Any], refused: Sequence[Any], workers: int, shown: option.Shown, by: Any) -> int:
    """Make the videos of jobs, and say what became of each."""
    from avct_jax import progress
    from avct_jax.cli import terminal
    from avct_jax.data.clips import worker_pool
    from avct_jax.jobs import job_queue

    made, kept, failed, frames = 0, 0, len(refused), 0
    say = lambda *line: None if shown.quiet else bar.say(_line(*line))
    with terminal.going_on_later(), progress.Progress("starting", unit="jobs", quiet=shown.quiet) as bar:
        for line in refused:
            bar.say(_line(line.place, line.reason))
        with contextlib.closing(job_queue.run(jobs, workers=workers, by=by)) as answers:
            for job, answer in answers:
                if isinstance(answer, worker_pool.WorkProgress):
                    frames += answer.amount
                elif answer.failure:
                    failed += 1
                    bar.say(_line(job.place, answer.failure))
                elif answer.kept:
                    kept += 1
                    say(job.place, f"{job.output} is made already, and kept")
                else:
                    made += 1
                    say(job.place, f"wrote {_told(job, answer.report, shown)}")
                bar.show(made + kept + failed, len(jobs) + len(refused), f"{frames} frames")
    if not shown.quiet:
        counts = {"made": made, "kept": kept, "failed": failed}
        said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        terminal.show(f"{_jobs(len(jobs) + len(refused))}: {said or 'nothing to do'}")
    return 1 if failed else 0


def _line(place: str, text: str) -> str:
    return f"avct: {place}: {text}" if place else f"avct: {text}"


def _told(job: Any, report: Any, shown: option.Shown) -> str:
    from avct_jax.cli import terminal

    line = terminal.made_line(job.output, report, job.request.subtitles)
    if not (shown.verbose or shown.debug):
        return "; ".join([line, *report.notes])
    parts = ", ".join(f"{part} {seconds:.2f} s" for part, seconds in report.timings.items())
    return "; ".join([line, *report.notes, parts])


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"
