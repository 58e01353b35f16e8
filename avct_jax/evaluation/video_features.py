"""What is seen and heard in one video: small arrays, enough to measure everything but pixel differences."""

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Int8, UInt8

from avct_jax import errors
from avct_jax.data.faces import face_detector
from avct_jax.data.speech import voice
from avct_jax.evaluation import video_files as videos
from avct_jax.evaluation.scorers import face_crops, face_identity, sync_scorers
from avct_jax.files import atomic_write
from avct_jax.metrics import cpbd, landmarks
from avct_jax.metrics import sharpness as detail_metric

CHUNK = 16  # frames looked at together
FEATURE = "feature_"  # begins the names of image features in a file

Embed = Callable[[UInt8[np.ndarray, "n h w 3"]], Mapping[str, Any]]


class Scorers(NamedTuple):
    """Who looks.

    Attributes:
      embed: features of images by name.
      distance: LPIPS of two blocks of frames, or None.
      identify: whose face it is (identity.load), or None.
    """

    landmarker: face_detector.FaceLandmarker
    sync_scorer: sync_scorers.SyncScorer
    embed: Embed | None = None
    distance: Callable[[Any, Any], Any] | None = None
    labels: Mapping[str, str] = {}
    identify: face_identity.Identify | None = None


class Observation(NamedTuple):
    """A video of t frames.

    Attributes:
      points: landmarks, px, NaN where no face is found.
      sharpness: CPBD of each frame.
      size: height, width, px.
      lip: embeddings of every five frames.
      speech: of the audio behind them (no rows: no audio).
      silent: frames in which nobody speaks.
      features: of each frame, by name.
      identity: whose face every fifth frame shows, NaN where none is found (no rows: nobody looked).
      phonemes: what is said in each frame, where it is known (no rows: it is not).
      detail: of face and mouth in each frame (metrics/sharpness.py), at the real video's size if there is
        one.
      portrait: the same of the image that the video was made of, NaN where there is none.
    """

    points: Float32[np.ndarray, "t 478 3"]
    sharpness: Float32[np.ndarray, " t"]
    size: tuple[int, int]
    lip: Float32[np.ndarray, "n d"]
    speech: Float32[np.ndarray, "m d"]
    silent: Bool[np.ndarray, " u"]
    features: dict[str, Float32[np.ndarray, "t f"]]
    identity: Float32[np.ndarray, "i e"]
    phonemes: Int8[np.ndarray, " p"]
    detail: Float32[np.ndarray, "t 2"]
    portrait: Float32[np.ndarray, " 2"]

    @property
    def opening(self) -> Float[np.ndarray, " t"]:
        """Opening of the mouth over the height of the face, NaN where no face is found."""
        return face_detector.mouth_opening(self.points)


def observe(
    video: videos.Video,
    networks: Scorers,
    real: Observation | None = None,
    tick: Callable[[int], None] = lambda frames: None,
    *,
    needs_face: bool = True,
) -> Observation:
    """Look at a video, twice, without holding more than a few frames.

    Args:
      real: of the video that it should be: a video without any face is judged where that one has its faces.
      tick: is told how many frames have been looked at: videos can be long.
      needs_face: else a video that shows none, without a `real`, goes on without a judgement of its lips.

    Raises:
      UserError: it cannot be read, or shows no face at all and there is no `real`.
    """
    points, sharpness, detail, faces, size = [], [], [], [], (0, 0)
    features: dict[str, list[Any]] = {}
    found = None
    for block in videos.chunks(video.frames(), CHUNK):
        size = block.shape[1:3]
        for frame in block:
            found = networks.landmarker.follow(frame, found)
            points.append(found.points if found else np.full((face_detector.POINTS, 3), np.nan, np.float32))
            grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
            sharpness.append(cpbd.sharpness(grey))
            detail.append(_detail(grey, points[-1], real.size if real else size))
            if networks.identify and (len(points) - 1) % face_identity.EVERY == 0:
                faces.append(networks.identify(frame, points[-1]))
        for name, values in (_embed(networks.embed, block) if networks.embed else {}).items():
            features.setdefault(name, []).append(values)
        tick(len(points))
    if not points:
        raise errors.UserError(f"{video.name} has no frame; leave it out")
    tracked = np.asarray(points, np.float32)
    if real or needs_face or landmarks.found(tracked).any():
        lip = networks.sync_scorer.lips(video.frames(), _places(tracked, size, real))
    else:
        lip = np.zeros((0, 0), np.float32)
    speech, silent = hear(video, networks.sync_scorer, len(tracked), lip.shape[1])
    joined = {name: np.concatenate(parts).astype(np.float32) for name, parts in features.items()}
    known = np.stack(faces) if faces else np.zeros((0, face_identity.SIZE), np.float32)
    said = video.phonemes()
    spoken = np.zeros(0, np.int8) if said is None else said.astype(np.int8)
    sharp, fine = np.asarray(sharpness, np.float32), np.asarray(detail, np.float32)
    portrait = _portrait_detail(video, networks, tracked, max(real.size) / max(size) if real else 1.0)
    return Observation(tracked, sharp, size, lip, speech, silent, joined, known, spoken, fine, portrait)


