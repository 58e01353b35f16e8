"""Make the README's moving image: the demo's video as an animated WebP.

    python scripts/make_demo_image.py OUTPUT [--video demo.mp4] [--size 288] [--quality 60]

Without --video the demo is animated first, by the package's own weights.
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
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=pathlib.Path, help="the .webp file")
    parser.add_argument("--video", type=pathlib.Path, help="what `avct demo` made")
    parser.add_argument("--size", type=int, default=288, help="side, px (default: 288)")
    parser.add_argument("--quality", type=int, default=60, help="WebP's, 0 to 100 (default: 60)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = arguments.video or animate(pathlib.Path(folder) / "demo.mp4")
        compress(video, arguments.output, size=arguments.size, quality=arguments.quality)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.2f} MB")


def animate(video: pathlib.Path) -> pathlib.Path:
    """Make the demo's video."""
    with demo.sentence() as sentence, demo.phonemes() as phonemes:
        avct_jax.load().animate(demo.portrait(), sentence, video, phonemes=phonemes)
    return video


def compress(video: pathlib.Path, output: pathlib.Path, *, size: int, quality: int) -> None:
    """Write every frame of a video into an endless WebP."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", "-i", str(video), "-an"]
    command += ["-vf", f"scale={size}:{size}:flags=lanczos", "-c:v", "libwebp_anim"]
    subprocess.run([*command, "-quality", str(quality), "-loop", "0", str(output)], check=True)


if __name__ == "__main__":
    main()
