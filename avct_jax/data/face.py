"""Faces in pictures: where they are, and 468 points on them, offline through LiteRT."""

import contextlib
import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from avct_jax.data import face_models

# Indices into the 468 points of MediaPipe's face mesh; left and right are the picture's.
NOSE_TIP, FOREHEAD, CHIN = 1, 10, 152
UPPER_INNER_LIP, LOWER_INNER_LIP = 13, 14
OUTER_MOUTH_CORNERS, INNER_MOUTH_CORNERS = (61, 291), (78, 308)
OUTER_EYE_CORNERS, INNER_EYE_CORNERS = (33, 263), (133, 362)
LEFT_EYELIDS, RIGHT_EYELIDS = (159, 145), (386, 374)  # upper, lower
LEFT_CHEEK, RIGHT_CHEEK = 234, 454  # the face's widest points, at the ears
POINTS = 468

DETECTION_SCORE = 0.4  # MediaPipe has .5; here the landmark network has to agree
PRESENCE_SCORE = 0.5  # of the landmark network: below it the region shows no face
CERTAIN_SCORE = 0.8  # of that network for a new face: a region off by half a face still gets .7
OVERLAP = 0.3  # intersection over union above which two boxes are one face, MediaPipe
REGION_SCALE = 1.5  # region of the landmark network over the face box, MediaPipe
LANDMARK_SIZE = 192  # px, input of the landmark network
SMALLEST_TILE = 128  # px; in one of these the distant network sees faces of SMALLEST_FACE
SMALLEST_FACE = 16  # px; below, letters and leaves pass for faces


class FaceBox(NamedTuple):
    """One detected face.

    score: the detector's, 0 to 1. box: left, top, right, bottom, px. keypoints: the picture's left eye, right
    eye, nose tip, mouth, left ear, right ear; x right, y down, px.
    """

    score: float
    box: Float[np.ndarray, "4"]
    keypoints: Float[np.ndarray, "6 2"]

    @property
    def size(self) -> float:
        """The longer side of the box, px."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))


class Region(NamedTuple):
    """A turned square of a picture: centre and side in px, angle in rad (clockwise as seen)."""

    x: float
    y: float
    size: float
    angle: float


class Landmarks(NamedTuple):
    """MediaPipe's face mesh: x right, y down, in px; z away from the viewer, in the same scale."""

    points: Float[np.ndarray, "468 3"]
    score: float


class Detector(NamedTuple):
    """A BlazeFace network: file, input side in px, (stride, anchors per cell) of each anchor layer."""

    file: str
    size: int
    layers: tuple[tuple[int, int], ...]


SHORT_RANGE = Detector("face_detection_short_range.tflite", 128, ((8, 2), (16, 6)))
FULL_RANGE = Detector("face_detection_full_range_sparse.tflite", 192, ((4, 1),))


