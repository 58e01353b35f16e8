"""What moves around a face: rings of hair and neck, and the image's edge, as a head takes them along."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax import face_topology as topology
from avct_jax.layers.geometry import inverse

RING_END = topology.POINTS + len(topology.RING_SCALES) * len(topology.FACE_OVAL)


class Rest(NamedTuple):
    """A portrait's head and mesh; fields as in face_mesh.MeshPortrait."""

    vertices: Float[Array, "n 3"]
    head: Float[Array, "3 3"]
    origin: Float[Array, " 3"]
    shares: Float[Array, "r 3"]
    sway: Float[Array, " r"]


def carry(
    rest: Rest,
    around: Float[Array, "b r 3"],
    face: Float[Array, "b 478 3"],
    head: Float[Array, "b 3 3"],
    origin: Float[Array, "b 3"],
) -> Float[Array, "b r 3"]:
    """Move the points around a face with a head.

    Hair goes with the middle of the skull and turns within the image: its outline is a ball's, which a
    turn to a side leaves as it is. Shoulders go with the neck, in part, to the side. The ring beside the face
    leans on it, or the face would be folded over it.

    Args:
      around: before the head moves.
      face: after.
      head, origin: canonical frame to image, after.
    """
    motion = jnp.einsum("bij,jk->bik", head, inverse.inverse(rest.head))
    skull, neck = (rest.origin + rest.head @ jnp.asarray(x) for x in (topology.SKULL, topology.NECK))
    moved_skull, moved_neck = (
        jnp.einsum("bij,j->bi", motion, x - rest.origin) + origin for x in (skull, neck)
    )
    turned = jnp.einsum("bij,bnj->bni", _within_image(motion), around - skull[None, None])
    aside = (moved_neck - neck[None])[:, None] * jnp.array([[[1.0, 0.0, 0.0]]])
    moved = around + rest.shares[None] * (turned + moved_skull[:, None] - around)
    return _lean(rest.vertices, moved + rest.sway[None, :, None] * aside, face)


def _within_image(motion):
    """The nearest turn in the image's plane, with the nearest scale."""
    straight = (motion[:, 0, 0] + motion[:, 1, 1]) / 2
    across = (motion[:, 1, 0] - motion[:, 0, 1]) / 2
    zero, size = jnp.zeros_like(straight), jnp.hypot(straight, across)
    rows = (straight, -across, zero, across, straight, zero, zero, zero, size)
    return jnp.stack(rows, -1).reshape(-1, 3, 3)


def _lean(vertices, moved, face):
    """Rings take a share of the way that the face's oval goes."""
    oval = jnp.asarray(topology.FACE_OVAL)
    way = jnp.tile(face[:, oval] - vertices[None, oval], (1, len(topology.RING_SCALES), 1))
    share = jnp.repeat(jnp.asarray(topology.LEAN_SHARES), len(oval))[None, :, None]
    count = RING_END - topology.POINTS
    rings, still = moved[:, :count], vertices[None, topology.POINTS : RING_END]
    return jnp.concatenate([rings + share * (still + way - rings), moved[:, count:]], 1)
