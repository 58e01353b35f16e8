"""Lids and brows: as if each row of points were moved by itself."""

import jax.numpy as jnp
import numpy as np

from avct_jax import face_topology as topology
from avct_jax.models.mesh import expression

FACE = np.random.default_rng(0).normal(size=(3, topology.POINTS, 3)).astype(np.float32)


def test_a_blink_moves_each_row_by_its_share_of_the_way_between_the_lids():
    share = np.array([[0, 0], [1, 0.5], [0.25, 0]], np.float32)
    wanted = FACE.copy()
    lids = [
        (topology.LEFT_UPPER_LID, topology.LEFT_LOWER_LID, topology.LEFT_CREASE, topology.LEFT_ABOVE_CREASE),
        (
            topology.RIGHT_UPPER_LID,
            topology.RIGHT_LOWER_LID,
            topology.RIGHT_CREASE,
            topology.RIGHT_ABOVE_CREASE,
        ),
    ]
    for side, (upper, lower, crease, above) in enumerate(lids):
        gap = (FACE[:, list(lower)] - FACE[:, list(upper)])[:, 1:-1] * share[:, side, None, None]
        rows = (upper[1:-1], lower[1:-1], crease, above)
        for row, part in zip(rows, expression.LID_SHARES, strict=True):
            wanted[:, list(row)] += np.float32(part) * gap
    found = np.asarray(expression.blink(jnp.asarray(FACE), jnp.asarray(share)))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert (found[0] == FACE[0]).all() and (found[1] != FACE[1]).any(-1).sum() == 56


def test_brows_rise_by_their_shares():
    way = np.array([[0, 0, 0], [0.1, -0.2, 0], [0, 0.3, 0.1]], np.float32)
    wanted = FACE.copy()
    for row, share in topology.BROW_SHARES:
        wanted[:, list(row)] += np.float32(share) * way[:, None]
    found = expression.raise_brows(jnp.asarray(FACE), jnp.asarray(way))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