class FaceLandmarker:
    """Finds faces and their landmarks; the networks are opened at first use, ~10 ms each.

    An instance pickles as its options, so worker processes open their own networks. Not thread safe.
    """

    def __init__(self, *, num_threads: int = 1):
        self.num_threads = num_threads

    def __reduce__(self):
        return functools.partial(FaceLandmarker, num_threads=self.num_threads), ()

    @functools.cached_property
    def _short(self):
        return _open(SHORT_RANGE.file, self.num_threads)

    @functools.cached_property
    def _full(self):
        return _open(FULL_RANGE.file, self.num_threads)

    @functools.cached_property
    def _mesh(self):
        return _open("face_landmark.tflite", self.num_threads)

    def detect(self, image: UInt8[np.ndarray, "h w 3"], *, thorough: bool = True) -> list[FaceBox]:
        """Return the faces of an RGB picture, the largest first; an empty list where there is none.

        Two networks, for near and distant faces, see the whole picture; where they find nothing it is shown
        with a margin (a face that fills it), then, if `thorough`, in ever smaller tiles. Each find is to be a
        face to the landmark network too: the detectors alone take a coffee cup for one.
        """
        height, width = image.shape[:2]
        side = max(height, width)
        whole = Region(width / 2, height / 2, side, 0.0)
        found = self._confirmed(image, _detect_in(self._short, SHORT_RANGE, image, whole))
        if thorough or not found:
            found = self._confirmed(image, _detect_in(self._full, FULL_RANGE, image, whole), found)
        if not found:
            margin = whole._replace(size=1.6 * side)
            found = self._confirmed(image, _detect_in(self._short, SHORT_RANGE, image, margin))
        if not found and thorough:
            found = self._detect_in_tiles(image)
        return sorted(found, key=lambda face: -face.size)

    def _detect_in_tiles(self, image: UInt8[np.ndarray, "h w 3"]) -> list[FaceBox]:
        for parts in (2, 4, 8):
            size = max(image.shape[:2]) / parts
            if size < SMALLEST_TILE:
                break
            tiles = _tiles(image.shape[0], image.shape[1], size)
            found = [face for tile in tiles for face in _detect_in(self._full, FULL_RANGE, image, tile)]
            if confirmed := self._confirmed(image, _merge(found)):
                return confirmed
        return []

    def _confirmed(
        self, image: UInt8[np.ndarray, "h w 3"], faces: Iterable[FaceBox], known: Sequence[FaceBox] = ()
    ) -> list[FaceBox]:
        """Add to `known` what the landmark network takes for faces, with the exacter boxes of its points."""
        kept = list(known)
        for face in faces:
            found = self._look_twice(image, region_of_box(face))
            if found and found.score > CERTAIN_SCORE:
                exact = _box_of_points(found.points, face.score)
                again = any(_overlap(exact.box, other.box) > OVERLAP for other in kept)
                if exact.size >= SMALLEST_FACE and not again:
                    kept.append(exact)
        return kept

    def landmarks(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        region: Region | FaceBox | None = None,
        *,
        thorough: bool = True,
    ) -> Landmarks | None:
        """Return the 468 points of one face: the one in `region`, or the largest face of the picture.

        None where no face is found.
        """
        if region is None:
            faces = self.detect(image, thorough=thorough)
            if not faces:
                return None
            region = faces[0]
        return self._look_twice(image, region_of_box(region) if isinstance(region, FaceBox) else region)

    def _look_twice(self, image: UInt8[np.ndarray, "h w 3"], region: Region) -> Landmarks | None:
        """Look in the region, then in the one that the first answer gives: it is centred better."""
        first = self._points(image, region)
        if first.score <= PRESENCE_SCORE:
            return None
        second = self._points(image, region_of_points(first.points))
        return second if second.score > PRESENCE_SCORE else None

    def track(
        self, frames: Iterable[UInt8[np.ndarray, "h w 3"]] | UInt8[np.ndarray, "t h w 3"]
    ) -> tuple[Float32[np.ndarray, "t 468 3"], Float32[np.ndarray, "t"]]:
        """Return the points of one face in every frame, and the network's score (0 to 1).

        Each frame is searched where the last one's points were: one network call a frame. Where the face is
        lost it is looked for again; frames without one are NaN with score 0.
        """
        points, scores, found = [], [], None
        for frame in frames:
            found = self.follow(frame, found)
            points.append(found.points if found else np.full((POINTS, 3), np.nan, np.float32))
            scores.append(found.score if found else 0.0)
        return np.asarray(points, np.float32).reshape(-1, POINTS, 3), np.asarray(scores, np.float32)

    def follow(self, image: UInt8[np.ndarray, "h w 3"], before: Landmarks | None) -> Landmarks | None:
        """Return the points of the face that was at `before`, or of the largest where it is lost."""
        found = self._points(image, region_of_points(before.points)) if before else None
        if found is None or found.score <= PRESENCE_SCORE:
            found = self.landmarks(image, thorough=False)
        return found

    def _points(self, image: UInt8[np.ndarray, "h w 3"], region: Region) -> Landmarks:
        patch = cut(image, region, LANDMARK_SIZE, border=cv2.BORDER_REPLICATE)
        raw, presence = _run(self._mesh, patch.astype(np.float32) / 255)
        points = raw.reshape(POINTS, 3) * (region.size / LANDMARK_SIZE)
        points[:, :2] -= region.size / 2
        cos, sin = np.cos(region.angle), np.sin(region.angle)
        x, y = points[:, 0].copy(), points[:, 1].copy()
        points[:, 0] = cos * x - sin * y + region.x
        points[:, 1] = sin * x + cos * y + region.y
        return Landmarks(points, float(_sigmoid(presence.reshape(-1)[-1])))


