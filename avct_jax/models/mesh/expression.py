"""What a face does beside speaking: lids that shut, brows that rise, a smile."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax import face_topology as topology

# Of the way between the lids that they go in a blink: the upper lid, the lower one, the crease, the row
# above.
LID_SHARES = (0.95, -0.05, 0.7, 0.25)
UNDER_LID_SHARE = 0.6  # of the way of a lower lid that the skin below it goes


class FaceExpression(NamedTuple):
    """What a face shows beside speech; data/direction/expressions.py makes it.

    Attributes:
      offset: displacements in the canonical frame, eye distances.
      raised: how far the lower lids of the image's left and right eye are up, shares of the way between lids.
    """

    offset: Float[Array, "b 478 3"]
    raised: Float[Array, "b 2"]


def express(
    face: Float[Array, "b 478 3"], shown: FaceExpression, head: Float[Array, "3 3"]
) -> Float[Array, "b 478 3"]:
    """Add an expression.

    Args:
      head: canonical displacements to the face's.
    """
    face = face + shown.offset @ head.T
    sides = (
        (topology.LEFT_UPPER_LID, topology.LEFT_LOWER_LID, topology.LEFT_UNDER_LID),
        (topology.RIGHT_UPPER_LID, topology.RIGHT_LOWER_LID, topology.RIGHT_UNDER_LID),
    )
    for side, rows in enumerate(sides):
        upper, lower, under = (jnp.asarray(row) for row in rows)
        way = (face[:, upper] - face[:, lower])[:, 1:-1] * shown.raised[:, side, None, None]
        face = face.at[:, lower[1:-1]].add(way)
        face = face.at[:, under].add(UNDER_LID_SHARE * way[:, 1:-1])
    return face


def raise_brows(face: Float[Array, "b 478 3"], way: Float[Array, "b 3"]) -> Float[Array, "b 478 3"]:
    """Move brows, and the skin around them in part.

    Args:
      way: of the brows in each frame, x, y, z.
    """
    for row, share in topology.BROW_SHARES:
        face = face.at[:, jnp.asarray(row)].add(share * way[:, None])
    return face


def blink(face: Float[Array, "b 478 3"], share: Float[Array, "b 2"]) -> Float[Array, "b 478 3"]:
    """Bring the lids together; crease and brow follow in part.

    Args:
      share: of the way, for the image's left and right eye.
    """
    sides = (
        (topology.LEFT_UPPER_LID, topology.LEFT_LOWER_LID, topology.LEFT_CREASE, topology.LEFT_ABOVE_CREASE),
        (
            topology.RIGHT_UPPER_LID,
            topology.RIGHT_LOWER_LID,
            topology.RIGHT_CREASE,
            topology.RIGHT_ABOVE_CREASE,
        ),
    )
    for side, rows in enumerate(sides):
        upper, lower, crease, above = (jnp.asarray(row) for row in rows)
        gap = (face[:, lower] - face[:, upper])[:, 1:-1] * share[:, side, None, None]
        for row, part in zip((upper[1:-1], lower[1:-1], crease, above), LID_SHARES, strict=True):
            face = face.at[:, row].add(part * gap)
    return face
