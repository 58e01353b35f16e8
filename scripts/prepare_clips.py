"""Make training clips of videos: `python scripts/prepare_clips.py VIDEOS... --output DIR [options]`.

Finished clips are kept, so an interrupted run goes on where it was. What is refused is listed in
DIR/skipped.csv with the reason.
"""

import argparse
import concurrent.futures
import csv
import functools
import multiprocessing
import pathlib
import sys
from collections.abc import Iterable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))  # this checkout, installed or not

from avct_jax import errors
from avct_jax.data import clip, face

PROCESSES = 2


@functools.cache
def landmarker() -> face.FaceLandmarker:
    """Each process opens the networks once."""
    return face.FaceLandmarker()


def prepare(video: pathlib.Path, output: pathlib.Path, person: str, words, step: int, sound: bool) -> str:
    """Make one clip; returns why not, or nothing."""
    import cv2

    cv2.setNumThreads(1)  # the processes share the cores
    try:
        made = clip.prepare(
            video, person=person, step=step, words=words, landmarker=landmarker(), sound=sound
        )
        clip.save(output, made)
    except errors.UserError as error:
        return str(error)
    except Exception as error:  # one odd film must not end a long run
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def read_persons(manifest: pathlib.Path) -> dict[pathlib.Path, str]:
    """Each film's person, of a csv with columns file (relative to the csv) and person."""
    with manifest.open(encoding="utf-8", newline="") as file:
        return {(manifest.parent / row["file"]).resolve(): row["person"] for row in csv.DictReader(file)}


def read_words(path: pathlib.Path | None) -> dict[str, list[clip.Word]]:
    """Each film's words by its name, of a csv with columns clip, start_s, end_s, word."""
    words: dict[str, list[clip.Word]] = {}
    if path is not None:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                said = (row["word"], float(row["start_s"]), float(row["end_s"]))
                words.setdefault(row["clip"], []).append(said)
    return words


def run(jobs: Iterable[tuple], skipped: pathlib.Path) -> int:
    """Do the jobs (video, output, person, words, step, sound) and count what was refused."""
    context = multiprocessing.get_context("spawn")
    refused = 0
    with (
        skipped.open("w", encoding="utf-8", newline="") as file,
        concurrent.futures.ProcessPoolExecutor(PROCESSES, mp_context=context) as pool,
    ):
        table = csv.writer(file)
        table.writerow(["file", "reason"])
        waiting = {pool.submit(prepare, *job): job[0] for job in jobs}
        for count, future in enumerate(concurrent.futures.as_completed(waiting), 1):
            if reason := future.result():
                refused += 1
                table.writerow([waiting[future], reason])
                file.flush()
            print(f"{count}/{len(waiting)} {waiting[future].name} {reason}", flush=True)
    return refused


def main() -> int:
    """Parse, prepare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("videos", nargs="*", type=pathlib.Path, help="default: all of the manifest")
    parser.add_argument("--output", type=pathlib.Path, required=True, help="folder of the clips")
    parser.add_argument("--step", type=int, default=2, help="keep a picture of every STEPth frame")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--person", help="who is seen in all videos")
    who.add_argument("--manifest", type=pathlib.Path, help="csv with columns file, person")
    parser.add_argument("--words", type=pathlib.Path, help="csv with columns clip, start_s, end_s, word")
    parser.add_argument("--prefix", default="", help="of the clips' names; they decide what is held out")
    parser.add_argument("--no-sound", action="store_true", help="pictures and landmarks only: much faster")
    args = parser.parse_args()
    persons = read_persons(args.manifest) if args.manifest else {}
    videos = args.videos or list(persons)
    unknown = [video for video in videos if args.manifest and video.resolve() not in persons]
    if unknown or not videos:
        print(f"{unknown[0] if unknown else args.manifest}: no person is known; add a row", file=sys.stderr)
        return 2
    args.output.mkdir(parents=True, exist_ok=True)
    words = read_words(args.words)
    outputs = {video: args.output / f"{args.prefix}{video.stem}.npz" for video in videos}
    jobs = [
        (video, output, args.person or persons[video.resolve()], words.get(video.stem), args.step,
         not args.no_sound)
        for video, output in outputs.items() if not output.exists()
    ]  # fmt: skip
    refused = run(jobs, args.output / "skipped.csv")
    print(f"{len(jobs) - refused} clips made, {len(videos) - len(jobs)} were there, {refused} refused")
    return 0


if __name__ == "__main__":
    sys.exit(main())
