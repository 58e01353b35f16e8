"""Inverses of small matrices by their cofactors.

jnp.linalg.inv does them by LAPACK's LU, around which XLA compiles dozens of little programs: a second.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def inverse(matrix: Float[Array, "*b n n"]) -> Float[Array, "*b n n"]:
    """Return the inverse of matrices of 2 x 2 or 3 x 3 that have one.

    Raises:
      ValueError: they are of another size.
    """
    at = lambda i, j: matrix[..., i, j]
    if matrix.shape[-1] == 2:
        rows = [[at(1, 1), -at(0, 1)], [-at(1, 0), at(0, 0)]]
    elif matrix.shape[-1] == 3:
        # Cofactors of row j, column i; indices going round take care of the signs.
        minor = lambda i, j: at(i, j) * at((i + 1) % 3, (j + 1) % 3) - at(i, (j + 1) % 3) * at((i + 1) % 3, j)
        rows = [[minor((j + 1) % 3, (i + 1) % 3) for j in range(3)] for i in range(3)]
    else:
        raise ValueError(f"matrices of {matrix.shape[-1]} rows; 2 and 3 can be inverted")
    determinant = sum((at(0, i) * rows[i][0] for i in range(1, len(rows))), at(0, 0) * rows[0][0])
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2) / determinant[..., None, None]
