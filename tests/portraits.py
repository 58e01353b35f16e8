"""A portrait that many tests look at: scikit-image's astronaut, who smiles."""

import functools

import numpy as np
import skimage.data

from avct_jax import mesh_animator
from avct_jax.data import crop, face


@functools.cache
def astronaut(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The square around her head, drawn with `size` px, and her landmarks in [-1, 1]."""
    pixels = skimage.data.astronaut()
    found = face.FaceLandmarker().landmarks(pixels)
    square = crop.face_square(found.points, pixels.shape)
    return crop.crop(pixels, square, size), mesh_animator.to_unit(found.points, square, size)
