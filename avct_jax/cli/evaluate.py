"""`avct evaluate`: how good are videos of talking faces, beside the real ones?"""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from avct_jax.cli import option

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
REPORTS = ("report.json", "report.md", "report.html", "rating.html")
PROTOCOLS = {
    "reenactment": "the first frame of people never seen, moved as their clip moves (FOMM's)",
    "speech": "the speaker's clips never seen: first frame, own sound, real head poses (as in the ablation)",
    "speech-predicted": "the same with predicted head poses",
    "cross": "first frames of people never seen, other people's voices",
    "strangers": "the same, three voices each, beside what other real people do; or --portraits, --voices",
}


WHICH = "; ".join(f"{name}: {text}" for name, text in PROTOCOLS.items())


def _protocol(text: str) -> str:
    if text in PROTOCOLS:
        return text
    raise ValueError(f"invalid choice: {text!r}, not of {', '.join(PROTOCOLS)}")


@dataclasses.dataclass(frozen=True)
class Given:
    """Videos that exist.

    Attributes:
      generated: a system's videos
      real: the real videos
    """

    generated: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="[NAME=]DIR")] = ()
    real: option.MaybeFolder = None


@dataclasses.dataclass(frozen=True)
class Made:
    """Or videos to be made.

    Attributes:
      clips: folder that `avct preprocess` made
      portraits: images for `strangers`, instead of the clips' own
      voices: sound files for `strangers`, instead of the clips' own
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
class Networks:
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
class Measured:
    """What is measured.

    Attributes:
      videos: at most so many, evenly chosen (default: all)
      no_baselines: leave out still face and wrong sound
      shown: videos in the pages
    """

    videos: option.MaybePositive = None
    no_baselines: option.Flag = False
    shown: option.Positive = 6


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure videos of talking faces beside the real ones, and write a report.

    Attributes:
      output: folder of the report; made if missing
    """

    output: option.Folder
    given: Given = Given()
    made: Made = Made()
    network: Networks = Networks()
    measure: Measured = Measured()
    shown: option.Shown = option.Shown()


def run(options: Options) -> int:
    """Do it; 2 where no video could be measured."""
    from avct_jax import compile_cache, errors, progress
    from avct_jax.cli import terminal
    from avct_jax.evaluation import evaluate, video_files

    _check(options)
    quiet, measure = options.shown.quiet, options.measure
    compile_cache.enable()
    networks = options.network.load()
    generated, real = _named(options.given.generated), options.given.real or ""
    if not options.made.protocol:
        lines = video_files.misfits(generated, real)
        for line in () if quiet else lines:
            terminal.note(line)
    output = pathlib.Path(options.output)
    with terminal.going_on_later(), progress.Progress(unit="videos", quiet=quiet) as bar:
        if options.made.protocol:
            report, generated, real = _of_protocol(options, output, networks, bar.show)
        else:
            asked = evaluate.Options(videos=measure.videos or 0, baselines=not measure.no_baselines)
            report = evaluate.evaluate(generated, real, output, networks, asked, bar.show)
    if not any(
        system["videos"] for system in report["systems"] if not generated or system["key"] in generated
    ):
        _leave_nothing(output)
        raise errors.UserError(f"no video could be measured: {_why(report, generated, real)}")
    publish(report, generated, real, output, measure.shown)
    if not quiet:
        print_table(report)
        terminal.show(f"wrote {output / 'report.html'}")
    return 0


def _leave_nothing(output: pathlib.Path) -> None:
    """Remove folders that hold nothing yet; videos that were measured stay known for the next run."""
    for path in [*sorted(output.rglob("*"), reverse=True), output]:
        if path.is_dir():
            with contextlib.suppress(OSError):  # it is not empty
                path.rmdir()


def _why(report: dict[str, Any], generated: Any, real: Any) -> str:
    """Which videos of which folder cannot be read; else the first thing that went wrong."""
    from avct_jax import errors
    from avct_jax.data.media import video_io
    from avct_jax.evaluation import video_files

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


def publish(report: dict[str, Any], generated: Any, real: Any, output: pathlib.Path, shown: int) -> None:
    """Write the report's four files. A system none of whose videos could be measured is not shown.

    Args:
      real: folder of the real videos; None where they have other names.
    """
    import json

    from avct_jax.evaluation import result_cache
    from avct_jax.evaluation.report import html_report, markdown, report_assets, user_study

    result_cache.write_text(output / "report.json", json.dumps(report, indent=1) + "\n")
    result_cache.write_text(output / "report.md", markdown.document(report))
    measured = {system["key"] for system in report["systems"] if system["per_video"]}
    known = {system: folder for system, folder in generated.items() if system in measured}
    chosen = report_assets.choose(report, known, real, output, shown)
    html_report.write(report, chosen, output / "report.html")
    user_study.write(chosen, output / "rating.html")


def print_table(report: dict[str, Any]) -> None:
    """Print the table, and what could not be measured."""
    from avct_jax.cli import terminal
    from avct_jax.evaluation.report import markdown

    terminal.show(markdown.table(report))
    for failure in report["failed"][:10]:
        terminal.tell(f"{failure['system']}, {failure['video']}: {failure['reason']}")


def _of_protocol(options: Options, output, networks, show):
    """Make videos and measure them; returns the report, and the folders of what it shows."""
    from avct_jax.evaluation import distribution, evaluate, protocols, strangers

    protocol, baselines = options.made.protocol, not options.measure.no_baselines
    name, made = _make(options, output, show)
    generated, real = {name: made.generated}, made.real
    about = {"name": protocol, "about": made.about}
    if protocol == strangers.NAME:
        people, only = (real if options.made.clips else None), {name: made.names}
        report = distribution.measure(generated, people, output, networks, about, show, names=only)
        real = None  # their names are others than the videos'
    else:
        asked = evaluate.Options(baselines=baselines, paired=made.paired, protocol=about)
        report = evaluate.evaluate(generated, real, output, networks, asked, show)
    return protocols.tell(report, {name: made.failed}), generated, real


def _make(options: Options, output, show):
    from avct_jax.evaluation import protocols, strangers

    asked: Any = options.made
    place = output / "generated"
    how = {"checkpoint": asked.checkpoint, "transcribed": asked.transcribed}
    how |= {"videos": options.measure.videos or 0, "show": show}
    if asked.protocol == strangers.NAME:
        given = {"clips": asked.clips, "portraits": asked.portraits, "voices": asked.voices}
        made = strangers.make(place, **given, **how)
    else:
        made = protocols.make(asked.protocol, asked.clips, place, **how)
    return pathlib.Path(asked.checkpoint).stem if asked.checkpoint else "embedded", made


def _check(options: Options) -> None:
    from avct_jax import errors

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
    keep_inputs(options.output, *inputs)


def keep_inputs(output: str, *inputs: str | None) -> None:
    """Refuse an --output whose own folders hold inputs."""
    from avct_jax.files import atomic_write

    for own in ("videos", "generated", *REPORTS):
        atomic_write.refuse_overwriting(os.path.join(output, own), *inputs)


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
