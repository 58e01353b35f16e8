"""A film that is to be redubbed: watched to find its face, then read in the order that the sound needs."""

import itertools
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy import ndimage

from avct_jax import errors
from avct_jax.animator import options
from avct_jax.animator.framing import whole_picture
from avct_jax.data.clips import face_tracks
from avct_jax.data.faces import face_basis, muted_face
from avct_jax.data.media import video_io

LONGEST = 1 << 30  # frames: a stretch ends where another face or none is seen
LEAST_FACE = 32  # px, of a face whose lips are redrawn
BACK = 250  # frames = 10 s at most, over which a film that is too short goes back and forth
BLOCK_BYTES = 1 << 28  # of frames that are kept to be shown backwards

log = logging.getLogger(__name__)


class FilmStretch(NamedTuple):
    """Frames `begin` and on, which show one face."""

    begin: int
    face: muted_face.MutedFace


class Film(NamedTuple):
    """What was seen.

    Attributes:
      size: height and width that are read, even.
      frames: at 25 frames/s.
      stretches: in order; other frames show no face.
    """

    path: str
    size: tuple[int, int]
    frames: int
    stretches: tuple[FilmStretch, ...]

    def find(self, frame: int) -> tuple[FilmStretch, int] | None:
        """Return the stretch that a frame lies in, and where in it."""
        for stretch in self.stretches:
            if 0 <= (index := frame - stretch.begin) < len(stretch.face.points):
                return stretch, index
        return None


def watch(path: options.Path, landmarker: Any, *, most: int) -> Film:
    """Follow the largest face of a film.

    Args:
      path: of a video.
      landmarker: such as face_detector.FaceLandmarker.
      most: frames that are needed; later ones are not looked at.

    Raises:
      UserError: it cannot be read, or shows no face.
    """
    name = repr(os.fspath(path))
    size = fitted_size(video_io.probe(path).size)
    frames = itertools.islice(read(path, size), most)
    stretches, count = [], 0
    for track in face_tracks.find_tracks(frames, landmarker, longest=LONGEST, shortest=1):
        count = track.begin + track.frames
        if track.points is not None and face_tracks.size_of(track.points[0]) >= LEAST_FACE:
            stretches.append(FilmStretch(track.begin, muted_face.mute(track.points, face_basis.embedded())))
    if not stretches:
        raise errors.UserError(f"no face was found in {name}; use a film that shows one from the front")
    film = Film(os.fspath(path), size, count, tuple(stretches))
    without = [i for i in range(count) if film.find(i) is None]
    if without:
        log.warning(
            "%d of %d frames of %s show no face, the first at %.2f s: they stay as they are",
            len(without), count, name, without[0] / video_io.FRAME_RATE,
        )  # fmt: skip
    return film


def fitted_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width that a film is read with: even, and no more than players show."""
    return whole_picture.fitted(np.broadcast_to(np.uint8(0), (*size, 3))).shape[:2]


def read(path: options.Path, size: tuple[int, int]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield a film's frames, 25 a second, less an odd row and column."""
    height, width = size
    given = video_io.probe(path).size
    scaled = None if max(given[0] - height, given[1] - width) <= 1 else size
    for frame in video_io.read_frames(path, size=scaled):
        yield np.ascontiguousarray(frame[:height, :width])


def calmed(points: Float[np.ndarray, "t 478 3"], frames: float) -> Float[np.ndarray, "t 478 3"]:
    """Average over neighbouring frames; `frames`: standard deviation."""
    return ndimage.gaussian_filter1d(points, frames, axis=0, mode="nearest")


def order(film: Film, count: int) -> Int[np.ndarray, " n"]:
    """Return which frame of a film is shown in each of `count`.

    A film that is too short goes back and forth over its end: the last stretch, 10 s at most. Nothing jumps,
    as it would from the end to the beginning, and nobody freezes, as on a frame that is held.
    """
    frames = np.arange(min(film.frames, count))
    if count <= film.frames:
        return frames
    begin = max(film.frames - BACK, film.stretches[-1].begin, 0)
    begin = begin if begin < film.frames - 1 else max(film.frames - BACK, 0)
    span = film.frames - 1 - begin
    if span < 1:
        return np.minimum(np.arange(count), film.frames - 1)
    more = np.arange(1, count - film.frames + 1)
    back = span - np.abs(more % (2 * span) - span)
    return np.concatenate([frames, film.frames - 1 - back])


def in_order(
    film: Film, wanted: Sequence[int] | Int[np.ndarray, " n"]
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yield frames of a film in an order that goes by steps of one, forward or backward.

    Backward it is decoded anew for every BLOCK_BYTES.
    """
    wanted = np.asarray(wanted)
    most = max(1, BLOCK_BYTES // (film.size[0] * film.size[1] * 3))
    begin = 0
    while begin < len(wanted):
        end = begin + 1
        step = int(wanted[end] - wanted[begin]) if end < len(wanted) else 1
        while end < len(wanted) and wanted[end] - wanted[end - 1] == step:
            end += 1
        run = wanted[begin:end]
        if step == 1:
            yield from itertools.islice(read(film.path, film.size), int(run[0]), int(run[-1]) + 1)
        for part in range(0, len(run), most) if step == -1 else ():
            high, low = int(run[part]), int(run[min(part + most, len(run)) - 1])
            yield from reversed(list(itertools.islice(read(film.path, film.size), low, high + 1)))
        if step == 0:
            (frame,) = itertools.islice(read(film.path, film.size), int(run[0]), int(run[0]) + 1)
            yield from itertools.repeat(frame, len(run))
        begin = end
