"""Make avct_jax/assets/head_motion_bank.npz of a folder of clips: python scripts/make_head_motion_bank.py
CLIPS OUTPUT.

It holds numbers only: how talking people's heads turned and moved around their mean, and how loud they were.
"""

import clip_arguments
import numpy as np
from scipy import ndimage

from avct_jax.data.clips import clip, manifest
from avct_jax.data.faces import face_basis

SECONDS = 75  # frames = 3 s, within which a head's spread is measured
LEAST, MOST = 0.8, 3.2  # degrees: stiller heads teach nothing, wilder ones a portrait cannot follow
FARTHEST = 14.0  # degrees from the mean
FASTEST = 2.2  # degrees a frame: 55 a second; more is a tracker that slipped
SMOOTH = 1.2  # frames: the landmarks' own tremble


def main() -> None:
    """Read the clips and write the bank."""
    arguments = clip_arguments.parse(__doc__)
    found = manifest.read(arguments.clips)
    spreads, motions, voices = [], [], []
    for entry in found.without(arguments.leave_out):
        if entry.person == found.speaker or not entry.audio:
            continue
        one = clip.load(arguments.clips / f"{entry.name}.npz")
        if len(one.score) < SECONDS or (one.score == 0).mean() > 0.02:
            continue
        motion = head_motion(one)
        spreads.append(spread(motion))
        turned = np.degrees(motion[:, :3])
        calm = np.abs(turned).max() < FARTHEST and np.abs(np.diff(turned, axis=0)).max() < FASTEST
        if calm and LEAST < spreads[-1].max() < MOST:
            motions.append(motion)
            voices.append(liveliness(one))
    begins = np.cumsum([0, *map(len, motions)])
    np.savez_compressed(
        arguments.output,
        begins=begins.astype(np.int32),
        motion=np.concatenate(motions).astype(np.float16),
        liveliness=np.concatenate(voices).astype(np.float16),
    )
    print(f"{len(spreads)} talkers, spread within 3 s (median): {np.median(spreads, 0).round(2)} degrees")
    print(f"{len(motions)} stretches, {begins[-1]} frames")


def head_motion(one: clip.Clip) -> np.ndarray:
    """How a head turned (rad) and moved (eye distances) around its mean, (t, 6)."""
    aligned = face_basis.align(one.points.astype(np.float32), face_basis.embedded().canonical)
    return ndimage.gaussian_filter1d(face_basis.head_motion(aligned), SMOOTH, axis=0)


def spread(motion: np.ndarray) -> np.ndarray:
    """Standard deviation of pitch, yaw and roll within 3 s, degrees."""
    parts = [motion[i : i + SECONDS, :3].std(0) for i in range(0, len(motion) - SECONDS + 1, SECONDS)]
    return np.degrees(np.mean(parts, 0))


def liveliness(one: clip.Clip) -> np.ndarray:
    """Loudness in standard deviations of the clip."""
    assert one.audio is not None
    energy = ndimage.gaussian_filter1d(one.audio[..., 0].mean(1).astype(float), 3)
    return (energy - energy.mean()) / (energy.std() + 1e-3)


if __name__ == "__main__":
    main()
