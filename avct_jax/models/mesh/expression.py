"""What a face does beside speaking: lids that shut, brows that rise, a smile."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
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
    shares = np.zeros(topology.POINTS, np.float32)
    for row, share in topology.BROW_SHARES:
        shares[list(row)] = share
    return face + shares[None, :, None] * way[:, None]


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
    # Each point takes a share of the way between two points: no scattering, which is a program for each row.
    parts, ways = np.zeros(topology.POINTS, np.float32), np.zeros((2, topology.POINTS), int)
    right = np.zeros(topology.POINTS, int)
    for side, (upper, lower, crease, above) in enumerate(sides):
        for row, part in zip((upper[1:-1], lower[1:-1], crease, above), LID_SHARES, strict=True):
            row = list(row)
            parts[row], right[row] = part, side
            ways[:, row] = upper[1:-1], lower[1:-1]
    gap = (face[:, ways[1]] - face[:, ways[0]]) * share[:, right, None]
    return face + parts[None, :, None] * gap
