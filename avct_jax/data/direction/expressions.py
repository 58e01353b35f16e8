"""Expressions by name: a smile, raised brows, narrowed eyes, and ARKit's blendshapes, as motion of the mesh.

Each name is a sum of parts: displacements of all points that go with one blendshape of Face Landmarker v2 in
real people's faces, fitted by scripts/make_expressions.py; and of ways of the lids, which are shares of the
way between them, since eyes differ. No part opens the lips: that is speech's.
"""

import functools
import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from avct_jax import errors
from avct_jax.files import array_file

PARTS = (
    "smile", "frown", "pucker", "stretch", "dimple", "cheek_up",
    "brow_down", "brow_inner_up", "brow_outer_up",
)  # fmt: skip
SEAM = 0.15  # eye distances from the middle of the face within which one side passes into the other
LIDS_LEAST = -0.35  # of the way between lids that eyes open wider


class NamedDirection(NamedTuple):
    """What a name does at 1.

    Attributes:
      parts: names of `PARTS`, and how far each goes.
      lid: share of the way that the upper lids go down.
      raised: share of the way that the lower lids go up.
      sides: "both", or the person's "left" or "right".
    """

    parts: tuple[tuple[str, float], ...] = ()
    lid: float = 0.0
    raised: float = 0.0
    sides: str = "both"


def _sided(name: str, **does: Any) -> dict[str, NamedDirection]:
    return {f"{name}{side}": NamedDirection(sides=side.lower(), **does) for side in ("Left", "Right")}


_BROWS_UP = NamedDirection((("brow_inner_up", 0.85), ("brow_outer_up", 0.85)))
_BROWS_DOWN = NamedDirection((("brow_down", 0.85),))
_SQUINT: dict[str, Any] = {"parts": (("cheek_up", 1.0),), "lid": 0.25, "raised": 0.35}
_WIDE: dict[str, Any] = {"lid": -0.2}
NAMED = {
    "smile": NamedDirection((("smile", 1.0),)),
    "frown": NamedDirection((("frown", 0.8),)),
    "pucker": NamedDirection((("pucker", 0.85),)),
    "brows": _BROWS_UP,
    "squint": NamedDirection(**_SQUINT),
    "wide": NamedDirection(**_WIDE),
}
BELOW = {"brows": _BROWS_DOWN}  # what a name does at -1; others begin at 0
ARKIT = {
    **_sided("browDown", parts=(("brow_down", 1.0),)),
    "browInnerUp": NamedDirection((("brow_inner_up", 1.0),)),
    **_sided("browOuterUp", parts=(("brow_outer_up", 1.0),)),
    **_sided("cheekSquint", parts=(("cheek_up", 1.0),)),
    **_sided("eyeBlink", lid=1.0),
    **_sided("eyeSquint", **_SQUINT),
    **_sided("eyeWide", **_WIDE),
    **_sided("mouthDimple", parts=(("dimple", 1.0),)),
    **_sided("mouthFrown", parts=(("frown", 1.0),)),
    "mouthPucker": NamedDirection((("pucker", 1.0),)),
    **_sided("mouthSmile", parts=(("smile", 1.0),)),
    **_sided("mouthStretch", parts=(("stretch", 1.0),)),
}
DIRECTIONS = NAMED | ARKIT
ALLOWED = f"{', '.join(NAMED)}, or ARKit's of brows, lids and lips' corners, such as mouthSmileLeft"
SPOKEN = ("jaw", "tongue", "mouth", "cheekPuff", "noseSneer")  # what is left of ARKit's begins like this


class ShownExpression(NamedTuple):
    """What a face shows beside speech in each of t frames.

    Attributes:
      parts: how far each of `PARTS` goes on the image's left side, then on its right, 0 to 1.
      lids: shares that the upper lids of the image's left and right eye are down; below 0: wider open.
      raised: shares that the lower lids are up.
    """

    parts: Float[np.ndarray, "t p"]
    lids: Float[np.ndarray, "t 2"]
    raised: Float[np.ndarray, "t 2"]

    def offset(self) -> Float[np.ndarray, "t 478 3"]:
        """Displacements of all points in the canonical frame, eye distances."""
        return np.tensordot(self.parts, embedded(), 1)


