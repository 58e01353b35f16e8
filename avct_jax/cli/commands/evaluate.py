"""`avct evaluate`: how good are videos of talking faces, beside the real ones?"""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from avct_jax.cli import engine_options, option

EXAMPLES = """
examples:
  avct evaluate --generated made --real videos --output report --fid fid_inception.npz
  avct evaluate --generated ours=made --generated theirs=other --real videos --output report
  avct evaluate --protocol speech --clips clips --output report
  avct evaluate --protocol cross --clips clips --checkpoint mine.safetensors --output report
  avct evaluate --protocol strangers --clips clips --portraits images --voices sounds --output report

Videos that belong together have one name (path without suffix) in all folders. The report is a folder:
report.json, report.md, report.html (all in one file, with videos to play) and rating.html (people's opinions,
blinded). The real videos themselves, a still face and the right video with a wrong sound are measured too. A
run that is stopped goes on where it was. A protocol makes the videos first, of clips that training never
sees.
"""
PROTOCOLS = {
    "reenactment": "the first frame of people never seen, moved as their clip moves (FOMM's)",
    "speech": "the speaker's clips never seen: first frame, own sound, real head poses (as in the ablation)",
    "speech-predicted": "the same with predicted head poses",
    "one-shot": "people never seen: first frame, own sound, real head poses (the paper's Table 1)",
    "one-shot-predicted": "the same with predicted head poses",
    "cross": "first frames of people never seen, other people's voices",
    "strangers": "the same, three voices each, beside what other real people do; or --portraits, --voices",
}


WHICH = "; ".join(f"{name}: {text}" for name, text in PROTOCOLS.items())


def _protocol(text: str) -> str:
    if text in PROTOCOLS:
        return text
    raise ValueError(f"invalid choice: {text!r}, not of {', '.join(PROTOCOLS)}")


@dataclasses.dataclass(frozen=True)
class GivenVideos:
    """Videos that exist.

    Attributes:
      generated: a system's videos
      real: the real videos
    """

    generated: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="[NAME=]DIR")] = ()
    real: option.MaybeFolder = None


@dataclasses.dataclass(frozen=True)
class MadeVideos:
    """Or videos to be made.

    Attributes:
      clips: folder that `avct preprocess` made
      portraits: images for `strangers`, instead of the clips' own
      voices: audio files for `strangers`, instead of the clips' own
      checkpoint: a .safetensors file (default: the package's own)
      transcribed: phonemes of the clips' words where known
    """

    protocol: Annotated[
        option.MaybeText, option.read_by(_protocol), option.shown_as("NAME"), tyro.conf.arg(help=WHICH)
    ] = None
    clips: option.MaybeFolder = None
    portraits: option.MaybeFolder = None
    voices: option.MaybeFolder = None
    checkpoint: option.MaybeFile = None
    transcribed: option.Flag = False


@dataclasses.dataclass(frozen=True)
class ScorerOptions:
    """What judges.

    Attributes:
      fid: the FID network (.npz or pytorch-fid's .pth); without it VGG-16 features stand in, and say so
      syncnet: syncnet_v2.model; without it our own sync network judges, which knows one speaker
      sync: a D_sync of `avct train sync` to judge instead
      identity: also measure whether it is still the same face: dlib_face_recognition_resnet_model_v1.dat;
        without FILE that of the extra `identity`
    """

    fid: option.MaybeFile = None
    syncnet: option.MaybeFile = None
    sync: option.MaybeFile = None
    identity: option.AnyFile = None

    def files(self) -> tuple[str | None, ...]:
        """All that are named."""
        return self.fid, self.syncnet, self.sync, self.identity

    def load(self) -> Any:
        """The networks themselves."""
        from avct_jax.evaluation.scorers import scorers

        return scorers.make(*self.files())


