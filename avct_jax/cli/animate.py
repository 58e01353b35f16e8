"""`avct animate`: a portrait and a voice become a talking video."""

import argparse
import pathlib

from avct_jax.cli import option

# Options that `Animator.animate` takes under the same names.
ASKED = ("phonemes", "transcript", "recogniser", "poses", "still", "size", "seed", "audio_track")
LONGEST_STEM = 60  # characters of a name that a default output takes
EXAMPLES = """\
examples:
  avct animate --image face.jpg --audio speech.wav --output talk.mp4
  avct animate --image face.jpg --audio speech.wav --transcript "Hello, world." --output talk.mp4
  avct animate --image face.jpg --audio speech.wav --transcript-file words.txt
  avct animate --image face.jpg --audio interview.mov --still --output talk.mp4
  avct animate --image face.jpg --audio speech.wav --poses openface.csv --output talk.mp4
  avct animate --image face.jpg --audio speech.wav --size 256 --seed 7 --output talk.mp4
"""


def add(subparsers) -> argparse.ArgumentParser:
    """Describe the subcommand; returns its parser."""
    about = "Make the pictured face speak: H.264 and AAC, 25 frames/s, as long as the sound."
    parser = subparsers.add_parser(
        "animate",
        usage="avct animate --image FILE --audio FILE [--output FILE] [options]",
        help="a portrait and a voice become a talking video",
        description=about,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    need = parser.add_argument_group("what is needed")
    need.add_argument("--image", required=True, metavar="FILE", help="a portrait: jpg, png, webp, ...")
    need.add_argument(
        "--audio", required=True, metavar="FILE", help="a sound, or a video whose sound is taken"
    )
    need.add_argument(
        "--output", metavar="FILE", help="the video: .mp4, .mov or .mkv (default: IMAGE_says_AUDIO.mp4, here)"
    )
    _add_speech(parser.add_argument_group("what is said (recognised from the sound otherwise)"))
    _add_head(parser.add_argument_group("how the head moves (as people's do otherwise)"))
    _add_networks(parser.add_argument_group("networks"))
    add_image(parser.add_argument_group("the image"))
    return parser


def add_image(group) -> None:
    """Describe the options that `demo` has too."""
    group.add_argument(
        "--size",
        type=option.positive,
        metavar="PX",
        help="side of the video, 256 to 1024, even (default: as large as the head is, 512 at most)",
    )
    group.add_argument(
        "--seed",
        type=option.natural,
        metavar="N",
        help="decides blinks, gaze and head motion: the same gives the same (default: the image decides)",
    )


def _add_speech(group) -> None:
    group.add_argument(
        "--audio-track",
        type=option.positive,
        metavar="N",
        help="which of the file's sound tracks, from 1 (default: the first that is not silent)",
    )
    either = group.add_mutually_exclusive_group()
    either.add_argument("--transcript", metavar="TEXT", help="the words, in English: aligned with the sound")
    either.add_argument("--transcript-file", metavar="FILE", help="a file of text that holds the words")
    either.add_argument("--phonemes", metavar="FILE", help="phonemes: a Praat TextGrid, or .json as released")
    group.add_argument(
        "--recogniser",
        choices=("auto", "pocketsphinx", "hama"),
        default="auto",
        help="who recognises the phonemes for learned keypoints, or where a transcript does not fit; the "
        "mesh hears by itself (auto: hama where it is installed, the better one)",
    )


def _add_head(group) -> None:
    group = group.add_mutually_exclusive_group()
    group.add_argument(
        "--poses",
        metavar="FILE",
        help="an OpenFace csv, or .npy with a row of rx ry rz (rad) tx ty tz (mm) for each frame",
    )
    group.add_argument(
        "--still", action="store_true", help="the head keeps the portrait's pose; eyes still blink"
    )


def _add_networks(group) -> None:
    group.add_argument(
        "--checkpoint",
        metavar="FILE",
        help=".safetensors of `avct train export` or `avct convert`; otherwise the one in the package",
    )
    group.add_argument(
        "--landmarks",
        choices=("mediapipe", "face-alignment"),
        default="mediapipe",
        help="who finds the face; face-alignment is an extra",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    arguments.output = arguments.output or default_output(arguments.image, arguments.audio)
    given = {name: getattr(arguments, name) for name in ("phonemes", "poses", "transcript_file")}
    check(arguments, *given.values())
    if arguments.transcript_file:
        from avct_jax.files import text_file

        arguments.transcript = text_file.read(arguments.transcript_file)
    asked = {name: getattr(arguments, name) for name in ASKED}
    look(arguments, arguments.image, arguments.audio, **asked)
    return animate(arguments, arguments.image, arguments.audio, **asked)


def default_output(image: str, audio: str) -> str:
    """Name a video after its portrait and its voice, in the current folder."""
    stems = [pathlib.Path(name).stem[:LONGEST_STEM] for name in (image, audio)]
    return "_says_".join(stems) + ".mp4"


def check(arguments: argparse.Namespace, *files: str | None) -> None:
    """Look at all files, those of --image and --audio too, before imports and weights take seconds."""
    from avct_jax.data.media import video_io

    video_io.check_writable(arguments.output)
    media = (getattr(arguments, name, None) for name in ("image", "audio"))
    option.check_files(arguments.output, *media, *files, checkpoint=arguments.checkpoint)


def look(arguments: argparse.Namespace, image: str | None, audio: str | None, **asked) -> None:
    """Look into the files and at what is asked, as early; then say where a file is written over."""
    from avct_jax.animator import base, inputs

    networks = {name: getattr(arguments, name) for name in ("checkpoint", "landmarks")}
    inputs.look(image, audio, base.Request(**asked), **networks)
    option.tell_overwriting(arguments.output, quiet=arguments.quiet)


def animate(arguments: argparse.Namespace, image, audio, **options) -> int:
    """Animate and tell of it, as the common options of `arguments` ask."""
    from avct_jax import compile_cache
    from avct_jax.cli import terminal

    compile_cache.enable()
    from avct_jax.animator import factory

    with terminal.progress_bar(quiet=arguments.quiet) as progress:
        animator = factory.load(arguments.checkpoint, landmarks=arguments.landmarks)
        report = animator.animate(image, audio, arguments.output, progress=progress, **options)
    if arguments.quiet:
        return 0
    for line in report.notes:
        if line not in arguments.lines_shown:
            terminal.note(line)
    if arguments.verbose or arguments.debug:
        terminal.tell(terminal.timing_table(report.timings, report.frames))
    terminal.show(f"wrote {arguments.output}: {report.frames} frames, {report.seconds:.2f} s of sound")
    return 0
