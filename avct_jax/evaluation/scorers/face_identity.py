"""Whose face an image shows, for dlib's face recognition network: 128 numbers a face.

Two images of one person lie within 0.6 of each other (King, "High quality face recognition with deep metric
learning", 2017).
"""

import importlib.util
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from avct_jax import errors

EVERY = 5  # frames between those that are looked at: a face takes some 30 ms
SIZE = 128  # of a descriptor
CHIP, PADDING = 150, 0.25  # of the aligned image that the network was trained on: side, px, and border
FILE = "dlib_face_recognition_resnet_model_v1.dat"
PACKAGE = "face_recognition_models"  # of PyPI, which brings the file
# The mesh's points in the order of dlib's five: outer and inner corner of the eye on the image's right,
# then of the other, and where the nose ends below.
FIVE = (263, 362, 33, 133, 2)

Identify = Callable[[UInt8[np.ndarray, "h w 3"], Float32[np.ndarray, "478 3"]], Float32[np.ndarray, " 128"]]


def installed() -> pathlib.Path:
    """The network's file in the package that brings it; the package itself is not imported.

    Raises:
      UserError: it is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (path := pathlib.Path(folder) / "models" / FILE).is_file():
            return path
    raise errors.UserError(f"{FILE} is not installed: pip install 'avct-jax[identity]', or name the file")


def load(path: str | os.PathLike) -> Identify:
    """Read the network, of FILE.

    Returns:
      A function of an image and its landmarks in px: the descriptor, NaN where the landmarks are.

    Raises:
      UserError: dlib is not installed, or the file is missing or not this network's.
    """
    try:
        import dlib as compiled
    except ImportError:
        raise errors.UserError("the identity distance needs dlib: pip install 'avct-jax[identity]'") from None
    dlib: Any = compiled  # its names come from C++, and it has no stubs
    if not pathlib.Path(path).is_file():
        raise errors.UserError(f"there is no face recognition network {os.fspath(path)!r}; check --identity")
    try:
        network = dlib.face_recognition_model_v1(os.fspath(path))
    except RuntimeError as error:
        raise errors.UserError(
            f"{os.fspath(path)!r} is not {FILE} ({_line(error)}); name that file as --identity"
        ) from None

    def identify(image, points):
        corners = points[list(FIVE), :2]
        if not np.isfinite(corners).all():
            return np.full(SIZE, np.nan, np.float32)
        whole = dlib.rectangle(0, 0, image.shape[1], image.shape[0])
        shape = dlib.full_object_detection(
            whole, [dlib.point(*xy) for xy in np.rint(corners).astype(int).tolist()]
        )
        chip = dlib.get_face_chip(np.ascontiguousarray(image), shape, size=CHIP, padding=PADDING)
        return np.asarray(network.compute_face_descriptor(chip), np.float32)

    return identify


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
