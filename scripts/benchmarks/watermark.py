"""What the watermark survives, and how often it is seen where there is none.

python -m scripts.benchmarks.watermark --portraits FOLDER --voices FOLDER    # made here, changed, and read
python -m scripts.benchmarks.watermark --unmarked FOLDER [FOLDER ...]        # false alarms

Prints tables in Markdown. Unmarked films are read with the mark's key and with others, for which every film
is unmarked as well: so many more trials.
"""

import argparse
import concurrent.futures
import functools
import itertools
import math
import os
import pathlib
import subprocess
import tempfile

import numpy as np

import avct_jax
from avct_jax.data.media import container
from avct_jax.marks import mark_detector, mark_pattern

X264 = ["-c:v", "libx264", "-crf"]
# What is done with a film, as words for ffmpeg: what users and platforms do, and what takes the mark away.
CHANGES: dict[str, list[str]] = {
    "as it is written (H.264, CRF 18)": ["-c", "copy"],
    "H.264, CRF 23": [*X264, "23"],
    "H.264, CRF 28": [*X264, "28"],
    "H.264, CRF 30": [*X264, "30"],
    "H.265, CRF 23": ["-c:v", "libx265", "-crf", "23"],
    "H.265, CRF 28": ["-c:v", "libx265", "-crf", "28"],
    "H.265, CRF 30": ["-c:v", "libx265", "-crf", "30"],
    "VP9, CRF 30": [
        "-c:v",
        "libvpx-vp9",
        "-crf",
        "30",
        "-b:v",
        "0",
        "-deadline",
        "realtime",
        "-cpu-used",
        "6",
    ],
    "50% of the size": ["-vf", "scale=iw/2:-2", *X264, "23"],
    "75% of the size": ["-vf", "scale=iw*3/4:-2", *X264, "23"],
    "150% of the size": ["-vf", "scale=iw*3/2:-2", *X264, "23"],
    "cropped to 70% of each side": ["-vf", "crop=iw*0.7:ih*0.7:iw*0.1:ih*0.2", *X264, "23"],
    "24 frames/s": ["-r", "24", *X264, "23"],
    "30 frames/s": ["-r", "30", *X264, "23"],
    "in a picture of twice its size": ["-vf", "pad=iw*2:ih*2:iw*0.6:ih*0.3:gray", *X264, "23"],
    "blurred (1 px) and gamma 1.2": ["-vf", "gblur=sigma=1,eq=gamma=1.2", *X264, "23"],
    "3 s of it": ["-ss", "1.5", "-t", "3", *X264, "23"],
    "5 s of it, CRF 28": ["-ss", "0.5", "-t", "5", *X264, "28"],
}
ATTACKS: dict[str, list[str]] = {
    "H.264, CRF 35": [*X264, "35"],
    "33% of the size": ["-vf", "scale=iw/3:-2", *X264, "23"],
    "blurred (4 px)": ["-vf", "gblur=sigma=4", *X264, "23"],
    "2 s of it": ["-ss", "1.5", "-t", "2", *X264, "23"],
    "turned by 3 degrees": ["-vf", "rotate=3*PI/180", *X264, "23"],
    "mirrored": ["-vf", "hflip", *X264, "23"],
    "5% faster": ["-vf", "setpts=PTS/1.05", "-r", "25", *X264, "23"],
    "15 frames/s": ["-r", "15", *X264, "23"],
    "12 frames/s": ["-r", "12", *X264, "23"],
    "each frame the mean of three": ["-vf", "tmix=frames=3", *X264, "23"],
    "noise (8 levels)": ["-vf", "noise=alls=8:allf=t", *X264, "23"],
    "denoised (hqdn3d)": ["-vf", "hqdn3d=8:6:12:9", *X264, "23"],
}


