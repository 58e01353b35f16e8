"""`avct preprocess`: videos become clips to train on."""

import contextlib
import dataclasses
from typing import Annotated, Any

import tyro

from avct_jax.cli import engine_options, option

EXAMPLES = """
examples:
  avct preprocess videos/ --output clips                                    each video shows somebody else
  avct preprocess talk.mp4 --person anna --speaker anna --output clips      the voice that is learned
  avct preprocess --people people.csv --output clips                        who is seen in which video
  avct preprocess videos/ --shard 2/8 --output clips                        the second of eight machines

Files of people.csv are looked for relative to it, then to the folder of videos, then by a name that one video
has. A clip is one steady face between two cuts: NAME.mp4 (256x256, 25 frames/s, with its sound) and NAME.npz
(landmarks, head poses, mouth boxes, and of the sound 41 features, mel, phonemes). manifest.json says what
became of every video, and why parts were left out. An interrupted run goes on where it was; further runs into
the same folder add to it. Use videos that you may use, of people who agreed.
"""


WHO = tyro.conf.create_mutex_group(required=False, title="who is seen")


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0.04 <= (value := float(text)) < float("inf"):
            return value
    raise ValueError(f"{text!r} must be seconds, .04 or more")


Seconds = Annotated[float, option.read_by(_seconds), option.shown_as("S")]


@dataclasses.dataclass(frozen=True)
class SpeakerOptions:
    """Who is seen, and what is said.

    Attributes:
      person: who is seen in all videos (default: one each)
      people: columns file (see below) and person
      speaker: whose speech is learned: split clip by clip, not as a whole
      words: columns clip (the video's name), start_s, end_s, word
    """

    person: Annotated[option.MaybeText, WHO, option.shown_as("NAME")] = None
    people: Annotated[option.MaybeText, WHO, option.shown_as("CSV")] = None
    speaker: Annotated[option.MaybeText, option.shown_as("PERSON")] = None
    words: Annotated[option.MaybeText, option.shown_as("CSV")] = None


@dataclasses.dataclass(frozen=True)
class ClipChoice:
    """What becomes a clip.

    Attributes:
      shortest: seconds, of a clip at least
      longest: longer ones are divided
      smallest_face: height of the face
      no_audio: do not listen: faster; enough for the renderer
    """

    shortest: Seconds = 0.96
    longest: Seconds = 10.0
    smallest_face: Annotated[option.Positive, option.shown_as("PX")] = 48
    no_audio: option.Flag = False


@dataclasses.dataclass(frozen=True)
class Options:
    """Find cuts and faces in videos, and make clips of one steady face each.

    Attributes:
      videos: files, folders, patterns; default: all of --people
      output: folder of the clips; made if missing
      jobs: processes (default: one a core)
      new_mean_face: also where DIR has one; networks trained with that one must then be trained again
    """

    videos: Annotated[tuple[str, ...], tyro.conf.Positional, option.shown_as("[VIDEO ...]")]
    output: option.Folder
    jobs: option.MaybePositive = None
    new_mean_face: option.Flag = False
    speech: SpeakerOptions = SpeakerOptions()
    clip: ClipChoice = ClipChoice()
    work: engine_options.EngineOptions = engine_options.EngineOptions()
    shown: option.Shown = option.Shown()


def run(options: Options) -> int:
    """Do it; 2 where no clip came out, 1 where videos of a shard failed."""
    from avct_jax import errors, progress
    from avct_jax.cli import terminal
    from avct_jax.data.clips import manifest, preprocess

    speech, clip, quiet = options.speech, options.clip, options.shown.quiet
    part, by = options.work.part(), options.work.by()
    with terminal.going_on_later(), progress.Progress(unit="videos", quiet=quiet) as bar:
        made = preprocess.preprocess(
            list(options.videos),
            options.output,
            person=speech.person,
            people=speech.people,
            speaker=speech.speaker or "",
            words=speech.words,
            shortest=clip.shortest,
            longest=clip.longest,
            smallest_face=clip.smallest_face,
            audio=not clip.no_audio,
            new_mean_face=options.new_mean_face,
            processes=options.jobs,
            part=part,
            by=by,
            show=lambda state: bar.show(state.videos, state.total, _reached(state)),
            note=(lambda line: None) if quiet else terminal.note,
        )
    if not part.is_whole:
        return _tell_of_part(part, made, options.output, quiet=quiet)
    if not quiet:
        terminal.show("\n".join(summary(made, options.output)))
    if not made.clips:
        reasons = "; ".join(made.counts["refused"]) or "no video was given"
        raise errors.UserError(
            f"no clip came out ({reasons}); see {manifest.FILE}, use videos of steady faces"
        )
    return 0


def _tell_of_part(part: Any, made: Any, output: str, *, quiet: bool) -> int:
    """Say what came out of a shard; 1 where it is not finished, so that it is started again."""
    from avct_jax.cli import terminal

    failed = [refusal for refusal in made.refused if refusal.kind == "failed"]
    for refusal in failed:
        terminal.tell(f"avct: {refusal.source}: {refusal.reason}")
    if not quiet:
        counts = made.counts
        line = f"{output}: shard {part}: {counts['clips']} clips from {counts['videos']} videos"
        terminal.show(f"{line}; the manifest is written without --shard, when all are done")
    return 1 if failed else 0


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


def _reached(state: Any) -> str:
    return f"{state.clips} clips, {state.refused} left out, {state.frames} frames"
