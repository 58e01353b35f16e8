"""A frame of a film taken apart for models/mesh/face_mesh.py: only its mouth is to move."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from avct_jax import face_topology as topology
from avct_jax.data.faces import crop, muted_face
from avct_jax.data.portrait import portrait_layers

BARED = (0.035, 0.085)  # eye distances between the inner lips, from where to where teeth show
OUT = 1.3  # the lower face's outline, enlarged: the neck below the chin follows the jaw
SOFT = 0.1  # of the way from nose to chin: standard deviation of the mask's edge


def take_apart(
    image: UInt8[np.ndarray, "s s 3"],
    square: crop.Square,
    face: muted_face.MutedFace,
    index: int,
) -> portrait_layers.PortraitLayers:
    """Take a frame apart.

    Args:
      image: the square around the head, at the resolution at which it is drawn.
      square: of the frame.
      face: as it is filmed, px of the frames.
      index: which of its frames this is.
    """
    size = len(image)
    unit = 2 * size / square.size / (size - 1)  # of [-1, 1], a px of the frame
    place = lambda x: crop.to_unit(np.asarray(x, np.float64), square, size)
    here = place(face.points[index])
    vertices = np.concatenate([here, portrait_layers.rings(here), portrait_layers.border()])
    pixels = image.astype(np.float32) / 255
    bared = float(np.clip((face.opening[index] - BARED[0]) / (BARED[1] - BARED[0]), 0, 1))
    dense = skin = portrait_layers.denser(pixels)
    if bared:
        covered = portrait_layers.cover_teeth(image, portrait_layers.to_pixels(here, size))
        mixed = pixels + bared * (covered.astype(np.float32) / 255 - pixels)
        skin = portrait_layers.denser(mixed)
    upper, lower = (
        portrait_layers.locate(vertices[:, :2], left_out)
        for left_out in (topology.NOT_UPPER, topology.NOT_LOWER)
    )
    around = len(vertices) - topology.POINTS
    single = lambda x: np.asarray(x, np.float32)
    return portrait_layers.PortraitLayers(
        skin=skin,
        image=dense,
        vertices=single(vertices),
        closed=single(face.closed[index] * unit),
        upper=upper,
        lower=lower,
        head=single(face.head[index] * unit),
        origin=single(place(face.origin[index : index + 1])[0]),
        anchor=single(face.anchor),
        cavity=single(portrait_layers.cavity_colour(pixels, here)),
        seam=single(bared),
        cover=np.ones(dense.shape[:2], np.float32),
        background=pixels,
        shares=np.zeros((around, 3), np.float32),
        sway=np.zeros(around, np.float32),
    )


def lower_face(
    square: crop.Square, points: Float[np.ndarray, "478 3"], size: int
) -> Float[np.ndarray, "f f"]:
    """Return where a frame is drawn anew: 1 from the nose to below the chin, softly 0 around.

    Args:
      points: landmarks, px of the frame.
      size: of the answer, px.
    """
    oval = points[list(topology.FACE_OVAL), :2]
    nose, chin = points[topology.NOSE_TIP, :2], points[topology.CHIN, :2]
    down = (chin - nose) / max(float(np.linalg.norm(chin - nose)), 1e-6)
    low = oval[(oval - nose) @ down > 0]
    middle = (nose + chin) / 2
    outline = np.concatenate([middle + OUT * (low - middle), nose[None] - 0.1 * (chin - nose)])
    scaled = (outline - (square.left, square.top)) * (size / square.size)
    mask = np.zeros((size, size), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(scaled.astype(np.float32)).astype(np.int32), 1)
    length = float(np.linalg.norm(chin - nose)) * size / square.size
    return cv2.GaussianBlur(mask, (0, 0), max(1.0, SOFT * length))
