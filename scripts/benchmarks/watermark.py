"""What the watermark survives, and how often it is seen where there is none.

avct animate --image FACE --audio VOICE --output FOLDER/FILM.mp4           # several, of 7 s or so
python -m scripts.benchmarks.watermark --marked FOLDER                     # changed, and read
python -m scripts.benchmarks.watermark --unmarked FOLDER [FOLDER ...]      # false alarms
python -m scripts.benchmarks.watermark --wrong FOLDER --keys 20            # of marked films, with other keys

Prints tables in Markdown.
"""

import argparse
import concurrent.futures
import functools
import itertools
import math
import pathlib
import subprocess
import tempfile

import numpy as np

from avct_jax.data.media import container
from avct_jax.marks import mark_detector, mark_pattern, mark_payload

X264, X265 = (
    ["-c:v", "libx264", "-crf"],
    ["-preset", "fast", "-x265-params", "log-level=none", "-c:v", "libx265", "-crf"],
)
VP9 = ["-b:v", "0", "-deadline", "realtime", "-cpu-used", "6", "-c:v", "libvpx-vp9", "-crf"]
THEN = "then"  # what follows is done with what came out
# What is done with a film, as words for ffmpeg: what users and platforms do, and what takes the mark away.
CHANGES: dict[str, list[str]] = {
    "as it is written (H.264, CRF 18)": ["-c", "copy"],
    "H.264, CRF 18": [*X264, "18"],
    "H.264, CRF 23": [*X264, "23"],
    "H.264, CRF 28": [*X264, "28"],
    "H.264, CRF 30": [*X264, "30"],
    "H.265, CRF 18": [*X265, "18"],
    "H.265, CRF 23": [*X265, "23"],
    "H.265, CRF 28": [*X265, "28"],
    "H.265, CRF 30": [*X265, "30"],
    "VP9, CRF 18": [*VP9, "18"],
    "VP9, CRF 30": [*VP9, "30"],
    "H.265, CRF 26, then H.264, CRF 26": [*X265, "26", THEN, *X264, "26"],
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
    "384 px wide, cropped to 80%, 30 frames/s, CRF 26": [
        *["-vf", "crop=iw*0.8:ih*0.8,scale=384:-2", "-r", "30", *X264, "26"]
    ],
}
ATTACKS: dict[str, list[str]] = {
    "H.264, CRF 35": [*X264, "35"],
    "33% of the size": ["-vf", "scale=iw/3:-2", *X264, "23"],
    "cropped to 50% of each side": ["-vf", "crop=iw*0.5:ih*0.5", *X264, "23"],
    "blurred (4 px)": ["-vf", "gblur=sigma=4", *X264, "23"],
    "2 s of it": ["-ss", "1.5", "-t", "2", *X264, "23"],
    "turned by 1 degree": ["-vf", "rotate=1*PI/180", *X264, "23"],
    "turned by 3 degrees": ["-vf", "rotate=3*PI/180", *X264, "23"],
    "drawn out by 10% in width": ["-vf", "scale=iw*1.1:ih", *X264, "23"],
    "mirrored": ["-vf", "hflip", *X264, "23"],
    "1% faster": ["-vf", "setpts=PTS/1.01", "-r", "25", *X264, "23"],
    "5% faster": ["-vf", "setpts=PTS/1.05", "-r", "25", *X264, "23"],
    "15 frames/s": ["-r", "15", *X264, "23"],
    "12 frames/s": ["-r", "12", *X264, "23"],
    "each frame the mean of three": ["-vf", "tmix=frames=3", *X264, "23"],
    "noise (8 levels)": ["-vf", "noise=alls=8:allf=t", *X264, "23"],
    "denoised (hqdn3d)": ["-vf", "hqdn3d=8:6:12:9", *X264, "23"],
}


@functools.cache
def said(film: pathlib.Path) -> mark_payload.MarkPayload:
    """What the mark of an unchanged film says."""
    if (payload := mark_detector.read(film).payload) is None:
        raise SystemExit(f"{film}: no mark is read, so none can be lost")
    return payload


def changed(film: pathlib.Path, words: list[str]) -> tuple[mark_detector.MarkReading, float]:
    """Change a film, and look for its mark: what is found, and the share of signs that is wrong."""
    truth = said(film)
    with tempfile.TemporaryDirectory() as folder:
        for number, (_, step) in enumerate(itertools.groupby(words, lambda word: word == THEN)):
            step = list(step)
            if step == [THEN]:
                continue
            output = pathlib.Path(folder, f"{number}{'.webm' if 'libvpx-vp9' in step else '.mp4'}")
            command = [container.ffmpeg(), "-loglevel", "error", "-threads", "1", "-i", str(film)]
            subprocess.run([*command, "-an", *step, str(output)], check=True)
            film = output
        looks, signs = mark_detector.looks(film), mark_payload.encode(truth)
        wrong = [float(np.mean(np.sign(look.signs) != signs)) for look in itertools.islice(looks, 1)]
        reading = mark_detector.read(film)
        if reading.payload not in (None, truth):
            raise SystemExit(f"another payload is read than was written: {reading}")
        return reading, min(wrong)


