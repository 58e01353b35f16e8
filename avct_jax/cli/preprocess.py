"""`avct preprocess`: videos become clips to train on."""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from avct_jax.cli import option

EXAMPLES = """\
examples:
  avct preprocess videos/ --output clips                                          each video shows somebody
  else avct preprocess talk.mp4 --person anna --speaker anna --output clips           the voice that is
  learned avct preprocess --people people.csv --output clips                             who is seen in which
  video

Files of people.csv are looked for relative to it, then to the folder of videos, then by a name that one video
has. A clip is one steady face between two cuts: NAME.mp4 (256x256, 25 frames/s, with its sound) and NAME.npz
(landmarks, head poses, mouth boxes, and of the sound 41 features, mel, phonemes). manifest.json says what
became of every video, and why parts were left out. An interrupted run goes on where it was; further runs into
the same folder add to it. Use videos that you may use, of people who agreed.
"""
INTERRUPTED = 130  # exit code: Ctrl-C, 128 + SIGINT
PLAIN_SECONDS = 10.0  # between lines where standard error is no terminal


def add(subparsers) -> argparse.ArgumentParser:
    """Describe the subcommand; returns its parser."""
    parser = subparsers.add_parser(
        "preprocess",
        help="videos become clips to train on",
        description="Find cuts and faces in videos, and make clips of one steady face each.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "videos", nargs="*", metavar="VIDEO", help="files, folders, patterns; default: all of --people"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the clips; made if missing")
    who = parser.add_argument_group("who is seen, and what is said")
    either = who.add_mutually_exclusive_group()
    either.add_argument("--person", metavar="NAME", help="who is seen in all videos (default: one each)")
    either.add_argument("--people", metavar="CSV", help="columns file (see below) and person")
    who.add_argument(
        "--speaker", metavar="PERSON", help="whose speech is learned: split clip by clip, not as a whole"
    )
    who.add_argument("--words", metavar="CSV", help="columns clip (the video's name), start_s, end_s, word")
    _add_what(parser.add_argument_group("what becomes a clip"))
    parser.add_argument(
        "--jobs",
        type=option.positive,
        metavar="N",
        default=None,
        help="processes (default: one a core)",
    )
    parser.add_argument(
        "--new-mean-face",
        action="store_true",
        help="also where DIR has one; networks trained with that one must then be trained again",
    )
    return parser


def _add_what(group) -> None:
    group.add_argument(
        "--shortest",
        type=_seconds,
        default=0.96,
        metavar="S",
        help="seconds, of a clip at least (default: .96)",
    )
    group.add_argument(
        "--longest", type=_seconds, default=10.0, metavar="S", help="longer ones are divided (default: 10)"
    )
    group.add_argument(
        "--smallest-face",
        type=option.positive,
        default=48,
        metavar="PX",
        help="height of the face (default: 48)",
    )
    group.add_argument(
        "--no-sound", action="store_true", help="do not listen: faster; enough for the renderer"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it; 2 where no clip came out."""
    from avct_jax import errors
    from avct_jax.cli import terminal
    from avct_jax.data.clips import manifest, preprocess

    try:
        with _shown(quiet=arguments.quiet) as show:
            made = preprocess.preprocess(
                arguments.videos,
                arguments.output,
                person=arguments.person,
                people=arguments.people,
                speaker=arguments.speaker or "",
                words=arguments.words,
                shortest=arguments.shortest,
                longest=arguments.longest,
                smallest_face=arguments.smallest_face,
                audio=not arguments.no_sound,
                new_mean_face=arguments.new_mean_face,
                processes=arguments.jobs,
                show=show,
                note=(lambda line: None) if arguments.quiet else terminal.note,
            )
    except KeyboardInterrupt:
        terminal.note("interrupted; what is finished is kept, and the same command goes on from there")
        return INTERRUPTED
    if not arguments.quiet:
        terminal.show("\n".join(summary(made, arguments.output)))
    if not made.clips:
        reasons = "; ".join(made.counts["refused"]) or "no video was given"
        raise errors.UserError(
            f"no clip came out ({reasons}); see {manifest.FILE}, use videos of steady faces"
        )
    return 0


def summary(made: Any, output: str) -> list[str]:
    """What came out, in a few lines."""
    counts = made.counts
    train, test = (counts["splits"][name] for name in ("train", "test"))
    lines = [
        f"{output}: {counts['clips']} clips of {counts['people']} people from {counts['videos']} videos, "
        f"{counts['seconds']:.0f} s",
        f"  {counts['with_audio']} with sound, {_sync(counts)}",
        f"  {train['clips']} clips ({train['people']} people) to train on, {test['clips']} kept for tests",
    ]
    if counts["refused"]:
        reasons = ", ".join(f"{number} {kind}" for kind, number in counts["refused"].items())
        lines.append(f"  left out: {reasons} ({counts['refused_seconds']:.0f} s); see {output}/manifest.json")
    if made.speaker and not any(entry.person == made.speaker for entry in made.clips):
        lines.append(f"  nobody is called {made.speaker!r} yet; add the speaker's videos")
    return lines


def _sync(counts: dict[str, Any]) -> str:
    if counts["with_audio"] and not counts["judged"]:
        return "too little to tell whether the lips are in sync"
    return f"{counts['in_sync']} of them in sync"


@contextlib.contextmanager
def _shown(*, quiet: bool) -> Iterator[Callable[[Any], None]]:
    """A bar on a terminal, a line now and then elsewhere."""
    if quiet:
        yield lambda state: None
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _Lines()


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[Any], None]]:
    from rich import console, progress  # 0.1 s, for terminals only

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("videos"),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console.Console(stderr=True), transient=True) as bar:
        task = bar.add_task("preprocessing", total=None)
        bar.start()

        def show(state: Any) -> None:
            text = f"{state.clips} clips, {state.refused} left out, {state.frames} frames"
            bar.update(task, description=text, completed=state.videos, total=state.total)

        yield show


class _Lines:
    """Says every few seconds how far it is."""

    def __init__(self):
        self.begun = self.said = time.monotonic()
        self.first: int | None = None

    def __call__(self, state: Any) -> None:
        now = time.monotonic()
        self.first = state.videos if self.first is None else self.first
        if now - self.said < PLAIN_SECONDS and state.videos < state.total:
            return
        self.said = now
        done, spent = state.videos - self.first, now - self.begun
        left = f", {spent / done * (state.total - state.videos):.0f} s left" if done else ""
        from avct_jax.cli import terminal

        terminal.note(
            f"{state.videos}/{state.total} videos, {state.clips} clips, {state.refused} left out, "
            f"{state.frames / max(spent, 1e-9):.0f} frames/s{left}"
        )


def _seconds(text: str) -> float:
    try:
        if 0.04 <= (value := float(text)) < float("inf"):
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} must be seconds, .04 or more")
