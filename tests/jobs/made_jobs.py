"""Jobs of synthetic voices, and an animator that draws grey."""

import pathlib

import cv2
import numpy as np
import scipy.io.wavfile

from avct_jax.animator import base
from avct_jax.data.media import video_io
from avct_jax.jobs import animation_job
from tests import portraits

RATE = 16000


def voice(seconds, pitch=150.0):
    """Vowels between pauses, of a pitch (Hz)."""
    time = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in range(1, 12))
    return (6000 * tone * (np.sin(2 * np.pi * 1.5 * time) > -0.3)).astype(np.int16)


def job(folder: pathlib.Path, name="one", *, seconds=0.4, pitch=150.0, output=None, **told):
    """A job in a folder, its image and voice made."""
    image, audio = folder / "face.png", folder / f"{name}.wav"
    if not image.exists():
        cv2.imwrite(str(image), portraits.astronaut(256)[0][..., ::-1])
    scipy.io.wavfile.write(audio, RATE, voice(seconds, pitch))
    request = base.Request(**told)
    path = str(output or folder / f"{name}.mp4")
    return animation_job.AnimationJob(str(image), str(audio), path, request=request, place=f"line of {name}")


class ToyAnimator(base.Animator):
    """Draws ten frames as grey as its seed, or refuses."""

    def __init__(self):
        """Begin with nothing animated."""
        self.seeds = []

    def draw(self, portrait, track, clock=None):
        """Yield the frames."""
        yield np.full((10, 64, 64, 3), track % 256, np.uint8)

    def _ready(self, image, audio, request, notes, clock):
        seed = 99 if request.seed is None else request.seed
        self.seeds.append(seed)
        notes.append(f"seed {seed} it is")
        wav = np.zeros(6400, np.float32)
        return base.PreparedAnimation(None, seed, 64, 10, 0.4, wav, seed=request.seed)


def grey(path):
    """The first frame's mean."""
    return next(video_io.read_frames(path)).mean()