@functools.cache
def embedded() -> Float[np.ndarray, "p 478 3"]:
    """Read the parts that come with the package, those of the image's left side, then of its right one."""
    read = array_file.read_asset("expressions.npz")
    parts = np.stack([read[name] for name in PARTS]).astype(np.float32)
    right = np.clip(read["across"].astype(np.float32) / (2 * SEAM) + 0.5, 0, 1)
    right = (right * right * (3 - 2 * right))[:, None]
    return np.concatenate([parts * (1 - right), parts * right])


def shown(values: Mapping[str, Float[np.ndarray, " t"]], count: int) -> ShownExpression:
    """Add up what names do.

    Args:
      values: of each name that is not 0.
      count: frames.
    """
    parts, lids, raised = np.zeros((count, 2, len(PARTS))), np.zeros((count, 2)), np.zeros((count, 2))
    for name, value in values.items():
        for direction, way in _directions(name, np.asarray(value, np.float64)):
            on = np.array([direction.sides != "left", direction.sides != "right"], np.float64)  # the image's
            for part, far in direction.parts:
                parts[:, :, PARTS.index(part)] += far * way[:, None] * on
            lids += direction.lid * way[:, None] * on
            raised += direction.raised * way[:, None] * on
    parts = parts.clip(0, 1).reshape(count, -1).astype(np.float32)
    lids, raised = lids.clip(LIDS_LEAST, 1), raised.clip(0, 0.5)
    return ShownExpression(parts, lids.astype(np.float32), raised.astype(np.float32))


def _directions(name, value):
    yield DIRECTIONS[name], np.maximum(value, 0)
    if name in BELOW:
        yield BELOW[name], np.maximum(-value, 0)


def with_blinks(
    blink: Float[np.ndarray, "*t 2"], lids: Float[np.ndarray, "*t 2"]
) -> Float[np.ndarray, "*t 2"]:
    """Return lids that are down by `lids` and blink: shut is shut, from wherever."""
    return (lids + (1 - lids) * blink).astype(np.float32)


def least(name: str) -> float:
    """Return the least value of a name; the most is 1."""
    return -1.0 if name in BELOW else 0.0


def read(given: Any, what: str = "expression") -> dict[str, float]:
    """Take an expression.

    Args:
      given: names and values, "smile=.3,brows=.2"; or a mapping of them.
      what: for refusals.

    Raises:
      UserError: a name is not known, or its value is no number or out of its range.
    """
    if isinstance(given, str):
        pairs = [part.partition("=") for part in given.split(",") if part.strip()]
        if not pairs or not all(mark for _, mark, _ in pairs):
            raise errors.UserError(f"{what} {given!r} must be such as smile=.3,brows=.2")
        found: list[tuple[Any, Any]] = [(name.strip(), value.strip()) for name, _, value in pairs]
    elif isinstance(given, Mapping):
        found = list(given.items())
    else:
        raise errors.UserError(f"{what} is {given!r}; give names and values, such as {{'smile': 0.3}}")
    return {check_name(name, what): value_of(name, value, what) for name, value in found}


def check_name(name: Any, what: str = "expression") -> str:
    """Refuse a name that is none.

    Raises:
      UserError: so it is.
    """
    if name in DIRECTIONS:
        return name
    text = str(name)
    if text.startswith("eyeLook"):
        raise errors.UserError(f"{what} {text!r} is where eyes look; say it by gaze")
    if text.startswith(SPOKEN):
        raise errors.UserError(f"{what} {text!r} is speech's, or not drawn; choose of {ALLOWED}")
    raise errors.UserError(f"{what} {name!r} is not known; choose of {ALLOWED}")


def value_of(name: str, given: Any, what: str = "expression") -> float:
    """Take the value of a name that is known.

    Raises:
      UserError: it is no number, or out of its range.
    """
    value = np.nan
    try:
        if isinstance(given, str) or (isinstance(given, numbers.Real) and not isinstance(given, bool)):
            value = float(given)
    except ValueError:
        pass
    if not least(name) <= value <= 1:
        raise errors.UserError(
            f"{what} {name} is {given!r}; it must be a number from {least(name):g} to 1, 0 is usual"
        )
    return value
