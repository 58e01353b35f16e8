"""A made-up folder as `avct preprocess` leaves it: faces that wander, small images, audio."""

import json

import numpy as np

from avct_jax.data.clips import clip, mel_steps
from avct_jax.data.clips import manifest as clip_manifest
from avct_jax.data.media import video_io
from avct_jax.data.phonemes import symbols

SIZE = 64  # px
SPEAKER = "s1"
MEAN = np.random.default_rng(7).uniform(-0.5, 0.5, (478, 2)).astype(np.float32)
INNER_LIPS = (82, 13, 312)  # of the upper lip; moved up, so that mouths open in time


def images(number, frames, size=SIZE):
    """A wave whose place tells the frame, and whose colour tells the clip."""
    axis = np.linspace(0, 2 * np.pi, size)
    phase = 2 * np.pi * np.arange(frames)[:, None] / 11
    wave = 0.5 + 0.3 * np.sin(axis + phase)[:, None, :, None] + 0.15 * np.cos(axis)[:, None, None]
    colour = np.random.default_rng(number).uniform(0.4, 1, 3)
    return (255 * np.clip(wave * colour, 0, 1)).astype(np.uint8)


def columns(number, person, frames, *, audio=True, in_sync=True):
    """A mean face that wanders right and opens its mouth; the first frame's face is interpolated."""
    time = np.arange(frames)
    moved = MEAN[None] + 0.02 * number + 0.001 * time[:, None, None]
    moved[:, INNER_LIPS, 1] -= 0.1 + 0.1 * np.sin(time / 3)[:, None]
    points = np.concatenate([moved, np.zeros((frames, 478, 1))], -1).astype(np.float16)
    poses = (100 * number + time[:, None] + np.arange(6) / 10).astype(np.float32)
    boxes = np.tile(np.float32([16, 32, 48, 60]), (frames, 1)) + time[:, None].astype(np.float32) / 8
    made = clip.Clip(points, (time > 0).astype(np.float32), poses, boxes, person)
    if not audio:
        return made
    heard = np.tile(time[:, None, None] + 1 + 100 * number, (1, 4, 41)).astype(np.float32)
    # A frame's window begins with a step that tells the frame.
    steps = np.ceil(np.arange(mel_steps.longest(frames)) * video_io.FRAME_RATE / mel_steps.RATE)
    mel = np.tile(steps[:, None] / 16 - 2, (1, 80)).astype(np.float16)
    said = np.where(time < 8, symbols.SIL, 5).astype(np.int8)
    return made._replace(
        audio=heard, mel=mel, phonemes=said, recognised=(said + 1).astype(np.int8), silent=time < 6,
        offset=0.0, in_sync=in_sync,
    )  # fmt: skip


def make(folder, *, people=6, own=6, frames=30, size=SIZE):
    """Write clips of `people` others, every second one with audio, and `own` of the speaker's.

    Held out are person1, and the speaker's clip 1. One more person's audio is out of sync.
    """
    listed = []
    plans = [(f"id_{i}", f"person{i}", i % 2 == 0, True, i == 1) for i in range(people)]
    plans += [("late_0", "late", True, False, False)]
    plans += [(f"s1_{i}", SPEAKER, True, True, i == 1) for i in range(own)]
    for number, (name, person, audio, in_sync, test) in enumerate(plans):
        length = frames + number % 3
        made = columns(number, person, length, audio=audio, in_sync=in_sync)
        clip.save(folder / f"{name}.npz", made)
        with video_io.VideoWriter(folder / f"{name}.mp4", size=size) as writer:
            writer.write(images(number, length, size))
        split = {"person": person, "split": "test" if test else "train", "source": f"{name}.mpg"}
        split["video_bytes"] = (folder / f"{name}.mp4").stat().st_size
        place = {"begin_s": 0, "end_s": length / 25, "frames": length}
        heard = {"audio": audio, "offset": 0 if audio else None, "in_sync": audio and in_sync}
        listed.append({"name": name, **split, **place, **heard})
    manifest = {
        "version": clip_manifest.VERSION,
        "speaker": SPEAKER,
        "clips": listed,
        "refused": [],
        "counts": {},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    np.save(folder / "mean_face.npy", MEAN)
    return folder
