"""Made-up training batches of any size: faces of coloured spots, the same for the same seed."""

import numpy as np

from avct_jax.data.dataset import batch_types

# Somewhere about where landmark_motion.py finds the ten keypoints of a face that fills the image.
FACE = np.array(
    [(0, 0.3), (0, 0.42), (-0.2, 0.36), (0.2, 0.36), (0, 0.75),
     (0, 0.05), (-0.3, -0.15), (0.3, -0.15), (0, -0.5), (0, 0)], np.float32)  # fmt: skip
REST = np.array([0, 0, 0, 0, 0, 250], np.float32)  # rad, mm
MEL = (80, 16)


def variation(seed=0, b=2, *, vary=True, zoom=0.1, turn=0.1, shift=0.05, colour=0.1):
    """Drawn views and colours, every second example mirrored; none of it unless `vary`."""
    rng = np.random.default_rng((seed, 1))
    draw = lambda *limits: np.stack([rng.uniform(-x, x, b) for x in limits], -1).astype(np.float32)
    view, colours = draw(zoom, turn, shift, shift), draw(*[colour] * 4)
    mirrored = np.arange(b) % 2 == 1
    return batch_types.Variation(mirrored & vary, view * vary, colours * np.float32(vary))


def face_motion(seed=0, *lead, spread=0.05):
    """Keypoints about FACE, Jacobians about 1."""
    rng = np.random.default_rng((seed, 2))
    keypoints = FACE + spread * rng.normal(size=(*lead, 10, 2))
    jacobians = np.eye(2) + spread * rng.normal(size=(*lead, 10, 2, 2))
    return batch_types.FaceMotion(keypoints.astype(np.float32), jacobians.astype(np.float32))


def frames(motion, size=64, *, seed=0):
    """Images with a spot of its own colour at each keypoint: (..., 10, 2) -> (..., s, s, 3) uint8."""
    rng = np.random.default_rng((seed, 3))
    axis = np.linspace(-1, 1, size)
    offset = np.stack(np.meshgrid(axis, axis), -1) - motion.keypoints[..., None, None, :]
    spots = np.exp(-np.square(offset).sum(-1) / (2 * 0.08**2))
    background = 0.5 + 0.2 * np.sin(2 * axis + rng.uniform(0, 6, 3)[:, None, None])  # (3, 1, s)
    colours = np.tensordot(spots, rng.uniform(-0.5, 0.5, (10, 3)), ((-3,), (0,)))
    return (255 * np.clip(background.transpose(1, 2, 0) + colours, 0, 1)).astype(np.uint8)


def pairs(seed=0, b=2, n=1, size=64, *, vary=True):
    """For the renderer stage."""
    source, driving = face_motion(seed, b), face_motion(seed + 1, b, n)
    images = (frames(m, size, seed=seed) for m in (source, driving))
    return batch_types.Pairs(*images, source, driving, variation(seed, b, vary=vary))


def sync_windows(seed=0, b=4, size=64, *, vary=True):
    """For the sync stage: every second window has another recording."""
    rng = np.random.default_rng((seed, 4))
    box = np.array([0.2, 0.5, 0.8, 0.9], np.float32) * size
    boxes = box + rng.uniform(-1, 1, (b, 5, 4)).astype(np.float32)
    images = frames(face_motion(seed, b, 5), size, seed=seed)
    mel = rng.uniform(-4, 4, (b, *MEL)).astype(np.float32)
    in_sync = (np.arange(b) % 2 == 0).astype(np.float32)
    return batch_types.SyncWindows(images, boxes, mel, in_sync, variation(seed, b, vary=vary))


def sequences(seed=0, b=2, t=6, radius=5, size=64, *, with_frames=True, vary=True):
    """For the AVCT stage: t frames, and `radius` more on each side."""
    rng = np.random.default_rng((seed, 5))
    n, normal = t + 2 * radius, lambda *shape: rng.normal(size=shape).astype(np.float32)
    moving = face_motion(seed, b, n)
    inner = batch_types.FaceMotion(*(x[:, radius : radius + t] for x in moving))
    portrait = face_motion(seed + 1, b)
    box = np.array([0.2, 0.5, 0.8, 0.9], np.float32) * size
    return batch_types.Sequences(
        portrait=frames(portrait, size, seed=seed),
        portrait_motion=portrait,
        portrait_pose=REST + 0.01 * normal(b, 6),
        rest_motion=face_motion(seed + 2, b),
        rest_pose=REST + 0.01 * normal(b, 6),
        phonemes=rng.integers(0, 41, (b, n)).astype(np.int32),
        audio=normal(b, n, 4, 41),
        silent=(rng.random((b, n)) < 0.2).astype(np.float32),
        poses=REST + 0.05 * normal(b, n, 6),
        motion=moving,
        mel=rng.uniform(-4, 4, (b, t, *MEL)).astype(np.float32),
        boxes=box + rng.uniform(-1, 1, (b, t, 4)).astype(np.float32) if with_frames else None,
        frames=frames(inner, size, seed=seed) if with_frames else None,
        variation=variation(seed, b, vary=vary),
    )


def poses(seed=0, b=2, t=8):
    """For the head-motion stage."""
    rng = np.random.default_rng((seed, 6))
    audio = rng.normal(size=(b, t, 4, 41)).astype(np.float32)
    return batch_types.Poses(audio, (REST + 0.05 * rng.normal(size=(b, t, 6))).astype(np.float32))
