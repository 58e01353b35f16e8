"""A few learned numbers for each person of a training: GLO (Bojanowski et al., ICML 2018).

What is one person's alone (teeth, a manner of moving lips) goes into his code instead of into the weights,
which so learn what is everybody's. Strangers get the mean code, or one that was learned for them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

STRANGER = -1  # number of people who have no code of their own


def initial(key: Array, people: int, codes: int, *, spread: float = 1.0) -> dict[str, Any]:
    """Begin with random codes."""
    return {"params": {"table": spread * jax.random.normal(key, (people, codes))}}


def lookup(
    params: Mapping[str, Any], person: Int[Array, " b"], stranger: Float[Array, " k"] | None = None
) -> Float[Array, "b k"]:
    """Look people's codes up.

    Args:
      stranger: code of STRANGER; not given, the mean of all.
    """
    table = params["table"]
    nobody = table.mean(0) if stranger is None else stranger
    return jnp.where(person[:, None] < 0, nobody[None], table[person])


def names_of(persons: Sequence[str], held_out: Bool[np.ndarray, " n"]) -> list[str]:
    """People of the training, in the order of the table of codes.

    Args:
      persons: of each clip.
      held_out: clips that are kept from training.
    """
    return sorted({p for p, held in zip(persons, held_out, strict=True) if not held})


def numbers_of(persons: Sequence[str], names: Sequence[str]) -> Int[np.ndarray, " n"]:
    """Each clip's row of the table; STRANGER for people who are not in it."""
    rows = {name: row for row, name in enumerate(names)}
    return np.array([rows.get(p, STRANGER) for p in persons], np.int32)
