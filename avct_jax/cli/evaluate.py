"""`avct evaluate`: how good are videos of talking faces, beside the real ones?"""

import argparse
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
    from avct_jax import compile_cache
    from avct_jax.cli import terminal
    from avct_jax.evaluation import reports
    from avct_jax.evaluation.scorers import scorers

    _check(arguments)
    compile_cache.enable()
    networks = scorers.make(arguments.fid, arguments.syncnet, arguments.sync, arguments.identity)
    how: dict[str, Any] = {name: getattr(arguments, name) for name in ("videos", "shown")}
    how |= {"networks": networks, "baselines": not arguments.no_baselines}
    with terminal.going_on_later(), terminal.task_bar(quiet=arguments.quiet) as show:
        if arguments.protocol:
            names = ("clips", "portraits", "voices", "checkpoint", "transcribed")
            given = {name: getattr(arguments, name) for name in names}
            made = reports.of_protocol(arguments.protocol, arguments.output, **given, **how, show=show)
        else:
            note = (lambda line: None) if arguments.quiet else terminal.note
            folders = _named(arguments.generated), arguments.real
            made = reports.of_videos(*folders, arguments.output, **how, show=show, note=note)
    if not arguments.quiet:
        print_table(made.report)
        terminal.show(f"wrote {made.folder / 'report.html'}")
    return 0


def print_table(report: dict[str, Any]) -> None:
    """Print the table, and what could not be measured."""
    from avct_jax.cli import terminal
    from avct_jax.evaluation.report import markdown

    terminal.show(markdown.table(report))
    for failure in report["failed"][:10]:
        terminal.tell(f"{failure['system']}, {failure['video']}: {failure['reason']}")


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
    from avct_jax.evaluation.report import report_files

    names = ("clips", "portraits", "voices", "checkpoint", "init", "vgg", *JUDGES)
    report_files.keep_inputs(arguments.output, *videos, *(getattr(arguments, name, None) for name in names))


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
