"""Make the README's moving picture: the demo's film as an animated WebP.

    python scripts/make_demo_picture.py OUTPUT [--film demo.mp4] [--size 288] [--quality 60]

Without --film the demo is animated first, by the package's own weights.
"""

import argparse
import pathlib
import subprocess
import tempfile

import imageio_ffmpeg

import avct_jax
from avct_jax import demo


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=pathlib.Path, help="the .webp file")
    parser.add_argument("--film", type=pathlib.Path, help="what `avct demo` made")
    parser.add_argument("--size", type=int, default=288, help="side, px (default: 288)")
    parser.add_argument("--quality", type=int, default=60, help="WebP's, 0 to 100 (default: 60)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        film = arguments.film or animate(pathlib.Path(folder) / "demo.mp4")
        compress(film, arguments.output, size=arguments.size, quality=arguments.quality)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.2f} MB")


def animate(film: pathlib.Path) -> pathlib.Path:
    """Make the demo's film."""
    with demo.sentence() as sentence:
        avct_jax.load().animate(demo.portrait(), sentence, film, transcript=demo.transcript())
    return film


def compress(film: pathlib.Path, output: pathlib.Path, *, size: int, quality: int) -> None:
    """Write every frame of a film into an endless WebP."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", "-i", str(film), "-an"]
    command += ["-vf", f"scale={size}:{size}:flags=lanczos", "-c:v", "libwebp_anim"]
    subprocess.run([*command, "-quality", str(quality), "-loop", "0", str(output)], check=True)


if __name__ == "__main__":
    main()
