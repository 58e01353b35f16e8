"""A filmed face without its own speech: how its points move to where they would be, were its mouth shut."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from avct_jax import face_topology as topology
from avct_jax.data.faces import face_basis

TREMBLE = 0.7  # frames, standard deviation over which tracked points are averaged
# Lips come to rest whatever they do, smile or speak; this far from them, in eye distances, the skin takes
# part by what speech explains of it.
REACH = 0.14
REST_GAP = 0.03  # eye distances between the inner lips of a shut mouth, by their landmarks
LIPS = (
    *topology.UPPER_INNER_LIP, *topology.LOWER_INNER_LIP, *topology.UPPER_LIP_BODY, *topology.LOWER_LIP_BODY,
    *topology.UPPER_OUTER_LIP, *topology.LOWER_OUTER_LIP,
)  # fmt: skip


class MutedFace(NamedTuple):
    """A face in t frames that follow each other.

    Attributes:
      points: px, without the tracker's trembling.
      closed: px, from there to the mouth at rest.
      head, origin: canonical frame to px.
      anchor: of the mouth at rest, canonical frame.
      opening: between the inner lips as filmed, eye distances.
    """

    points: Float[np.ndarray, "t 478 3"]
    closed: Float[np.ndarray, "t 478 3"]
    head: Float[np.ndarray, "t 3 3"]
    origin: Float[np.ndarray, "t 3"]
    anchor: Float[np.ndarray, " 3"]
    opening: Float[np.ndarray, " t"]


def mute(points: Float[np.ndarray, "t 478 3"], basis: face_basis.FaceBasis) -> MutedFace:
    """Find out how a face's speech is taken back.

    What speech explains is taken out of the whole lower face, and lips come to rest as a whole. What is left
    of a smile, and of everything that is no speech, stays the film's.

    Args:
      points: of one face in frames that follow each other, px.
    """
    calm = ndimage.gaussian_filter1d(points.astype(np.float64), TREMBLE, axis=0, mode="nearest")
    found = face_basis.align(calm, basis.canonical)
    head, origin = face_basis.heads(found)
    at_rest = shut(face_basis.rest(found.points))
    spoken = face_basis.coefficients(found.points, at_rest, basis) * basis.scales
    share = face_basis.moved_by_speech(basis.canonical)[:, None]
    resting = found.points - share * np.einsum("tk,knd->tnd", spoken, basis.components)
    lips = _lips(at_rest)[:, None]
    resting = resting + lips * (at_rest - resting)
    closed = np.einsum("tij,tnj->tni", head, resting - found.points)
    opening = np.linalg.norm(found.points[:, 14] - found.points[:, 13], axis=-1)
    return MutedFace(
        calm.astype(np.float32),
        closed.astype(np.float32),
        head,
        origin,
        at_rest[[13, 14]].mean(0).astype(np.float32),
        opening.astype(np.float32),
    )


def shut(at_rest: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "478 3"]:
    """Bring the lips of a face that was never seen with its mouth shut together, as far as their points go.

    Args:
      at_rest: canonical frame.
    """
    shut = at_rest.copy()
    rows = topology.UPPER_INNER_LIP, topology.LOWER_INNER_LIP
    upper, lower = (at_rest[list(row)] for row in rows)
    gap = lower - upper
    wide = np.linalg.norm(gap, axis=1, keepdims=True)
    allowed = REST_GAP * np.sin(np.linspace(0, np.pi, len(gap)))[:, None]
    over = gap * np.clip(1 - allowed / np.maximum(wide, 1e-6), 0, 1)
    inner = slice(1, -1)
    for row, way in ((rows[0], 0.4), (topology.UPPER_OUTER_LIP, 0.3)):
        shut[list(row[inner])] += way * over[inner]
    for row, way in ((rows[1], 0.6), (topology.LOWER_OUTER_LIP, 0.5)):
        shut[list(row[inner])] -= way * over[inner]
    return shut


def _lips(at_rest: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, " 478"]:
    """1 on the lips, less beside them."""
    away = np.linalg.norm(at_rest[:, None, :2] - at_rest[None, list(LIPS), :2], axis=-1).min(1)
    return np.exp(-0.5 * (away / REACH) ** 2) * face_basis.moved_by_speech(at_rest)
