"""`avct evaluate`: how good are films of talking faces, beside the real ones?"""

import argparse
import dataclasses
import os
import pathlib
import sys
from typing import Any

from avct_jax.commands import option

EXAMPLES = """\
examples:
  avct evaluate --generated made --real films --output report --fid fid_inception.npz
  avct evaluate --generated ours=made --generated theirs=other --real films --output report
  avct evaluate --protocol speech --clips clips --output report
  avct evaluate --protocol cross --clips clips --checkpoint mine.safetensors --output report

Films that belong together have one name (path without suffix) in all folders. The report is a folder:
report.json, report.md, report.html (all in one file, with films to play) and rating.html (people's opinions,
blinded). The real films themselves, a still face and the right film with a wrong sound are measured too. A
run that is stopped goes on where it was. A protocol makes the films first, of clips that training never sees.
"""
PROTOCOLS = {
    "reenactment": "the first frame of people never seen, moved as their clip moves (FOMM's)",
    "speech": "the speaker's clips never seen: first frame, own sound, real head poses (as in the ablation)",
    "speech-predicted": "the same with predicted head poses",
    "cross": "first frames of people never seen, other people's voices",
}


def add(subparsers) -> argparse.ArgumentParser:
    """Describe the subcommand; returns its parser."""
    parser = subparsers.add_parser(
        "evaluate",
        help="measure films of talking faces",
        description="Measure films of talking faces beside the real ones, and write a report.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--output", required=True, metavar="DIR", help="folder of the report; made if missing"
    )
    given = parser.add_argument_group("films that exist")
    given.add_argument(
        "--generated",
        action="append",
        default=[],
        metavar="[NAME=]DIR",
        help="a system's films; may be said several times",
    )
    given.add_argument("--real", metavar="DIR", help="the real films")
    made = parser.add_argument_group("or films to be made")
    about = "; ".join(f"{name}: {text}" for name, text in PROTOCOLS.items())
    made.add_argument("--protocol", choices=tuple(PROTOCOLS), metavar="NAME", help=about)
    made.add_argument("--clips", metavar="DIR", help="folder that `avct preprocess` made")
    made.add_argument("--checkpoint", metavar="FILE", help="a .safetensors file (default: the package's own)")
    made.add_argument("--transcribed", action="store_true", help="phonemes of the clips' words where known")
    how = parser.add_argument_group("what is measured")
    add_networks(how)
    how.add_argument(
        "--films", type=option.positive, default=0, metavar="N", help="at most so many, evenly chosen"
    )
    how.add_argument("--no-baselines", action="store_true", help="leave out still face and wrong sound")
    how.add_argument(
        "--shown", type=option.positive, default=6, metavar="N", help="films in the pages (default: 6)"
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
    """Do it; 2 where no film could be measured."""
    from avct_jax import compile_cache, console, errors
    from avct_jax.evaluation import evaluate, networks, protocols

    _check(arguments)
    compile_cache.enable()
    judges = networks.make(arguments.fid, arguments.syncnet, arguments.sync, arguments.identity)
    output = pathlib.Path(arguments.output)
    with console.going_on_later(), console.task_bar(quiet=arguments.quiet) as show:
        failed: dict[str, dict[str, str]] = {}
        options = evaluate.Options(films=arguments.films, baselines=not arguments.no_baselines)
        if arguments.protocol:
            name, made = _make(arguments, output, show)
            generated, real, failed = {name: made.generated}, made.real, {name: made.failed}
            about = {"name": arguments.protocol, "about": made.about}
            options = dataclasses.replace(options, paired=made.paired, protocol=about, films=0)
        else:
            generated, real = _named(arguments.generated), arguments.real
        report = evaluate.evaluate(generated, real, output, judges, options, show)
        report = protocols.tell(report, failed)
    publish(report, generated, real, output, arguments.shown)
    if not arguments.quiet:
        print_table(report)
        print(f"wrote {output / 'report.html'}")
    if not any(system["films"] for system in report["systems"]):
        reason = report["failed"][0]["reason"] if report["failed"] else "there is none"
        raise errors.UserError(f"no film could be measured ({reason}); see {output / 'report.json'}")
    return 0


def publish(report: dict[str, Any], generated: Any, real: Any, output: pathlib.Path, shown: int) -> None:
    """Write the report's four files. A system none of whose films could be measured is not shown."""
    import json

    from avct_jax.evaluation import markdown, page, rating_page, samples, store

    store.write_text(output / "report.json", json.dumps(report, indent=1) + "\n")
    store.write_text(output / "report.md", markdown.document(report))
    measured = {system["key"] for system in report["systems"] if system["per_film"]}
    known = {system: folder for system, folder in generated.items() if system in measured}
    chosen = samples.choose(report, known, real, output, shown)
    page.write(report, chosen, output / "report.html")
    rating_page.write(chosen, output / "rating.html")


def print_table(report: dict[str, Any]) -> None:
    """Print the table, and what could not be measured."""
    from avct_jax.evaluation import markdown

    print(markdown.table(report))
    for failure in report["failed"][:10]:
        print(f"{failure['system']}, {failure['film']}: {failure['reason']}", file=sys.stderr)


def _make(arguments, output, show):
    from avct_jax.evaluation import protocols

    made = protocols.make(
        arguments.protocol,
        arguments.clips,
        output / "generated",
        checkpoint=arguments.checkpoint,
        films=arguments.films,
        transcribed=arguments.transcribed,
        show=show,
    )
    return pathlib.Path(arguments.checkpoint).stem if arguments.checkpoint else "embedded", made


def _check(arguments) -> None:
    from avct_jax import errors

    if arguments.protocol:
        if arguments.generated or arguments.real:
            raise errors.UserError("--protocol makes its films; leave out --generated and --real")
        if not arguments.clips:
            raise errors.UserError("--protocol needs --clips DIR, a folder that `avct preprocess` made")
    elif not arguments.real:
        raise errors.UserError(
            "no --real DIR (with --generated DIR), nor a --protocol with --clips DIR; give one"
        )
    if arguments.sync and arguments.syncnet:
        raise errors.UserError("--sync and --syncnet are given; leave one of them out")


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