def region_of_box(face: FaceBox) -> Region:
    """Return the landmark network's region for a face: MediaPipe's square, turned by the eye line."""
    left, top, right, bottom = (float(v) for v in face.box)
    dx, dy = face.keypoints[1] - face.keypoints[0]
    return Region((left + right) / 2, (top + bottom) / 2, REGION_SCALE * face.size, float(np.arctan2(dy, dx)))


def _box_of_points(points: Float[np.ndarray, "468 3"], score: float) -> FaceBox:
    flat = points[:, :2]
    parts = [
        LEFT_EYELIDS,
        RIGHT_EYELIDS,
        NOSE_TIP,
        (UPPER_INNER_LIP, LOWER_INNER_LIP),
        LEFT_CHEEK,
        RIGHT_CHEEK,
    ]
    keypoints = np.stack([flat[np.atleast_1d(part)].mean(0) for part in parts])
    return FaceBox(score, np.concatenate([flat.min(0), flat.max(0)]), keypoints)


def region_of_points(points: Float[np.ndarray, "468 3"]) -> Region:
    """Return the region in which to look for a face again, from its points."""
    left, right = OUTER_EYE_CORNERS
    angle = float(np.arctan2(*(points[right, 1::-1] - points[left, 1::-1])))
    cos, sin = np.cos(angle), np.sin(angle)
    upright = points[:, :2] @ np.array([[cos, -sin], [sin, cos]], points.dtype)
    low, high = upright.min(0), upright.max(0)
    x, y = (low + high) / 2
    size = REGION_SCALE * float((high - low).max())
    return Region(float(cos * x - sin * y), float(sin * x + cos * y), max(size, 1.0), angle)


def mouth_opening(points: Float[np.ndarray, "*t 468 3"]) -> Float[np.ndarray, "*t"]:
    """Return the distance of the inner lips over the height of the face (points 13-14 over 10-152)."""
    flat = points[..., :2]
    lips = np.linalg.norm(flat[..., UPPER_INNER_LIP, :] - flat[..., LOWER_INNER_LIP, :], axis=-1)
    height = np.linalg.norm(flat[..., FOREHEAD, :] - flat[..., CHIN, :], axis=-1)
    return np.asarray(lips / np.maximum(height, 1e-6))


def cut(
    image: UInt8[np.ndarray, "h w 3"], region: Region, size: int, *, border: int = cv2.BORDER_CONSTANT
) -> UInt8[np.ndarray, "s s 3"]:
    """Return a turned square of a picture as `size` x `size` px, without aliasing."""
    scale = size / region.size
    origin_x = origin_y = 0
    factor_x = factor_y = 1.0
    if (
        scale < 0.5
    ):  # warpAffine takes 4 neighbours only: shrink by areas first, no more than the region needs
        reach = 0.75 * region.size  # half the diagonal and some
        origin_x, origin_y = max(0, int(region.x - reach)), max(0, int(region.y - reach))
        image = image[origin_y : max(1, int(region.y + reach)), origin_x : max(1, int(region.x + reach))]
        height, width = image.shape[:2]
        small = (max(1, round(width * 2 * scale)), max(1, round(height * 2 * scale)))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        factor_x, factor_y = small[0] / width, small[1] / height
    cos, sin = np.cos(region.angle) / scale, np.sin(region.angle) / scale
    # Pixel centres lie at .5: out (u + .5) -> picture (x + .5)
    offset = np.array([region.x - origin_x, region.y - origin_y]) + (0.5 - size / 2) * np.array(
        [cos - sin, sin + cos]
    )
    matrix = np.array([[cos, -sin, offset[0]], [sin, cos, offset[1]]]) * [[factor_x], [factor_y]]
    matrix[:, 2] -= 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=border))


