"""How faces move when the head keeps still: displacements of the mesh in the frame of a mean head.

The head's pose is taken out by a rigid fit in three dimensions (Umeyama 1991) to points that speech leaves
alone; what remains, since the face at rest, is written in a few principal components, as 3D morphable models
write expressions. Lengths are in distances of the outer eye corners; x right, y down, z away from the viewer.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import transform

from avct_jax import face_topology as topology
from avct_jax.files import array_file

COMPONENTS = 16  # keep 98% of the variance of speech
REST_SHARE = 0.1  # of a clip's frames: those in which the mouth is most at rest
CANONICAL_ROUNDS = 4


class FaceBasis(NamedTuple):
    """A mean face and how it moves in speech.

    Attributes:
      canonical: mean face at rest, its rigid points centred.
      components: orthonormal, one displacement of all points each.
      scales: standard deviation of their coefficients in speech.
    """

    canonical: Float[np.ndarray, "478 3"]
    components: Float[np.ndarray, "k 478 3"]
    scales: Float[np.ndarray, " k"]


class Alignment(NamedTuple):
    """Faces in the canonical frame: canonical ~ scale * points @ rotation.T + shift."""

    points: Float[np.ndarray, "t 478 3"]
    rotation: Float[np.ndarray, "t 3 3"]
    scale: Float[np.ndarray, " t"]
    shift: Float[np.ndarray, "t 3"]


@functools.cache
def embedded() -> FaceBasis:
    """Read the basis that comes with the package; scripts/make_face_basis.py makes it."""
    read = array_file.read_asset("face_basis.npz")
    return FaceBasis(*(read[name].astype(np.float32) for name in FaceBasis._fields))


def align(points: Float[np.ndarray, "t 478 3"], canonical: Float[np.ndarray, "478 3"]) -> Alignment:
    """Take the head's pose and size out of landmarks, in any unit that is the same along all axes."""
    rigid = list(topology.RIGID)
    source = points[:, rigid].astype(np.float64)
    target = canonical[rigid].astype(np.float64)
    source_mean, target_mean = source.mean(1, keepdims=True), target.mean(0)
    centred, wanted = source - source_mean, target - target_mean
    u, s, vt = np.linalg.svd(np.einsum("ni,tnj->tij", wanted, centred))
    sign = np.ones((len(points), 3))
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[:, None]) @ vt
    scale = (s * sign).sum(1) / np.maximum((centred**2).sum((1, 2)), 1e-12)
    shift = target_mean - scale[:, None] * np.einsum("tij,tj->ti", rotation, source_mean[:, 0])
    moved = scale[:, None, None] * np.einsum("tij,tnj->tni", rotation, points) + shift[:, None]
    return Alignment(moved.astype(np.float32), rotation, scale, shift)


def heads(found: Alignment) -> tuple[Float[np.ndarray, "t 3 3"], Float[np.ndarray, "t 3"]]:
    """Return the alignment the other way: points ~ matrix @ canonical + origin."""
    matrix = np.swapaxes(found.rotation, 1, 2) / found.scale[:, None, None]
    origin = -np.einsum("tij,tj->ti", matrix, found.shift)
    return matrix.astype(np.float32), origin.astype(np.float32)


def head_motion(found: Alignment) -> Float[np.ndarray, "t 6"]:
    """Return how a head turned (rotation vector, rad) and moved (eye distances) around its mean."""
    turns = transform.Rotation.from_matrix(np.swapaxes(found.rotation, 1, 2))
    turned = (turns * turns.mean().inv()).as_rotvec()
    origin = -np.einsum("tji,tj->ti", found.rotation, found.shift) / found.scale[:, None]
    moved = (origin - origin.mean(0)) * np.median(found.scale)
    moved[:, 2] = 0
    return np.concatenate([turned, moved], 1).astype(np.float32)


