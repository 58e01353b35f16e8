"""Videos to show: images in rows, videos side by side, all small enough to lie inside a page."""

import base64
import contextlib
import itertools
import os
import pathlib
import tempfile
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from avct_jax import errors
from avct_jax.data.media import video_io
from avct_jax.evaluation import evaluate, result_cache, video_files

SIDE = 256  # px, of a panel
LABEL = 24  # px, above it
COLUMNS = 6  # moments in a contact sheet
JPEG = 85  # quality
INK, PAPER = (40, 40, 40), 245


class VideoSample(NamedTuple):
    """One video in all its forms.

    videos: of the real one first, by system. openings: of the mouth, frame by frame, by system; None: no
      face.
    """

    name: str
    videos: dict[str, pathlib.Path]
    openings: dict[str, list[float | None]]


def choose(
    report: Mapping[str, Any],
    generated: Mapping[str, str | os.PathLike],
    real: str | os.PathLike | None,
    output: str | os.PathLike,
    most: int,
) -> list[VideoSample]:
    """Some videos that every system has figures of, evenly chosen.

    Args:
      real: None where the videos have no real ones of their names.
    """
    folders = {system: video_files.find(folder) for system, folder in generated.items()}
    folders = {evaluate.TRUTH: video_files.find(real), **folders} if real is not None else folders
    systems = list(folders)
    figures = {s["key"]: s["per_video"] for s in report["systems"]}
    first = sorted(figures[systems[0]]) if systems else []
    names = [name for name in first if all(name in figures[system] for system in systems)]
    kept = result_cache.Store(pathlib.Path(output) / evaluate.FOLDER)
    return [
        VideoSample(
            name,
            {system: folders[system][name] for system in systems},
            {system: kept.openings(system, name) for system in systems},
        )
        for name in evaluate.choose(names, most)
    ]


def side_by_side(sample: VideoSample) -> bytes:
    """An MP4 of the portrait and all videos of a sample beside each other, with the real video's audio."""
    with contextlib.ExitStack() as stack:
        readers = [stack.enter_context(contextlib.closing(_frames(path))) for path in sample.videos.values()]
        titles = ["portrait", *("real" if s == evaluate.TRUTH else s for s in sample.videos)]
        size = (SIDE + LABEL, SIDE * len(titles))
        return _encoded(_panels(readers, titles), size, next(iter(sample.videos.values())))


def alone(path: pathlib.Path) -> bytes:
    """One video as MP4, as large as a panel, nothing written on it."""
    with contextlib.closing(_frames(path)) as frames:
        return _encoded(frames, (SIDE, SIDE), path)


def contact_sheet(sample: VideoSample) -> bytes:
    """A JPEG: a row for each system, moments evenly spread over the real video."""
    count = sum(1 for _ in _frames(next(iter(sample.videos.values()))))
    moments = sorted({i * (count - 1) // max(1, COLUMNS - 1) for i in range(COLUMNS)})
    rows = [_row(path, moments) for path in sample.videos.values()]
    image = cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG])[1].tobytes()


def data_uri(kind: str, content: bytes) -> str:
    """`content` as it stands in a page."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _frames(path) -> Generator[UInt8[np.ndarray, "h w 3"], None, None]:
    return video_io.read_frames(path, size=SIDE)


def _row(path, moments):
    """Images at given frames; a video that is shorter ends in grey."""
    found = {}
    with contextlib.closing(_frames(path)) as frames:
        for i, frame in enumerate(itertools.islice(frames, moments[-1] + 1)):
            if i in moments:
                found[i] = frame
    grey = np.full((SIDE, SIDE, 3), 128, np.uint8)
    return np.concatenate([found.get(i, grey) for i in moments], axis=1)


def _panels(readers, titles):
    """The portrait is the first reader's first frame; the shortest video ends the whole."""
    bar = np.concatenate([_title(title) for title in titles], axis=1)
    portrait = None
    for frames in zip(*readers, strict=False):
        portrait = frames[0] if portrait is None else portrait
        yield np.concatenate([bar, np.concatenate([portrait, *frames], axis=1)])


def _title(text):
    bar = np.full((LABEL, SIDE, 3), PAPER, np.uint8)
    shown = text.encode("ascii", "replace").decode()[:28]
    return cv2.putText(bar, shown, (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)


def _encoded(frames, size, heard) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "video.mp4"
        audio = heard if video_io.probe(heard).has_audio else None
        with video_io.VideoWriter(path, size=size, audio=audio) as writer:
            for frame in frames:
                writer.write(frame)
        if not path.exists():
            raise errors.UserError(f"{heard} has no frame to show; leave it out")
        return path.read_bytes()
