"""A small film that moves, marked or not."""

import cv2
import numpy as np

from avct_jax.data.media import video_io
from avct_jax.marks import mark_detector, mark_payload, watermark

PAYLOAD = mark_payload.MarkPayload(installation=0xBEEF42, hours=8000)
SIDE, COUNT = 256, 100


def frames(count=COUNT, size=(SIDE, SIDE)):
    """A textured head that sways before a plain wall."""
    rng, (height, width) = np.random.default_rng(0), size
    texture = cv2.GaussianBlur(rng.normal(0, 60, (height, width, 3)).astype(np.float32), (0, 0), 2) * 3
    y, x = np.mgrid[:height, :width]
    head = (((x - width / 2) / (0.3 * width)) ** 2 + ((y - height / 2) / (0.4 * height)) ** 2 < 1)[..., None]
    made = []
    for index in range(count):
        move = np.float32([[1, 0, 3 * np.sin(index / 9)], [0, 1, 2 * np.cos(index / 7)]])
        face = np.where(head, 140 + texture, 90 + 0.1 * x[..., None])
        made.append(
            cv2.warpAffine(face.astype(np.float32), move, (width, height), borderMode=cv2.BORDER_REPLICATE)
        )
    return np.stack(made).clip(0, 255).astype(np.uint8)


def marked(shown, payload=PAYLOAD, step=16):
    """The same with the mark, taken in blocks."""
    mark = watermark.Watermark(payload)
    return np.concatenate([mark(shown[begin : begin + step]) for begin in range(0, len(shown), step)])


def look_for_none(monkeypatch):
    """Have `avct verify` find no watermark, at no cost: where only credentials are looked at."""
    none = mark_detector.MarkReading(False, None, 0.0, None, 0.0)
    monkeypatch.setattr(mark_detector, "read", lambda path: none)


def write(path, shown):
    """Write it; returns the path."""
    with video_io.VideoWriter(path, size=shown.shape[1:3]) as writer:
        writer.write(shown)
    return path