def survival(films: list[pathlib.Path], changes: dict[str, list[str]], pool) -> None:
    """Print how often the mark is found and read after each change."""
    print("| change | found | read | wrong signs: median, most | score: least, median |")
    print("|---|---|---|---|---|")
    for name, words in changes.items():
        readings, wrong = zip(*pool.map(functools.partial(changed, words=words), films), strict=True)
        scores = [reading.score for reading in readings]
        told = sum(reading.payload is not None for reading in readings)
        counts = f"{sum(reading.found for reading in readings)}/{len(films)} | {told}/{len(films)}"
        errors = f"{np.median(wrong):.0%}, {max(wrong):.0%}"
        print(f"| {name} | {counts} | {errors} | {min(scores):.0f}, {np.median(scores):.0f} |", flush=True)


Trial = tuple[float, bool, bool]


def trials(film: pathlib.Path, keys: list[str], flipped: bool) -> list[Trial]:
    """Look for marks of some keys in each piece of a film: score, whether found, whether read."""
    found = []
    for image, seconds in mark_detector.images(film):
        image = np.ascontiguousarray(image[:, ::-1] if flipped else image)
        for key in keys:
            size = image.shape[0], image.shape[1]
            reading = mark_detector.judged(*mark_detector.look(image, key), size, seconds)
            found.append((reading.score, reading.found, reading.payload is not None))
    return found


def films_in(folders: list[pathlib.Path]) -> list[pathlib.Path]:
    """All films."""
    return sorted(path for folder in folders for path in folder.rglob("*.mp4"))


def false_alarms(films: list[pathlib.Path], keys: list[str], pool, flipped: bool = False) -> list[Trial]:
    """Print how many films without a mark are taken to have one."""
    look = functools.partial(trials, keys=keys, flipped=flipped)
    found = [trial for each in pool.map(look, films, chunksize=4) for trial in each]
    alarms = f"{sum(x[1] for x in found)} found, {sum(x[2] for x in found)} read"
    how = " flipped" if flipped else ""
    print(f"{len(films)} films{how}, {len(keys)} keys, {len(found)} looks: {alarms}", flush=True)
    return found


def extrapolated(found: list[Trial]) -> None:
    """Print how high films without a mark score, and what is to be expected of a million."""
    scores = np.sort([x[0] for x in found])
    print("shares above: " + ", ".join(f"{at}: {np.mean(scores > at):.2%}" for at in range(16, 44, 4)))
    print(f"highest {scores[-1]:.1f}; read by chance: {np.mean(scores > mark_detector.LIKELY) * 4e-6:.1e}")
    # The tail falls off exponentially, as a maximum of many powers does.
    for share in (0.1, 0.05, 0.02):
        begin = np.quantile(scores, 1 - share)
        scale = (scores[scores > begin] - begin).mean()
        rate = share * math.exp(-(mark_detector.SURE - begin) / scale)
        told = f"from {begin:.1f} on ({share:.0%}) by e in {scale:.2f}"
        print(f"{told}: {rate:.1e} above {mark_detector.SURE:.0f}")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--marked", type=pathlib.Path, help="folder of marked films")
    parser.add_argument("--unmarked", type=pathlib.Path, nargs="*", default=[])
    parser.add_argument(
        "--flipped", action="store_true", help="unmarked films a second time, left and right exchanged"
    )
    parser.add_argument(
        "--wrong", type=pathlib.Path, nargs="*", default=[], help="marked films, looked at with wrong keys"
    )
    parser.add_argument("--keys", type=int, default=1, help="so many")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    with concurrent.futures.ProcessPoolExecutor(args.processes) as pool:
        if args.marked:
            films = sorted(args.marked.glob("*.mp4"))
            for changes in (CHANGES, ATTACKS):
                survival(films, changes, pool)
                print()
        if args.unmarked:
            keys = [mark_pattern.KEY, *(f"another {number}" for number in range(1, args.keys))]
            films = films_in(args.unmarked)
            found = false_alarms(films, keys, pool)
            if args.flipped:
                found += false_alarms(films, keys, pool, flipped=True)
            extrapolated(found)
        if args.wrong:
            others = [f"another {number}" for number in range(1, args.keys + 1)]
            extrapolated(false_alarms(films_in(args.wrong), others, pool))


if __name__ == "__main__":
    main()