def _detect_in(network, detector: Detector, image, region: Region) -> list[FaceBox]:
    patch = cut(image, region, detector.size)
    raw, scores = _run(network, patch.astype(np.float32) / 127.5 - 1)
    scores = _sigmoid(scores.reshape(-1))
    keep = scores > DETECTION_SCORE
    points = raw.reshape(-1, 8, 2)[keep] / detector.size  # centre, size, then six keypoints
    points[:, [0, 2, 3, 4, 5, 6, 7]] += _anchors(detector)[keep][:, None]
    points *= region.size
    corner = np.array([region.x - region.size / 2, region.y - region.size / 2], np.float32)
    faces = []
    for score, point in zip(scores[keep], points, strict=True):
        centre, half = point[0] + corner, point[1] / 2
        if half.min() > 0:
            box = np.concatenate([centre - half, centre + half])
            faces.append(FaceBox(float(score), box, point[2:] + corner))
    return _merge(faces)


@functools.cache
def _anchors(detector: Detector) -> Float32[np.ndarray, "n 2"]:
    """Return the anchors' centres in [0, 1], row by row, as MediaPipe's SSD calculator orders them."""
    layers = []
    for stride, repeats in detector.layers:
        cells = detector.size // stride
        y, x = np.mgrid[:cells, :cells]
        centres = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) / cells
        layers.append(np.repeat(centres, repeats, axis=0))
    return np.concatenate(layers).astype(np.float32)


def _merge(faces: Sequence[FaceBox]) -> list[FaceBox]:
    """Average the boxes that overlap, weighted by score: BlazeFace's blended non-maximum suppression."""
    remaining = sorted(faces, key=lambda face: -face.score)
    merged = []
    while remaining:
        best = remaining[0]
        same = [face for face in remaining if face is best or _overlap(face.box, best.box) > OVERLAP]
        weights = np.array([face.score for face in same], np.float32) / sum(face.score for face in same)
        box = sum(w * face.box for w, face in zip(weights, same, strict=True))
        keypoints = sum(w * face.keypoints for w, face in zip(weights, same, strict=True))
        merged.append(FaceBox(best.score, np.asarray(box), np.asarray(keypoints)))
        kept = {id(face) for face in same}
        remaining = [face for face in remaining if id(face) not in kept]
    return merged


def _overlap(a: Float[np.ndarray, "4"], b: Float[np.ndarray, "4"]) -> float:
    both = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(both / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - both))


def _tiles(height: int, width: int, size: float) -> Iterator[Region]:
    """Yield squares that overlap by half and cover the picture."""
    for y in np.arange(size / 2, max(height, size / 2 + 1), size / 2):
        for x in np.arange(size / 2, max(width, size / 2 + 1), size / 2):
            yield Region(float(x), float(y), float(size), 0.0)


def _open(file: str, num_threads: int):
    with _quiet():
        from ai_edge_litert import interpreter as litert  # 0.3 s to import: only where a face is looked for

        network = litert.Interpreter(model_path=str(face_models.find(file)), num_threads=num_threads)
        network.allocate_tensors()
    return network


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep LiteRT's start-up notices off the terminal: its C++ writes to file descriptor 2 itself."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def _run(network, patch: Float32[np.ndarray, "s s 3"]) -> tuple[np.ndarray, np.ndarray]:
    network.set_tensor(network.get_input_details()[0]["index"], patch[None])
    network.invoke()
    first, second = (network.get_tensor(output["index"]) for output in network.get_output_details())
    return first, second


def _sigmoid(x):
    return 1 / (1 + np.exp(-np.clip(x, -80, 80)))