def _detail(grey, points, size):
    """Of a frame that is scaled to `size` first: details of two scales do not compare."""
    if grey.shape == size:
        return detail_metric.detail(grey, points)
    height, width = grey.shape
    method = cv2.INTER_AREA if size[0] < height else cv2.INTER_CUBIC
    scale = np.array([size[1] / width, size[0] / height, 1], np.float32)
    return detail_metric.detail(cv2.resize(grey, size[::-1], interpolation=method), points * scale)


def _portrait_detail(video, networks, points, scale):
    """Detail of the image that the video was made of, where its face is as large as the video's."""
    unknown = np.full(2, np.nan, np.float32)
    image, seen = video.portrait(), landmarks.found(points)
    if image is None or not seen.any():
        return unknown
    shown = networks.landmarker.follow(image, None)
    if shown is None:
        return unknown
    eyes = scale * float(np.median(landmarks.face_scale(points[seen])))
    return detail_metric.at_scale(image, shown.points, eyes).astype(np.float32)


def _places(points, size, real):
    """Where lips are looked for: losing every face must not spare a system the judge."""
    if real is None or landmarks.found(points).any():
        return points
    kept = np.minimum(np.arange(len(points)), len(real.points) - 1)
    return real.points[kept] * np.float32(max(size) / max(real.size))


def hear(video: videos.Video, sync_scorer: sync_scorers.SyncScorer, frames: int, size: int):
    """Embeddings of a video's audio, and where it is silent."""
    wav = video.audio()
    if wav is None:
        return np.zeros((0, size), np.float32), np.zeros(0, bool)
    return sync_scorer.speech(wav, frames), voice.silent_frames(wav)


def hold_still(seen: Observation, video: videos.Video, sync_scorer: sync_scorers.SyncScorer) -> Observation:
    """What would be seen of the video's first image, shown all along; it is looked at once."""
    count = len(seen.points)
    place = face_crops.filled(seen.points)[:1]
    shown = [videos.first(video.frames())] * sync_scorers.WINDOW
    lip = sync_scorer.lips(shown, np.repeat(place, sync_scorers.WINDOW, 0))
    repeat = lambda x: np.repeat(x[:1], count, axis=0)
    return seen._replace(
        points=repeat(seen.points),
        sharpness=repeat(seen.sharpness),
        detail=repeat(seen.detail),
        lip=np.repeat(lip, len(seen.lip), axis=0),
        features={name: repeat(values) for name, values in seen.features.items()},
        identity=np.repeat(seen.identity[:1], len(seen.identity), axis=0),
    )


def _embed(embed: Embed, block):
    """Features of a block, always of one shape for the compiled network."""
    made = embed(videos.filled(block, CHUNK))
    return {name: np.asarray(values)[: len(block)] for name, values in made.items()}


def save(path: str | os.PathLike, seen: Observation) -> None:
    """Write an observation; the file appears only when it is whole.

    Raises:
      UserError: the folder is missing, full, or not to be written to.
    """
    arrays = {name: value for name, value in seen._asdict().items() if name != "features"}
    arrays |= {FEATURE + name: value for name, value in seen.features.items()}
    with atomic_write.writing(path) as temporary:
        np.savez(temporary, **arrays)


def load(path: str | os.PathLike) -> Observation:
    """Read what `save` wrote; never unpickles."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    features = {n.removeprefix(FEATURE): arrays.pop(n) for n in list(arrays) if n.startswith(FEATURE)}
    height, width = arrays.pop("size").tolist()
    return Observation(**arrays, size=(height, width), features=features)


def features_of(path: str | os.PathLike) -> dict[str, Float32[np.ndarray, "t f"]]:
    """Only the features of images of what `save` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return {n.removeprefix(FEATURE): file[n] for n in file.files if n.startswith(FEATURE)}
