"""Animate the first frame of each clip by the clip's own audio, and compare the mouths' openings.

    python scripts/mouth_opening.py CLIPS... [--checkpoint FILE] [--json FILE]

Prints a line a clip and the mean correlation. A still face gives 0.
"""

import argparse
import json
import pathlib

import numpy as np

import avct_jax
from avct_jax.data.faces import face_detector
from avct_jax.data.media import video_io
from avct_jax.metrics import mouth_opening


def main() -> None:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", nargs="+", type=pathlib.Path, help="videos of a speaking face, with sound")
    parser.add_argument("--checkpoint", help="a .safetensors file; the embedded one by default")
    parser.add_argument("--json", type=pathlib.Path, help="where to write the figures")
    arguments = parser.parse_args()
    animator = avct_jax.load(arguments.checkpoint)
    landmarker = face_detector.FaceLandmarker()
    figures = {}
    for clip in arguments.clips:
        real = list(video_io.read_frames(clip))
        made = np.concatenate(list(animator.frames(real[0], clip, still=True)))
        openings = [face_detector.mouth_opening(landmarker.track(x)[0]) for x in (made, real)]
        ratio = float(np.nanstd(openings[0]) / np.nanstd(openings[1]))
        figures[clip.name] = mouth_opening.opening_correlation(*openings), ratio
        print(
            f"{clip.name}  correlation {figures[clip.name][0]:.3f}  spread over real {ratio:.2f}", flush=True
        )
    values = np.array(list(figures.values()))
    print(f"{len(values)} clips: correlation {values[:, 0].mean():.3f}, spread {values[:, 1].mean():.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
