"""A portrait that many tests look at: scikit-image's astronaut, who smiles."""

import functools

import numpy as np
import skimage.data

from avct_jax.animator import mesh_animator
from avct_jax.data.faces import crop, face_detector


@functools.cache
def astronaut(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The square around her head, drawn with `size` px, and her landmarks in [-1, 1]."""
    pixels = skimage.data.astronaut()
    found = face_detector.FaceLandmarker().landmarks(pixels)
    square = crop.face_square(found.points, pixels.shape)
    return crop.crop(pixels, square, size), mesh_animator.to_unit(found.points, square, size)
