"""What a face does beside speaking: lids that shut, brows that rise."""

import numpy as np
from jaxtyping import Array, Float

from avct_jax import face_topology as topology

# Of the way between the lids that they go in a blink: the upper lid, the lower one, the crease, the row
# above.
LID_SHARES = (0.95, -0.05, 0.7, 0.25)


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
