"""Videos measured and reported on: the whole of `avct evaluate`, without its printing."""

import contextlib
import logging
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from avct_jax import errors
from avct_jax.data.media import video_io
from avct_jax.evaluation import distribution, evaluate, protocols, strangers, video_features, video_files
from avct_jax.evaluation.report import report_files
from avct_jax.evaluation.scorers import scorers
from avct_jax.workers import shard

Path = str | os.PathLike

_log = logging.getLogger(__name__)


class LeftOut(NamedTuple):
    """A video that was left out, and why."""

    system: str
    video: str
    reason: str


class Evaluation(NamedTuple):
    """What came of an evaluation.

    Attributes:
      folder: report.json, report.md, report.html and rating.html.
      means: by system and measure (keys of `measures`), "ground truth" and the baselines among them; None
        where a system lacks one.
      failed: videos that were left out.
      report: all of it, as report.json has it.
    """

    folder: pathlib.Path
    means: dict[str, dict[str, float | None]]
    failed: tuple[LeftOut, ...]
    report: evaluate.Report


def of_videos(
    generated: Mapping[str, Path],
    real: Path,
    output: Path,
    *,
    networks: video_features.Scorers | None = None,
    videos: int = 0,
    baselines: bool = True,
    shown: int = 6,
    part: shard.Shard = shard.WHOLE,
    show: evaluate.Show = lambda done, total, text: None,
    note: Callable[[str], None] = _log.info,
) -> Evaluation:
    """Measure videos that exist beside the real ones, and write a report.

    Videos that belong together have one name (path without suffix) in all folders. What is measured stays in
    `output`: a call that was interrupted goes on where it was.

    Args:
      generated: folders of videos by system's name; none: the real videos and the baselines alone.
      real: folder of the real videos.
      output: folder of the report; made if missing.
      networks: that judge; by default those of the package and what is installed, see `scorers.make`.
      videos: at most so many, evenly chosen; 0: all.
      baselines: also measure a still face, and the right video with a wrong recording.
      shown: videos in the pages.
      part: of the videos that is measured. Several calls, here or elsewhere, may measure theirs into one
        folder at once. None of them writes the report: in the end a call for the whole does, and measures
        what is missing.
      show: called with videos done, videos in all, and what is looked at.
      note: called with lines that are worth telling; by default they are logged.

    Returns:
      Means, what was left out, and the report.

    Raises:
      UserError: a folder is missing, holds an input or cannot be written to, names do not match, or no video
        could be measured.
    """
    if not isinstance(generated, Mapping):
        raise errors.UserError('generated must name its folders by system, such as {"mine": "made"}')
    report_files.keep_inputs(output, real, *generated.values())
    for line in video_files.misfits(generated, real):
        note(line)
    options = evaluate.EvaluationOptions(videos=videos, baselines=baselines, part=part)
    report = evaluate.evaluate(generated, real, output, networks or scorers.make(), options, show)
    return _finished(report, generated, real, pathlib.Path(output), shown, part)


def of_protocol(
    protocol: str,
    output: Path,
    *,
    clips: Path | None = None,
    portraits: Path | None = None,
    voices: Path | None = None,
    checkpoint: Path | None = None,
    transcribed: bool = False,
    networks: video_features.Scorers | None = None,
    videos: int = 0,
    baselines: bool = True,
    shown: int = 6,
    part: shard.Shard = shard.WHOLE,
    show: evaluate.Show = lambda done, total, text: None,
) -> Evaluation:
    """Make a protocol's videos of clips that training never saw, measure them, and write a report.

    Args:
      protocol: of `protocols.ABOUT`, or "strangers".
      output: folder of the report; made if missing. Its folder "generated" gets the videos.
      clips: folder that `preprocess` made.
      portraits, voices: folders of images and of recordings for "strangers", instead of the clips' own.
      checkpoint: a .safetensors file; by default the package's own.
      transcribed: phonemes of the clips' words, where they are known, instead of recognised ones.
      networks, videos, baselines, shown, part, show: as for `of_videos`; "strangers" has no baselines.

    Returns:
      Means, what was left out, and the report; the system is called by the checkpoint's name, or "embedded".

    Raises:
      UserError: as `of_videos`, and where there is no such protocol, no clip for it, or no video can be made.
    """
    output = pathlib.Path(output)
    _check_sources(protocol, clips, portraits, voices)
    report_files.keep_inputs(output, clips, portraits, voices, checkpoint)
    networks = networks or scorers.make()
    place, how = (
        output / "generated",
        {"videos": videos, "transcribed": transcribed, "show": show, "part": part},
    )
    if protocol == strangers.NAME:
        given = {"clips": clips, "portraits": portraits, "voices": voices}
        made = strangers.make(place, **given, checkpoint=checkpoint, **how)
    else:
        made = protocols.make(protocol, clips or "", place, checkpoint=checkpoint, **how)
    name = pathlib.Path(checkpoint).stem if checkpoint else "embedded"
    generated, about = {name: made.generated}, {"name": protocol, "about": made.about}
    if protocol == strangers.NAME:
        people, only = (made.real if clips else None), {name: made.names}
        report = distribution.measure(generated, people, output, networks, about, show, names=only, part=part)
    else:
        options = evaluate.EvaluationOptions(
            baselines=baselines,
            paired=made.paired,
            protocol=about,
            only=None if part.is_whole else made.names,
        )
        report = evaluate.evaluate(generated, made.real, output, networks, options, show)
    report = protocols.tell(report, {name: made.failed})
    # Strangers' real videos have other names than theirs.
    return _finished(
        report, generated, None if protocol == strangers.NAME else made.real, output, shown, part
    )


def _check_sources(protocol, clips, portraits, voices):
    if protocol != strangers.NAME and (portraits or voices):
        raise errors.UserError("--portraits and --voices are for --protocol strangers; leave them out")
    if not clips and not (portraits and voices):
        raise errors.UserError("--protocol needs --clips DIR, a folder that `avct preprocess` made")


def _finished(report, generated, real, output, shown, part) -> Evaluation:
    """Write the report of the whole, if there is anything in it of what was asked for."""
    means = {system["key"]: system["means"] for system in report["systems"]}
    found = Evaluation(output, means, tuple(LeftOut(**each) for each in report["failed"]), report)
    if not part.is_whole:
        return found
    asked = [s for s in report["systems"] if not generated or s["key"] in generated]
    if not any(system["videos"] for system in asked):
        _leave_nothing(output)
        raise errors.UserError(f"no video could be measured: {_why(report, generated, real)}")
    report_files.write(report, generated, real, output, shown)
    return found


def _leave_nothing(output: pathlib.Path) -> None:
    """Remove folders that hold nothing yet; videos that were measured stay known for the next run."""
    for path in [*sorted(output.rglob("*"), reverse=True), output]:
        if path.is_dir():
            with contextlib.suppress(OSError):  # it is not empty
                path.rmdir()


def _why(report: evaluate.Report, generated: Mapping[str, Path], real: Path | None) -> str:
    """Which videos of which folder cannot be read; else the first thing that went wrong."""
    said = []
    for title, folder in {"the real videos": real, **generated}.items():
        unreadable = []
        for name, path in (video_files.find(folder) if folder else {}).items():
            try:
                if not video_io.probe(path).has_video:
                    unreadable.append(name)
            except (errors.UserError, ValueError):
                unreadable.append(name)
        if unreadable:
            said.append(f"{title}: {len(unreadable)} cannot be read: {errors.few(unreadable)}")
    for failure in report["failed"][: not said]:
        said.append(f"{failure['system']}, {failure['video']}: {failure['reason']}")
    return "; ".join(said) or "there is none"