def rest(aligned: Float[np.ndarray, "t 478 3"]) -> Float[np.ndarray, "478 3"]:
    """Return the face at rest: the mean of the frames with lips closest and a mouth of usual width."""
    gap = np.linalg.norm(aligned[:, 14] - aligned[:, 13], axis=-1)
    width = np.linalg.norm(aligned[:, 291] - aligned[:, 61], axis=-1)
    away = gap + 0.5 * np.abs(width - np.median(width))
    count = max(3, round(REST_SHARE * len(aligned)))
    return aligned[np.argsort(away)[:count]].mean(0)


def coefficients(
    aligned: Float[np.ndarray, "t 478 3"], at_rest: Float[np.ndarray, "478 3"], basis: FaceBasis
) -> Float[np.ndarray, "t k"]:
    """Write how a face has moved since its rest, in standard deviations of speech."""
    moved = (aligned - at_rest).reshape(len(aligned), -1)
    return (moved @ basis.components.reshape(len(basis.components), -1).T / basis.scales).astype(np.float32)


def moved_by_speech(canonical: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, " 478"]:
    """Return how far each point takes part in speech: 1 about the mouth, 0 from the eyes upwards and
    outwards.
    """
    height = (canonical[:, 1] - canonical[4, 1]) / (canonical[topology.CHIN, 1] - canonical[4, 1])
    share = np.clip((height + 0.35) / 0.3, 0, 1)  # begins a third of the way from the nose tip to the eyes
    share = share * share * (3 - 2 * share)
    share[list(topology.RIGID)] = 0
    return share


def canonical_face(faces: Float[np.ndarray, "t 478 3"]) -> Float[np.ndarray, "478 3"]:
    """Return the median of faces, aligned with each other, upright and looking at the viewer."""
    rigid = list(topology.RIGID)
    mean = faces[0] - faces[0][rigid].mean(0)
    mean = mean / np.linalg.norm(mean[33] - mean[263])
    for _ in range(CANONICAL_ROUNDS):
        mean = np.median(align(faces, mean).points, axis=0)
        x = mean[263] - mean[33]
        x /= np.linalg.norm(x)
        y = mean[topology.CHIN] - mean[topology.FOREHEAD]
        y -= x * (x @ y)
        y /= np.linalg.norm(y)
        mean = (mean - mean[rigid].mean(0)) @ np.stack([x, y, np.cross(x, y)], 1)
        mean /= np.linalg.norm(mean[33] - mean[263])
    return mean.astype(np.float32)


def fit(
    displacements: Sequence[Float[np.ndarray, "t 478 3"]],
    canonical: Float[np.ndarray, "478 3"],
    *,
    components: int = COMPONENTS,
) -> FaceBasis:
    """Find the principal components of speech.

    Args:
      displacements: since rest, in the canonical frame, of frames that weigh alike.
    """
    share = moved_by_speech(canonical)[:, None]
    rows = np.concatenate([(d * share).reshape(len(d), -1) for d in displacements]).astype(np.float64)
    values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    order = np.argsort(values)[::-1][:components]
    directions = vectors[:, order].T
    scales = (rows @ directions.T).std(0)
    return FaceBasis(
        canonical, directions.reshape(-1, topology.POINTS, 3).astype(np.float32), scales.astype(np.float32)
    )


def blink_share(aligned: Float[np.ndarray, "t 478 3"]) -> Float[np.ndarray, "t 2"]:
    """Return how far each eye is shut: 0 as open as it usually is, 1 shut."""
    shares = []
    for upper, lower in topology.APERTURES[1:]:
        inner = slice(2, -2)
        gap = np.linalg.norm(aligned[:, list(upper)] - aligned[:, list(lower)], axis=-1)[:, inner].mean(1)
        shares.append(1 - gap / max(float(np.quantile(gap, 0.75)), 1e-6))
    return np.clip(np.stack(shares, -1), 0, 1)


def usable(score: Float[np.ndarray, " t"]) -> Bool[np.ndarray, " t"]:
    """Return the frames whose points were found, not filled in."""
    return np.asarray(score > 0)
