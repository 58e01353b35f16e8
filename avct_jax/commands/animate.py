"""`avct animate`: a portrait and a voice become a talking video."""

import argparse
import sys

from avct_jax.commands import option

EXAMPLES = """\
examples:
  avct animate --image face.jpg --audio speech.wav --output talk.mp4
  avct animate --image face.jpg --audio speech.wav --transcript "Hello, world." --output talk.mp4
  avct animate --image face.jpg --audio interview.mov --still --output talk.mp4
  avct animate --image face.jpg --audio speech.wav --poses openface.csv --output talk.mp4
  avct animate --image face.jpg --audio speech.wav --size 256 --seed 7 --output talk.mp4
"""


def add(subparsers) -> argparse.ArgumentParser:
    """Describe the subcommand; returns its parser."""
    about = "Make the pictured face speak: H.264 and AAC, 25 frames/s, as long as the sound."
    parser = subparsers.add_parser(
        "animate",
        usage="avct animate --image FILE --audio FILE --output FILE [options]",
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
    need.add_argument("--output", required=True, metavar="FILE", help="the video: .mp4, .mov or .mkv")
    _add_speech(parser.add_argument_group("what is said (recognised from the sound otherwise)"))
    _add_head(parser.add_argument_group("how the head moves (as people's do otherwise)"))
    _add_networks(parser.add_argument_group("networks"))
    add_picture(parser.add_argument_group("the picture"))
    return parser


def add_picture(group) -> None:
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
        help="decides blinks, gaze and head motion: the same gives the same (default: the picture decides)",
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
    either.add_argument("--phonemes", metavar="FILE", help="phonemes: a Praat TextGrid, or .json as released")
    group.add_argument(
        "--recogniser",
        choices=("auto", "pocketsphinx", "hama"),
        default="auto",
        help="who recognises the phonemes; auto: hama where it is installed (the better one)",
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
        help=".safetensors of `avct convert`; otherwise the one in the package",
    )
    group.add_argument(
        "--landmarks",
        choices=("mediapipe", "face-alignment"),
        default="mediapipe",
        help="who finds the face; face-alignment is an extra",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    files = (arguments.image, arguments.audio, arguments.phonemes, arguments.poses, arguments.checkpoint)
    option.refuse_overwriting(arguments.output, *files)
    return animate(
        arguments,
        arguments.image,
        arguments.audio,
        phonemes=arguments.phonemes,
        transcript=arguments.transcript,
        recogniser=arguments.recogniser,
        poses=arguments.poses,
        still=arguments.still,
        size=arguments.size,
        seed=arguments.seed,
        audio_track=arguments.audio_track,
    )


def animate(arguments: argparse.Namespace, image, audio, **options) -> int:
    """Animate and tell of it, as the common options of `arguments` ask."""
    from avct_jax import compile_cache, console
    from avct_jax.data import video

    video.check_writable(arguments.output)  # before seconds are spent on imports and weights
    compile_cache.enable()
    from avct_jax import animator

    with console.progress_bar(quiet=arguments.quiet) as progress:
        player = animator.load(arguments.checkpoint, landmarks=arguments.landmarks)
        report = player.animate(image, audio, arguments.output, progress=progress, **options)
    if arguments.quiet:
        return 0
    for line in report.notes:
        console.note(line)
    if arguments.verbose or arguments.debug:
        print(console.timing_table(report.timings, report.frames), file=sys.stderr)
    print(f"wrote {arguments.output}: {report.frames} frames, {report.seconds:.2f} s of sound")
    return 0
