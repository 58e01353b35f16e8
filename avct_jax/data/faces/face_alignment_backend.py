"""The other source of landmarks: the face_alignment package's 68 points, numbered as face_detector.py's."""

import importlib.util
import os
import pathlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Float32, UInt8

from avct_jax import errors
from avct_jax.data.faces import face_detector

# face_alignment's files, loaded by torch hub at first use (https://www.adrianbulat.com/downloads/python-fan/).
WEIGHTS = ("s3fd-619a316812.pth", "2DFAN4-11f355bf06.pth.tar")
# The mesh point nearest to each of Multi-PIE's 68: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, lips 48-67.
MESH = (
    *(127, 93, 58, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 288, 323, 356),
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
    *(168, 197, 5, 4, 98, 97, 2, 326, 327),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 81, 13, 311, 308, 402, 14, 178),
)
NOSE_BRIDGE, UNDER_NOSE = 168, 2
FOREHEAD_RATIO = (
    0.935  # (forehead - bridge) / (bridge - under the nose) of pose.HEAD; the 68 have no forehead
)


class FaceAlignmentLandmarker:
    """Has the methods of face.FaceLandmarker; points beyond the 68, and every depth, are NaN."""

    def __init__(self, *, device: str = "cpu"):
        """Open the networks.

        Raises:
          UserError: the package, torch, or the weight files are missing and cannot be fetched.
        """
        try:
            import face_alignment  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise _missing(str(error.name)) from None
        try:
            kind = face_alignment.LandmarksType.TWO_D
            self._network = face_alignment.FaceAlignment(kind, device=device, flip_input=False)
        except OSError as error:  # URLError is one: the files are downloaded at first use
            raise errors.UserError(
                f"face_alignment's weights could not be fetched ({error}); put {' and '.join(WEIGHTS)} "
                f"into {_weights_folder()}, or leave out --landmarks face-alignment"
            ) from None

    def detect(
        self, image: UInt8[np.ndarray, "h w 3"], *, thorough: bool = True
    ) -> list[face_detector.FaceBox]:
        """Return the faces of an image, the largest first; their keypoints are not known (NaN)."""
        boxes = self._network.face_detector.detect_from_image(image.copy())
        unknown = np.full((6, 2), np.nan, np.float32)
        found = [
            face_detector.FaceBox(float(box[4]), np.asarray(box[:4], np.float32), unknown) for box in boxes
        ]
        return sorted(found, key=lambda one: -one.size)

    def landmarks(
        self,
        image: UInt8[np.ndarray, "h w 3"],
        region: face_detector.FaceBox | None = None,
        *,
        thorough: bool = True,
    ) -> face_detector.Landmarks | None:
        """Return the points of the face in `region`, or of the largest; None where there is no face."""
        faces = [region] if region else self.detect(image)
        if not faces:
            return None
        boxes = [[*map(float, faces[0].box), faces[0].score]]
        points = self._network.get_landmarks_from_image(image, detected_faces=boxes)
        return face_detector.Landmarks(to_mesh(np.asarray(points[0])), faces[0].score) if points else None

    def track(
        self, frames: Iterable[UInt8[np.ndarray, "h w 3"]] | UInt8[np.ndarray, "t h w 3"]
    ) -> tuple[Float32[np.ndarray, "t 478 3"], Float32[np.ndarray, "t"]]:
        """Return points and scores of every frame's largest face; frames without one are NaN with score 0."""
        none = face_detector.Landmarks(np.full((face_detector.POINTS, 3), np.nan, np.float32), 0.0)
        found = [self.landmarks(frame) or none for frame in frames]
        points = np.asarray([one.points for one in found], np.float32).reshape(-1, face_detector.POINTS, 3)
        return points, np.asarray([one.score for one in found], np.float32)


def check_installed() -> None:
    """Look for the package without importing it: torch takes seconds.

    Raises:
      UserError: it is missing.
    """
    if importlib.util.find_spec("face_alignment") is None:
        raise _missing("face_alignment")


def _missing(package: str) -> errors.UserError:
    return errors.UserError(
        f"--landmarks face-alignment needs the package {package}; run `pip install "
        "avct-jax[face-alignment]`, or leave the option out for the built-in landmarks"
    )


def to_mesh(points: Float[np.ndarray, "68 d"]) -> Float32[np.ndarray, "478 3"]:
    """Number 68 points (px) as face_detector.py does: crops, poses and mouth openings serve for both.

    The forehead is put where a mean head has it; other points of the mesh, and all depths, are NaN.
    """
    mesh = np.full((face_detector.POINTS, 3), np.nan, np.float32)
    mesh[list(MESH), :2] = points[:, :2]
    bridge, under = mesh[NOSE_BRIDGE], mesh[UNDER_NOSE]
    mesh[face_detector.FOREHEAD] = bridge + FOREHEAD_RATIO * (bridge - under)
    return mesh


def _weights_folder() -> pathlib.Path:
    home = (
        os.environ.get("TORCH_HOME") or pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"
    )
    return pathlib.Path(home).expanduser() / "hub" / "checkpoints"
