"""Videos whose grey says how far a mouth is open, and networks that read it: an evaluation without faces."""

import numpy as np

from avct_jax.data.faces import face_detector
from avct_jax.data.media import video_io
from avct_jax.evaluation import video_features
from avct_jax.evaluation.scorers import face_crops
from avct_jax.metrics import syncnet

SIZE, FRAMES = 64, 30
RATE = 16000
LOST = 200  # grey level above which there is no face


def opening(number):
    """A mouth's opening in [0, 1] in each frame."""
    return np.random.default_rng(number).uniform(0, 1, FRAMES)


def write(path, mouth, heard=None, *, lost=()):
    """A video; its audio is as loud as `heard` (else the mouth) is open."""
    levels = 40 + 100 * mouth
    levels[list(lost)] = 250
    frames = np.repeat(levels, SIZE * SIZE * 3).reshape(-1, SIZE, SIZE, 3).astype(np.uint8)
    frames[:, ::8] //= 2
    loud = np.repeat(mouth if heard is None else heard, RATE // 25)
    wave = np.sin(2 * np.pi * 440 * np.arange(len(loud)) / RATE)
    path.parent.mkdir(parents=True, exist_ok=True)
    with video_io.VideoWriter(path, size=SIZE, audio=(0.8 * loud * wave).astype(np.float32)) as writer:
        writer.write(frames)


class Landmarker:
    """Finds a mesh whose lips are as far apart as the frame is bright; counts what it looks at."""

    def __init__(self):
        self.looked = 0
        self.mesh = np.random.default_rng(0).uniform(10, 50, (face_detector.POINTS, 3)).astype(np.float32)
        self.mesh[[face_detector.FOREHEAD, face_detector.CHIN], :2] = (32, 5), (32, 60)
        self.mesh[list(face_detector.OUTER_EYE_CORNERS), :2] = (20, 25), (44, 25)
        self.mesh[face_detector.UPPER_INNER_LIP, :2] = 32, 45

    def follow(self, image, before):
        self.looked += 1
        level = float(np.median(image))
        if level > LOST:
            return None
        points = self.mesh.copy()
        points[face_detector.LOWER_INNER_LIP, :2] = 32, 45 + (level - 40) / 15
        return face_detector.Landmarks(points, 1.0)


class SyncScorer:
    """Lips are embedded by how bright the frame is, speech by how loud it is."""

    key, label = "own", "made up"

    def lips(self, frames, points):
        levels = np.array([np.median(frame) for frame in frames])
        assert len(levels) == len(face_crops.filled(points))
        values = (levels - levels.mean()) / max(levels.std(), 1e-6)
        return np.lib.stride_tricks.sliding_window_view(values, 5).astype(np.float32)

    def speech(self, wav, frames):
        loud = np.abs(wav[: len(wav) // 640 * 640].reshape(-1, 640)).mean(1)
        values = (loud - loud.mean()) / max(loud.std(), 1e-6)
        return np.lib.stride_tricks.sliding_window_view(values, 5)[: frames - 5].astype(np.float32)

    def compare(self, lip, speech):
        count = min(len(lip), len(speech))
        return syncnet.score(lip[:count], speech[:count], max_shift=5)


def networks():
    """Both, and features: a frame's mean and spread."""
    embed = lambda x: {"fid_64": np.stack([x.mean((1, 2, 3)), x.std((1, 2, 3))], 1)}
    return video_features.Scorers(Landmarker(), SyncScorer(), embed, None, {"landmarks": "made up"}, identify)


def identify(frame, points):
    """A face is who it is by how bright it is."""
    return np.full(2, np.median(frame) / 100 if np.isfinite(points).all() else np.nan, np.float32)