def made(
    portraits: pathlib.Path, voices: pathlib.Path, folder: pathlib.Path, count: int
) -> list[pathlib.Path]:
    """Make marked films of portraits that speak, each with the next voice."""
    animator = avct_jax.load()
    images = sorted(path for path in portraits.iterdir() if path.suffix in (".jpg", ".png"))[:count]
    sounds = itertools.cycle(sorted(path for path in voices.iterdir() if path.suffix == ".wav"))
    films = []
    for image, sound in zip(images, sounds, strict=False):
        films.append(folder / f"{image.stem}.mp4")
        animator.animate(image, sound, films[-1], size=512)
    return films


def changed(film: pathlib.Path, words: list[str]) -> mark_detector.MarkReading:
    """Change a film, and look for its mark."""
    suffix = ".webm" if "libvpx-vp9" in words else ".mp4"
    with tempfile.TemporaryDirectory() as folder:
        output = os.path.join(folder, f"changed{suffix}")
        quiet = ["-x265-params", "log-level=none"] if "libx265" in words else []
        command = [container.ffmpeg(), "-loglevel", "error", "-i", str(film), "-an", *words, *quiet, output]
        subprocess.run(command, check=True)
        return mark_detector.read(output)


def survival(films: list[pathlib.Path], changes: dict[str, list[str]], pool) -> None:
    """Print how often the mark is found and read after each change."""
    print("| change | found | read | least and median score |\n|---|---|---|---|")
    for name, words in changes.items():
        readings = list(pool.map(functools.partial(changed, words=words), films))
        scores = [reading.score for reading in readings]
        told = sum(reading.payload is not None for reading in readings)
        counts = f"{sum(reading.found for reading in readings)}/{len(films)} | {told}/{len(films)}"
        print(f"| {name} | {counts} | {min(scores):.0f}, {np.median(scores):.0f} |", flush=True)


def score(film: pathlib.Path, key: str) -> tuple[float, bool, bool]:
    """Look for a mark in a film without one: score, whether it is found, and whether a payload is read."""
    reading = mark_detector.read(film, key=key)
    return reading.score, reading.found, reading.payload is not None


def false_alarms(folders: list[pathlib.Path], keys: list[str], pool) -> None:
    """Print how high films without a mark score, and what is to be expected of a million."""
    films = sorted(path for folder in folders for path in folder.rglob("*.mp4"))
    found = [x for key in keys for x in pool.map(functools.partial(score, key=key), films, chunksize=8)]
    scores = np.sort([x[0] for x in found])
    alarms = f"{sum(x[1] for x in found)} found, {sum(x[2] for x in found)} read"
    print(f"{len(films)} films, {len(keys)} keys: {alarms}")
    print("shares above: " + ", ".join(f"{at}: {np.mean(scores > at):.2%}" for at in range(16, 44, 4)))
    # The tail falls off exponentially, as a maximum of many powers does: fitted over its highest twentieth.
    begin = np.quantile(scores, 0.95)
    scale = (scores[scores > begin] - begin).mean()
    rate = 0.05 * math.exp(-(mark_detector.SURE - begin) / scale)
    read = float(np.mean(scores > mark_detector.LIKELY)) / 2**16
    print(f"highest {scores[-1]:.1f}; tail from {begin:.1f} on falls by e in {scale:.2f}")
    print(f"expected above {mark_detector.SURE:.0f}: {rate:.1e}; payloads read by chance: {read:.1e}")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--portraits", type=pathlib.Path)
    parser.add_argument("--voices", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=10, help="marked films")
    parser.add_argument("--unmarked", type=pathlib.Path, nargs="*", default=[])
    parser.add_argument("--keys", type=int, default=1, help="the mark's key and others")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    with (
        concurrent.futures.ProcessPoolExecutor(args.processes) as pool,
        tempfile.TemporaryDirectory() as folder,
    ):
        if args.portraits:
            films = made(args.portraits, args.voices, pathlib.Path(folder), args.count)
            for changes in (CHANGES, ATTACKS):
                survival(films, changes, pool)
                print()
        if args.unmarked:
            others = [f"another {number}" for number in range(1, args.keys)]
            false_alarms(args.unmarked, [mark_pattern.KEY, *others], pool)


if __name__ == "__main__":
    main()