@dataclasses.dataclass(frozen=True)
class MeasureOptions:
    """What is measured.

    Attributes:
      videos: at most so many, evenly chosen (default: all)
      no_baselines: leave out still face and wrong audio
      shown: videos in the pages
      workers: processes that measure, each with its networks (default: 1; with Ray as many as there is room
        for)
    """

    videos: option.MaybePositive = None
    no_baselines: option.Flag = False
    shown: option.Positive = 6
    workers: option.MaybePositive = None


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure videos of talking faces beside the real ones, and write a report.

    Attributes:
      output: folder of the report; made if missing
    """

    output: option.Folder
    given: GivenVideos = GivenVideos()
    made: MadeVideos = MadeVideos()
    network: ScorerOptions = ScorerOptions()
    measure: MeasureOptions = MeasureOptions()
    work: engine_options.EngineOptions = engine_options.EngineOptions()
    shown: option.Shown = option.Shown()


def run(options: Options) -> int:
    """Do it; 2 where no video could be measured."""
    from avct_jax import compile_cache, progress
    from avct_jax.cli import evaluation_parts, terminal

    _check(options)
    part, by = options.work.part(), options.work.by()
    quiet, made, workers = options.shown.quiet, options.made, by.count(options.measure.workers, 1)
    asked = asked_of(options)
    with terminal.going_on_later(), contextlib.ExitStack() as kept:
        if workers != 1 or by.kind != "local":
            with progress.Progress("measuring", unit="parts", quiet=quiet) as bar:
                evaluation_parts.measure(asked, part, by, workers, show=bar.show, tell=bar.say)
            if not part.is_whole:
                return _tell_of_part(part, options.output, quiet=quiet)
        compile_cache.enable()
        from avct_jax.evaluation import reports

        bar = kept.enter_context(progress.Progress(unit="videos", quiet=quiet))
        how: dict[str, Any] = {"networks": options.network.load(), "part": part, "show": bar.show}
        if made.protocol:
            found = reports.of_protocol(made.protocol, **asked.given, **how)
        else:
            note = (lambda line: None) if quiet or part.number > 1 else terminal.note
            found = reports.of_videos(**asked.given, **how, note=note)
    if not part.is_whole:
        return _tell_of_part(part, options.output, quiet=quiet)
    if not quiet:
        print_table(found.report)
        terminal.show(f"wrote {found.folder / 'report.html'}")
    return 0


def asked_of(options: Options) -> Any:
    """What is measured, as plain data."""
    from avct_jax.cli import evaluation_parts

    measure, made = options.measure, options.made
    given: dict[str, Any] = {
        "output": options.output,
        "videos": measure.videos or 0,
        "baselines": not measure.no_baselines,
        "shown": measure.shown,
    }
    if made.protocol:
        names = ("clips", "portraits", "voices", "checkpoint", "transcribed")
        given |= {name: getattr(made, name) for name in names}
    else:
        given |= {"generated": _named(options.given.generated), "real": options.given.real or ""}
    return evaluation_parts.AskedEvaluation(made.protocol, given, options.network.files())


def _tell_of_part(part: Any, output: str, *, quiet: bool) -> int:
    from avct_jax.cli import terminal

    if not quiet:
        terminal.show(f"{output}: shard {part} is measured; the report is written without --shard, after all")
    return 0


def print_table(report: dict[str, Any]) -> None:
    """Print the table, and what could not be measured."""
    from avct_jax.cli import terminal
    from avct_jax.evaluation.report import markdown

    terminal.show(markdown.table(report))
    for failure in report["failed"][:10]:
        terminal.tell(f"{failure['system']}, {failure['video']}: {failure['reason']}")


def _check(options: Options) -> None:
    from avct_jax import errors
    from avct_jax.evaluation.report import report_files

    given, made = options.given, options.made
    if made.protocol:
        if given.generated or given.real:
            raise errors.UserError("--protocol makes its videos; leave out --generated and --real")
        own = made.protocol == "strangers" and made.portraits and made.voices
        if not made.clips and not own:
            raise errors.UserError("--protocol needs --clips DIR, a folder that `avct preprocess` made")
    elif not given.real:
        raise errors.UserError(
            "no --real DIR (with --generated DIR), nor a --protocol with --clips DIR; give one"
        )
    if (made.portraits or made.voices) and made.protocol != "strangers":
        raise errors.UserError("--portraits and --voices are for --protocol strangers; leave them out")
    if options.network.sync and options.network.syncnet:
        raise errors.UserError("--sync and --syncnet are given; leave one of them out")
    inputs = (given.real, *_named(given.generated).values())
    inputs += (made.clips, made.portraits, made.voices, made.checkpoint, *options.network.files())
    report_files.keep_inputs(options.output, *inputs)


def _named(words: Sequence[str]) -> dict[str, str]:
    """ "NAME=DIR" or "DIR", whose last part is then the name."""
    from avct_jax import errors

    found: dict[str, str] = {}
    for word in words:
        name, is_named, folder = word.partition("=")
        if not is_named:
            name, folder = pathlib.Path(os.path.normpath(word)).name, word
        if name in found:
            raise errors.UserError(f"two systems are called {name!r}; write --generated NAME={folder}")
        found[name] = folder
    return found
