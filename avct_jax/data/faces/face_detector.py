"""Faces in images: where they are, and 478 points on them, by MediaPipe's Face Landmarker v2.

Its detector (BlazeFace, short range) and its landmark network are files in the package, which run in LiteRT:
the fastest way on CPUs. `FaceLandmarker.run_landmark_network` is the one place where that is chosen. The same
network in Flax (face_landmarker.py), jitted, took 1.4 to 2.3 times as long: 7.9 ms a frame beside 5.3
on one core, 7.3 beside 3.2 on two, in batches of 16 no less (2026-11-26, a busy machine,
scripts/benchmarks/face_landmarker.py). models/frozen/face_tracking.py tracks by it on accelerators.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from avct_jax.data.faces import face_box, litert

# Indices into the 478 points of MediaPipe's Face Landmarker v2; left and right are the image's.
NOSE_TIP, FOREHEAD, CHIN = 1, 10, 152
UPPER_INNER_LIP, LOWER_INNER_LIP = 13, 14
OUTER_MOUTH_CORNERS, INNER_MOUTH_CORNERS = (61, 291), (78, 308)
OUTER_EYE_CORNERS, INNER_EYE_CORNERS = (33, 263), (133, 362)
LEFT_EYELIDS, RIGHT_EYELIDS = (159, 145), (386, 374)  # upper, lower
LEFT_CHEEK, RIGHT_CHEEK = 234, 454  # the face's widest points, at the ears
LEFT_IRIS, RIGHT_IRIS = 468, 473  # centres; the four points after each lie on its rim
POINTS = 478  # 468 of the mesh, then 5 of each iris

DETECTION_SCORE = 0.4  # MediaPipe has 0.5; here the landmark network has to agree
PRESENCE_SCORE = 0.5  # of the landmark network: below it the region shows no face
CERTAIN_SCORE = 0.8  # of that network for a new face: a region off by half a face still gets 0.7
CLOSER = 0.87  # second try's side of region: full profiles are refused where more lies around them
# Of the detector, at once or shown the face upright in the middle: 231 portraits have 0.79 and more, a colour
# wheel has 0.67, a cup of coffee 0.48 (2026-11-26).
SURE_SCORE = 0.7
CHECKED_SCALE = 1.3  # side of what the detector is shown then over the landmark network's region
REGION_SCALE = 1.5  # region of the landmark network over the face box, MediaPipe
LANDMARK_SIZE = 256  # px, input of the landmark network
DETECTOR_SIZE = 128  # px, input of the detector
ANCHORS = ((8, 2), (16, 6))  # stride in px and anchors a cell of the detector's two layers
# Side of an image with a margin over its own: of 78 faces cut to 0.7 of their boxes it finds 74, without 69.
MARGIN = 1.6
# The detector sees faces of 0.14 of what it is shown (tried with a face shown ever smaller): so in squares of
# 1/2 of the image's longer side it sees 0.07 of it, in squares of 1/16 0.01.
TILES, SMALL_TILES = 2, (4, 8, 16)  # parts of the longer side
SMALLEST_TILE = 96  # px; in one of these the detector sees faces of SMALLEST_FACE
SMALLEST_FACE = 16  # px; below, letters and leaves pass for faces


FaceBox = face_box.FaceBox


class Region(NamedTuple):
    """A turned square of an image: centre and side in px, angle in rad (clockwise as seen)."""

    x: float
    y: float
    size: float
    angle: float


class Landmarks(NamedTuple):
    """MediaPipe's face mesh: x right, y down, in px; z away from the viewer, in the same scale."""

    points: Float[np.ndarray, "478 3"]
    score: float


