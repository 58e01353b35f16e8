"""Stretches of a video that show one steady face: what becomes a clip.

Frames are seen once, in order, and no more of them are remembered than a clip is long.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from avct_jax.data.clips import shots
from avct_jax.data.faces import face_detector

MOST_GAP = 5  # frames = 0.2 s without a face that are filled in
JUMP, GROWTH = 0.4, 0.3  # of the face's size, and of its log size, from one frame to the next: another face
OTHERS_EVERY = 12  # frames, between looks at whether a larger face has come
LARGER = 1.3  # times the followed face's size, at two looks in succession: follow that one


class FrameFace(NamedTuple):
    """What a frame shows;

    Attributes:
      points: px, NaN with score 0 where no face is.
    """

    frame: int
    points: Float32[np.ndarray, "478 3"]
    score: float


class FaceTrack(NamedTuple):
    """Frames `begin` to `begin` + t of a video, with one face or none.

    Attributes:
      points: px; frames in between without a face are filled in, with score 0. None where no face is seen.
    """

    begin: int
    frames: int
    points: Float32[np.ndarray, "t 478 3"] | None
    score: Float32[np.ndarray, " t"] | None


class Watch:
    """Follows the largest face from frame to frame."""

    def __init__(self, landmarker: face_detector.FaceLandmarker):
        self._landmarker = landmarker
        self._found: face_detector.Landmarks | None = None
        self._before: shots.Look | None = None
        self._changes: deque[shots.Change] = deque(maxlen=shots.AROUND)
        self._count, self._rival = 0, False

    def see(self, frame: UInt8[np.ndarray, "h w 3"]) -> tuple[shots.Change, FrameFace]:
        """Look at the next frame."""
        now = shots.look(frame)
        change = shots.change(self._before, now) if self._before else shots.STILL
        before = self._found
        if shots.suspect(self._changes, change) and len(self._changes) > 1:
            self._found, self._rival = None, False  # what the region now shows may be half a face
        self._found = self._landmarker.follow(frame, self._found)
        if self._found and self._count % OTHERS_EVERY == 0:
            self._prefer_larger(frame)
        moved = way(before.points, self._found.points) if before and self._found else 0.0
        change = change._replace(face=moved)
        self._before, self._count = now, self._count + 1
        self._changes.append(change)
        if self._found is None:
            lost = np.full((face_detector.POINTS, 3), np.nan, np.float32)
            return change, FrameFace(self._count - 1, lost, 0.0)
        return change, FrameFace(self._count - 1, self._found.points.astype(np.float32), self._found.score)

    def _prefer_larger(self, frame: UInt8[np.ndarray, "h w 3"]) -> None:
        assert self._found is not None
        faces = self._landmarker.detect(frame, thorough=False)
        mine = size_of(self._found.points)
        rival = next((f for f in faces if f.size > LARGER * mine), None)
        if rival is not None and self._rival:
            self._found = self._landmarker.landmarks(frame, rival) or self._found
        self._rival = rival is not None and not self._rival


def size_of(points: Float32[np.ndarray, "478 3"]) -> float:
    """The longer side of a face's box, px."""
    return max(float(np.ptp(points[:, :2], axis=0).max()), 1.0)


def way(before: Float32[np.ndarray, "478 3"], now: Float32[np.ndarray, "478 3"]) -> float:
    """How far the landmarks went, on average, over the face's size."""
    return float(np.linalg.norm(now[:, :2] - before[:, :2], axis=-1).mean()) / size_of(now)


def find_tracks(
    frames: Iterable[UInt8[np.ndarray, "h w 3"]],
    landmarker: face_detector.FaceLandmarker,
    *,
    longest: int,
    shortest: int,
) -> Iterator[FaceTrack]:
    """Divide a video at its cuts, where the face is lost, and where another face is followed.

    Args:
      longest: frames; longer stretches are divided.
      shortest: no division leaves fewer frames than this.

    Yields:
      Stretches in order, those without a face too; they cover the video.
    """
    watch = Watch(landmarker)
    run: list[FrameFace] = []
    for cut, seen in shots.mark_cuts(watch.see(frame) for frame in frames):
        face_came = bool(run and seen.score) and not _has_face(run)
        if run and (cut or face_came or _is_another(run, seen)):
            yield from _finish(run, longest, shortest)
            run = []
        run.append(seen)
        if not _has_face(run[-MOST_GAP - 1 :]) and _has_face(run) and len(run) > MOST_GAP:
            kept = _without_tail(run)
            yield from _finish(kept, longest, shortest)
            run = run[len(kept) :]
        if len(run) >= longest + shortest:
            yield _track(run[:longest])
            run = run[longest:]
    yield from _finish(run, longest, shortest)


def _has_face(run: list[FrameFace]) -> bool:
    return any(seen.score for seen in run)


def _is_another(run: list[FrameFace], seen: FrameFace) -> bool:
    """Whether the face has gone farther, or grown more, than a head can since it was last seen."""
    last = next((s for s in reversed(run) if s.score), None)
    if last is None or not seen.score:
        return False
    was, now = size_of(last.points), size_of(seen.points)
    step = np.linalg.norm((seen.points - last.points)[:, :2].mean(0)) / was
    slack = 1 + 0.2 * (seen.frame - last.frame - 1)
    return bool(step > JUMP * slack or abs(np.log(now / was)) > GROWTH * slack)


def _without_tail(run: list[FrameFace]) -> list[FrameFace]:
    """Leave out the frames at the end that have no face."""
    end = len(run)
    while end and not run[end - 1].score:
        end -= 1
    return run[:end]


def _finish(run: list[FrameFace], longest: int, shortest: int) -> Iterator[FaceTrack]:
    """What ends here: less than longest + shortest, so both halves are long enough; then what has no face."""
    faced = _without_tail(run)
    half = len(faced) // 2 if len(faced) > longest else 0
    for part in (faced[:half], faced[half:], run[len(faced) :]):
        if part:
            yield _track(part)


def _track(run: list[FrameFace]) -> FaceTrack:
    if not _has_face(run):
        return FaceTrack(run[0].frame, len(run), None, None)
    points = fill_gaps(np.stack([seen.points for seen in run]))
    return FaceTrack(run[0].frame, len(run), points, np.array([seen.score for seen in run], np.float32))


def fill_gaps(points: Float32[np.ndarray, "t 478 3"]) -> Float32[np.ndarray, "t 478 3"]:
    """Draw straight lines through frames that are NaN; the ends are repeated."""
    found = np.isfinite(points[:, 0, 0])
    if found.all() or not found.any():
        return points
    known, frames = np.flatnonzero(found), np.arange(len(points))
    right = np.clip(np.searchsorted(known, frames), 1 if len(known) > 1 else 0, len(known) - 1)
    left = np.maximum(right - 1, 0)
    span = np.maximum(known[right] - known[left], 1)
    share = np.clip((frames - known[left]) / span, 0, 1).astype(np.float32)[:, None, None]
    return points[known[left]] * (1 - share) + points[known[right]] * share
