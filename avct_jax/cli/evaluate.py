"""`avct evaluate`: how good are videos of talking faces, beside the real ones?"""

import argparse
import contextlib
import os
import pathlib
from typing import Any

from avct_jax.cli import option

EXAMPLES = """\
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
JUDGES = ("fid", "syncnet", "sync", "identity")  # files of the networks that judge
PROTOCOLS = {
    "reenactment": "the first frame of people never seen, moved as their clip moves (FOMM's)",
    "speech": "the speaker's clips never seen: first frame, own sound, real head poses (as in the ablation)",
    "speech-predicted": "the same with predicted head poses",
    "cross": "first frames of people never seen, other people's voices",
    "strangers": "the same, three voices each, beside what other real people do; or --portraits, --voices",
}


def add(subparsers) -> argparse.ArgumentParser:
    """Describe the subcommand; returns its parser."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure videos of talking faces",
        description="Measure videos of talking faces beside the real ones, and write a report.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder of the report; made if missing"
    )
    given = parser.add_argument_group("videos that exist")
    given.add_argument(
        "--generated",
        action="append",
        default=[],
        metavar="[NAME=]DIR",
        help="a system's videos; may be said several times",
    )
    given.add_argument("--real", metavar="DIR", help="the real videos")
    made = parser.add_argument_group("or videos to be made")
    about = "; ".join(f"{name}: {text}" for name, text in PROTOCOLS.items())
    made.add_argument("--protocol", choices=tuple(PROTOCOLS), metavar="NAME", help=about)
    made.add_argument("--clips", metavar="DIR", help="folder that `avct preprocess` made")
    made.add_argument("--portraits", metavar="DIR", help="images for `strangers`, instead of the clips' own")
    made.add_argument(
        "--voices", metavar="DIR", help="sound files for `strangers`, instead of the clips' own"
    )
    made.add_argument("--checkpoint", metavar="FILE", help="a .safetensors file (default: the package's own)")
    made.add_argument("--transcribed", action="store_true", help="phonemes of the clips' words where known")
    how = parser.add_argument_group("what is measured")
    add_networks(how)
    how.add_argument(
        "--videos", type=option.positive, default=0, metavar="N", help="at most so many, evenly chosen"
    )
    how.add_argument("--no-baselines", action="store_true", help="leave out still face and wrong sound")
    how.add_argument(
        "--shown", type=option.positive, default=6, metavar="N", help="videos in the pages (default: 6)"
    )
    return parser


def add_networks(group) -> None:
    """Options of the networks that judge."""
    group.add_argument(
        "--fid",
        metavar="FILE",
        help="the FID network (.npz or pytorch-fid's .pth); without it VGG-16 features stand in, and say so",
    )
    group.add_argument(
        "--syncnet",
        metavar="FILE",
        help="syncnet_v2.model; without it our own sync network judges, which knows one speaker",
    )
    group.add_argument("--sync", metavar="FILE", help="a D_sync of `avct train sync` to judge instead")
    group.add_argument(
        "--identity",
        nargs="?",
        const="",
        metavar="FILE",
        help="also measure whether it is still the same face: dlib_face_recognition_resnet_model_v1.dat; "
        "without FILE that of the extra `identity`",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it; 2 where no video could be measured."""
    from avct_jax import compile_cache, errors
    from avct_jax.cli import terminal
    from avct_jax.evaluation import evaluate, video_files
    from avct_jax.evaluation.scorers import scorers

    _check(arguments)
    compile_cache.enable()
    networks = scorers.make(arguments.fid, arguments.syncnet, arguments.sync, arguments.identity)
    if not arguments.protocol:
        lines = video_files.misfits(_named(arguments.generated), arguments.real)
        for line in () if arguments.quiet else lines:
            terminal.note(line)
    output = pathlib.Path(arguments.output)
    with terminal.going_on_later(), terminal.task_bar(quiet=arguments.quiet) as show:
        generated, real = _named(arguments.generated), arguments.real
        if arguments.protocol:
            report, generated, real = _of_protocol(arguments, output, networks, show)
        else:
            options = evaluate.Options(videos=arguments.videos, baselines=not arguments.no_baselines)
            report = evaluate.evaluate(generated, real, output, networks, options, show)
    if not any(
        system["videos"] for system in report["systems"] if not generated or system["key"] in generated
    ):
        _leave_nothing(output)
        raise errors.UserError(f"no video could be measured: {_why(report, generated, real)}")
    publish(report, generated, real, output, arguments.shown)
    if not arguments.quiet:
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


def _of_protocol(arguments, output, networks, show):
    """Make videos and measure them; returns the report, and the folders of what it shows."""
    from avct_jax.evaluation import distribution, evaluate, protocols, strangers

    name, made = _make(arguments, output, show)
    generated, real = {name: made.generated}, made.real
    about = {"name": arguments.protocol, "about": made.about}
    if arguments.protocol == strangers.NAME:
        people, only = (real if arguments.clips else None), {name: made.names}
        report = distribution.measure(generated, people, output, networks, about, show, names=only)
        real = None  # their names are others than the videos'
    else:
        options = evaluate.Options(baselines=not arguments.no_baselines, paired=made.paired, protocol=about)
        report = evaluate.evaluate(generated, real, output, networks, options, show)
    return protocols.tell(report, {name: made.failed}), generated, real


def _make(arguments, output, show):
    from avct_jax.evaluation import protocols, strangers

    place = output / "generated"
    how = {name: getattr(arguments, name) for name in ("checkpoint", "videos", "transcribed")}
    if arguments.protocol == strangers.NAME:
        given = {name: getattr(arguments, name) for name in ("clips", "portraits", "voices")}
        made = strangers.make(place, **given, **how, show=show)
    else:
        made = protocols.make(arguments.protocol, arguments.clips, place, **how, show=show)
    return pathlib.Path(arguments.checkpoint).stem if arguments.checkpoint else "embedded", made


def _check(arguments) -> None:
    from avct_jax import errors

    if arguments.protocol:
        if arguments.generated or arguments.real:
            raise errors.UserError("--protocol makes its videos; leave out --generated and --real")
        own = arguments.protocol == "strangers" and arguments.portraits and arguments.voices
        if not arguments.clips and not own:
            raise errors.UserError("--protocol needs --clips DIR, a folder that `avct preprocess` made")
    elif not arguments.real:
        raise errors.UserError(
            "no --real DIR (with --generated DIR), nor a --protocol with --clips DIR; give one"
        )
    if (arguments.portraits or arguments.voices) and arguments.protocol != "strangers":
        raise errors.UserError("--portraits and --voices are for --protocol strangers; leave them out")
    if arguments.sync and arguments.syncnet:
        raise errors.UserError("--sync and --syncnet are given; leave one of them out")
    keep_inputs(arguments, arguments.real, *_named(arguments.generated).values())


def keep_inputs(arguments, *videos: str | None) -> None:
    """Refuse an --output whose own folders hold inputs."""
    from avct_jax.files import atomic_write

    names = ("clips", "portraits", "voices", "checkpoint", "init", "vgg", *JUDGES)
    given = [getattr(arguments, name, None) for name in names]
    for own in ("videos", "generated", *REPORTS):
        atomic_write.refuse_overwriting(os.path.join(arguments.output, own), *videos, *given)


def _named(words: list[str]) -> dict[str, str]:
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