class FaceLandmarker:
    """Finds faces and their landmarks; the networks are opened at first use, ~10 ms each.

    An instance pickles as its options, so worker processes open their own networks. Not thread safe.
    """

    def __init__(self, *, num_threads: int = 1):
        self.num_threads = num_threads

    def __reduce__(self):
        return functools.partial(FaceLandmarker, num_threads=self.num_threads), ()

    @functools.cached_property
    def _detector(self):
        return litert.open_network("face_detector.tflite", self.num_threads)

    @functools.cached_property
    def _mesh(self):
        return litert.open_network("face_landmarks_detector.tflite", self.num_threads)

    def detect(self, image: UInt8[np.ndarray, "h w 3"], *, thorough: bool = True) -> list[FaceBox]:
        """Return the faces of an RGB image, the largest first; an empty list where there is none.

        The detector sees the whole image; then, if `thorough` or nothing was found, overlapping squares of
        half of it; where there still is nothing, and `thorough`, ever smaller squares. An image without a
        find is also shown with a margin, for a face that fills it. Each find is to be a face to the landmark
        network too, which the detector has to confirm where it hesitated: either alone takes a coffee cup
        for one.
        """
        height, width = image.shape[:2]
        side = max(height, width)
        whole = Region(width / 2, height / 2, side, 0.0)
        found = self._look_for_faces(image, [whole])
        if not found:
            found = self._look_for_faces(image, [whole._replace(size=MARGIN * side)])
        if thorough or not found:
            found = self._look_for_faces(image, _tiles(height, width, side / TILES), found)
        for parts in SMALL_TILES if thorough else ():
            if not found and side / parts >= SMALLEST_TILE:
                found = self._look_for_faces(image, _tiles(height, width, side / parts))
        return sorted(found, key=lambda face: -face.size)

    def _look_for_faces(
        self, image: UInt8[np.ndarray, "h w 3"], regions: Iterable[Region], known: Sequence[FaceBox] = ()
    ) -> list[FaceBox]:
        """Add to `known` the faces that the detector finds in the regions."""
        found = [face for region in regions for face in _detect_in(self._detector, image, region)]
        new = [face for face in face_box.merge(found) if not face_box.is_among(face, known)]
        return self._confirmed(image, new, known)

    def _confirmed(
        self, image: UInt8[np.ndarray, "h w 3"], faces: Iterable[FaceBox], known: Sequence[FaceBox] = ()
    ) -> list[FaceBox]:
        """Add to `known` what the landmark network takes for faces, with the exacter boxes of its points."""
        kept = list(known)
        for face in faces:
            found = self._look_twice(image, region_of_box(face))
            if found is None:
                continue
            exact = _box_of_points(found.points, face.score)
            new = exact.size >= SMALLEST_FACE and not face_box.is_among(exact, kept)
            if new and self._is_certain(image, found, face.score):
                kept.append(exact)
        return kept

    def _is_certain(self, image: UInt8[np.ndarray, "h w 3"], found: Landmarks, detected: float) -> bool:
        """Do both networks agree? The detector, if it hesitated, sees the face upright in the middle."""
        region = region_of_points(found.points)
        if min(found.score, self._look_closely(image, region).score) <= CERTAIN_SCORE:
            return False
        if detected > SURE_SCORE:
            return True
        scores, centres, _ = _see(self._detector, image, region._replace(size=CHECKED_SCALE * region.size))
        middle = np.abs(centres - 0.5).max(-1) < 0.25
        return bool(scores[middle].max(initial=0) > SURE_SCORE)

    def landmarks(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        region: Region | FaceBox | None = None,
        *,
        thorough: bool = True,
    ) -> Landmarks | None:
        """Return the 478 points of one face: the one in `region`, or the largest face of the image.

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
        second = self._look_closely(image, region_of_points(first.points))
        return second if second.score > PRESENCE_SCORE else None

    def _look_closely(self, image: UInt8[np.ndarray, "h w 3"], region: Region) -> Landmarks:
        """Look in the region; where that shows no face, in a smaller one too, and return the better."""
        found = self._points(image, region)
        if found.score > PRESENCE_SCORE:
            return found
        closer = self._points(image, region._replace(size=CLOSER * region.size))
        return max(found, closer, key=lambda seen: seen.score)

    def track(
        self, frames: Iterable[UInt8[np.ndarray, "h w 3"]] | UInt8[np.ndarray, "t h w 3"]
    ) -> tuple[Float32[np.ndarray, "t 478 3"], Float32[np.ndarray, "t"]]:
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
        found = self._look_closely(image, region_of_points(before.points)) if before else None
        if found is None or found.score <= PRESENCE_SCORE:
            found = self.landmarks(image, thorough=False)
        return found

    def run_landmark_network(
        self, patch: Float32[np.ndarray, "256 256 3"]
    ) -> tuple[Float32[np.ndarray, "478 3"], float]:
        """Return the points, px of the patch, and the logit of a face in an RGB patch in [0, 1]."""
        raw, presence, _ = litert.run(self._mesh, patch)
        return raw.reshape(POINTS, 3), float(presence.reshape(-1)[0])

    def _points(self, image: UInt8[np.ndarray, "h w 3"], region: Region) -> Landmarks:
        patch = cut(image, region, LANDMARK_SIZE, border=cv2.BORDER_REPLICATE)
        raw, presence = self.run_landmark_network(patch.astype(np.float32) / 255)
        points = raw * (region.size / LANDMARK_SIZE)
        points[:, :2] -= region.size / 2
        cos, sin = np.cos(region.angle), np.sin(region.angle)
        x, y = points[:, 0].copy(), points[:, 1].copy()
        points[:, 0] = cos * x - sin * y + region.x
        points[:, 1] = sin * x + cos * y + region.y
        return Landmarks(points, float(_sigmoid(presence)))


def region_of_box(face: FaceBox) -> Region:
    """Return the landmark network's region for a face: MediaPipe's square, turned by the eye line."""
    left, top, right, bottom = (float(v) for v in face.box)
    dx, dy = face.keypoints[1] - face.keypoints[0]
    return Region((left + right) / 2, (top + bottom) / 2, REGION_SCALE * face.size, float(np.arctan2(dy, dx)))


def _box_of_points(points: Float[np.ndarray, "478 3"], score: float) -> FaceBox:
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


def region_of_points(points: Float[np.ndarray, "478 3"]) -> Region:
    """Return the region in which to look for a face again, from its points."""
    left, right = OUTER_EYE_CORNERS
    angle = float(np.arctan2(*(points[right, 1::-1] - points[left, 1::-1])))
    cos, sin = np.cos(angle), np.sin(angle)
    upright = points[:, :2] @ np.array([[cos, -sin], [sin, cos]], points.dtype)
    low, high = upright.min(0), upright.max(0)
    x, y = (low + high) / 2
    size = REGION_SCALE * float((high - low).max())
    return Region(float(cos * x - sin * y), float(sin * x + cos * y), max(size, 1.0), angle)


def mouth_opening(points: Float[np.ndarray, "*t 478 3"]) -> Float[np.ndarray, "*t"]:
    """Return the distance of the inner lips over the height of the face (points 13-14 over 10-152)."""
    flat = points[..., :2]
    lips = np.linalg.norm(flat[..., UPPER_INNER_LIP, :] - flat[..., LOWER_INNER_LIP, :], axis=-1)
    height = np.linalg.norm(flat[..., FOREHEAD, :] - flat[..., CHIN, :], axis=-1)
    return np.asarray(lips / np.maximum(height, 1e-6))


def cut(
    image: UInt8[np.ndarray, "h w 3"], region: Region, size: int, *, border: int = cv2.BORDER_CONSTANT
) -> UInt8[np.ndarray, "s s 3"]:
    """Return a turned square of an image as `size` x `size` px, without aliasing."""
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
    # Pixel centres lie at 0.5: out (u + 0.5) -> image (x + 0.5)
    offset = np.array([region.x - origin_x, region.y - origin_y]) + (0.5 - size / 2) * np.array(
        [cos - sin, sin + cos]
    )
    matrix = np.array([[cos, -sin, offset[0]], [sin, cos, offset[1]]]) * [[factor_x], [factor_y]]
    matrix[:, 2] -= 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=border))


def _detect_in(network, image, region: Region) -> list[FaceBox]:
    """Return the faces that the detector finds in an upright region."""
    scores, centres, offsets = _see(network, image, region)
    corner = np.array([region.x - region.size / 2, region.y - region.size / 2], np.float32)
    faces = []
    for i in np.flatnonzero(scores > DETECTION_SCORE):
        half = offsets[i, 0] / 2 * region.size
        if half.min() > 0:
            centre = centres[i] * region.size + corner
            keypoints = (centres[i] + offsets[i, 1:]) * region.size + corner
            faces.append(FaceBox(float(scores[i]), np.concatenate([centre - half, centre + half]), keypoints))
    return face_box.merge(faces)


def _see(
    network, image: UInt8[np.ndarray, "h w 3"], region: Region
) -> tuple[Float32[np.ndarray, "n"], Float32[np.ndarray, "n 2"], Float32[np.ndarray, "n 7 2"]]:
    """Return the detector's scores (0 to 1), boxes' centres, and from there their sizes and six keypoints.

    All but the scores are shares of the region's side; a row for each anchor.
    """
    patch = cut(image, region, DETECTOR_SIZE)
    raw, logits = litert.run(network, patch.astype(np.float32) / 127.5 - 1)
    values = raw.reshape(-1, 8, 2) / DETECTOR_SIZE  # centre, size, then the keypoints
    values[:, 2:] -= values[:, :1]
    return _sigmoid(logits.reshape(-1)), values[:, 0] + _anchors(), values[:, 1:]


@functools.cache
def _anchors() -> Float32[np.ndarray, "n 2"]:
    """Return the anchors' centres in [0, 1], row by row, as MediaPipe's SSD calculator orders them."""
    layers = []
    for stride, repeats in ANCHORS:
        cells = DETECTOR_SIZE // stride
        y, x = np.mgrid[:cells, :cells]
        centres = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) / cells
        layers.append(np.repeat(centres, repeats, axis=0))
    return np.concatenate(layers).astype(np.float32)


def _tiles(height: int, width: int, size: float) -> Iterator[Region]:
    """Yield squares that overlap by half and cover the image."""
    for y in np.arange(size / 2, max(height, size / 2 + 1), size / 2):
        for x in np.arange(size / 2, max(width, size / 2 + 1), size / 2):
            yield Region(float(x), float(y), float(size), 0.0)


def _sigmoid(x):
    return 1 / (1 + np.exp(-np.clip(x, -80, 80)))
