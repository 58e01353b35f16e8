"""The files of MediaPipe's networks that the package carries: faces, landmarks, persons (see NOTICE)."""

import functools
import hashlib
import pathlib

from avct_jax import errors

ASSETS = pathlib.Path(__file__).parents[2] / "assets"
FOLDERS = {
    "face_detector.tflite": "face_landmarker",
    "face_landmarks_detector.tflite": "face_landmarker",
    "selfie_segmentation.tflite": "selfie_segmentation",
}
SHA256 = {
    "face_detector.tflite": "b4578f35940bf5a1a655214a1cce5cab13eba73c1297cd78e1a04c2380b0152f",
    "face_landmarks_detector.tflite": "c7d54204ce0448474c7f3fa9af494787c0965cbdd6f20fc72867e43046bd43d5",
    "selfie_segmentation.tflite": "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
}


@functools.cache
def find(name: str) -> pathlib.Path:
    """Return the path of a network's file.

    Args:
      name: a key of SHA256.

    Raises:
      UserError: the file is not there, or is not the known one.
    """
    path = ASSETS / FOLDERS[name] / name
    try:
        known = hashlib.sha256(path.read_bytes()).hexdigest() == SHA256[name]
    except OSError as error:
        raise errors.UserError(f"{path} cannot be read ({error.strerror}); reinstall avct-jax") from None
    if not known:
        raise errors.UserError(f"{path} is not the known file (its sha256 differs); reinstall avct-jax")
    return path
