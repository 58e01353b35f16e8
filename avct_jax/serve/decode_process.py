"""The process that decodes one file of a stranger's, see safe_decode.py."""

import json
import pathlib
import resource
import sys
from typing import Any

FILE = 1_500_000_000  # bytes that are written at most: ten minutes of floats at 48 kHz, or a raw image
RATE = 48_000
FILES = 64  # open at once
LONG = "it lasts {:.0f} s; {} s are the most, cut it"


def main() -> None:
    """Do what the first argument says, and print what came of it."""
    task = json.loads(sys.argv[1])
    limits = task["limits"]
    _restrict(int(limits["decode_seconds"]), int(limits["decode_memory"]))
    print(json.dumps(_answer(task, limits)))


def _restrict(seconds: int, memory: int) -> None:
    for what, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, FILE),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _answer(task: dict[str, Any], limits: dict[str, Any]) -> dict[str, Any]:
    from avct_jax import errors
    from avct_jax.animator import notes

    source, target = pathlib.Path(task["source"]), pathlib.Path(task["target"])
    lines: list[str] = []
    try:
        with notes.gathered(lines):
            seconds = {"image": _image, "audio": _audio, "film": _film}[task["kind"]](source, target, limits)
    except errors.UserError as error:
        return {"error": _nameless(str(error), source)}
    return {"seconds": seconds, "notes": [_nameless(line, source) for line in lines]}


def _nameless(line: str, source: pathlib.Path) -> str:
    """A message without the path, which is none of the client's business."""
    for name in (repr(str(source)), str(source)):
        line = line.replace(f"{name}: ", "").replace(name, "the file")
    return " ".join(line.split())


def _image(source: pathlib.Path, target: pathlib.Path, limits: dict[str, Any]) -> float:
    import imageio.v3 as iio

    from avct_jax.data.media import image_io
    from avct_jax.marks import credentials

    iio.imwrite(target, image_io.read_image(source, most=limits["pixels"]), compress_level=1)
    credentials.try_picture(source)  # who reads it later has no limits of time and memory
    return 0.0


def _audio(source: pathlib.Path, target: pathlib.Path, limits: dict[str, Any]) -> float:
    from scipy.io import wavfile

    from avct_jax import errors
    from avct_jax.data.media import container, soundtrack
    from avct_jax.data.speech import pcm

    most = limits["audio_seconds"]
    told = container.probe(source).duration
    if told > most:
        raise errors.UserError(LONG.format(told, most))
    samples = soundtrack.listen(source, sample_rate=RATE).samples
    if len(samples) > most * RATE:  # the file did not say so
        raise errors.UserError(LONG.format(len(samples) / RATE, most))
    wavfile.write(target, RATE, pcm.whole(samples))
    return len(samples) / RATE


def _film(source: pathlib.Path, target: pathlib.Path, limits: dict[str, Any]) -> float:
    from avct_jax import errors
    from avct_jax.data.media import container
    from avct_jax.marks import verification

    size = container.probe(source).size
    if size[0] * size[1] > limits["pixels"]:
        raise errors.UserError(
            f"its pictures are of {size[1]}x{size[0]} px; {limits['pixels']} px are the most"
        )
    target.write_text(json.dumps(verification.verify(source).record), encoding="utf-8")
    return 0.0


if __name__ == "__main__":
    main()
