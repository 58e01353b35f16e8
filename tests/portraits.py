"""A portrait that many tests look at: scikit-image's astronaut, who smiles."""

import functools

import cv2
import numpy as np
import skimage.data

from avct_jax.data.faces import crop, face_detector


@functools.cache
def astronaut(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The square around her head, drawn with `size` px, and her landmarks in [-1, 1]."""
    pixels = skimage.data.astronaut()
    found = face_detector.FaceLandmarker().landmarks(pixels)
    square = crop.face_square(found.points, pixels.shape)
    return crop.crop(pixels, square, size), crop.to_unit(found.points, square, size)


@functools.cache
def two_faces() -> np.ndarray:
    """A picture, 256 x 436 px: she mirrored and smaller, and she beside her."""
    head = skimage.data.astronaut()[:256, 96:352]
    beside = np.full((256, 180, 3), 200, np.uint8)
    beside[40:220] = cv2.resize(head[:, ::-1], (180, 180))
    return np.concatenate([beside, head], 1)
