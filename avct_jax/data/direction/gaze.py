"""Where eyes look: angles off the camera, kept while the head turns, as eyes keep to what they look at."""

import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from avct_jax import errors
from avct_jax import face_topology as topology

MOST = (25.0, 15.0)  # degrees, to a side and up or down
CAMERA = (0.0, 0.0)
BALL = 12.0 / 90.0  # radius of an eyeball, eye distances: 12 mm, the outer corners 90 mm apart
ORBIT = np.radians([28.0, 18.0])  # to a side, up or down: as far as eyes turn in the head
# Who looks less aside than this is taken to look into the camera, and so is everybody in height: there
# irises' landmarks and heads' pitches are off by 6 degrees, where to a side they are by 3.
ASIDE = np.radians(4.0)
# An upper lid goes with the eye: share of the iris' way, and the least and most of the way between the lids.
LID_SHARE, LID_LOW, LID_HIGH = 0.75, -0.3, 0.5
ALLOWED = (
    f"x,y in degrees, x -{MOST[0]:g} to {MOST[0]:g} (right), y -{MOST[1]:g} to {MOST[1]:g} (up); or camera"
)


class OwnEyes(NamedTuple):
    """A portrait's eyes.

    Attributes:
      aside: how far they look to the right, against the head, rad.
      gap: between the lids of the image's left and right eye, eye distances.
    """

    aside: float
    gap: Float[np.ndarray, " 2"]


class Eyes(NamedTuple):
    """Eyes in each of t frames: as in face_mesh.Controls.

    Attributes:
      gaze: right and down, eye distances.
      lids: how far the upper lids go down with it, shares of the way between lids.
    """

    gaze: Float[np.ndarray, "t 2"]
    lids: Float[np.ndarray, "t 2"]


def read(given: Any, what: str = "gaze") -> tuple[float, float]:
    """Take where eyes look.

    Args:
      given: degrees to the image's right and up, a pair or "x,y"; or "camera".
      what: for refusals.

    Raises:
      UserError: it is something else, or farther than eyes go.
    """
    if isinstance(given, str) and given.strip() == "camera":
        return CAMERA
    pair = given.split(",") if isinstance(given, str) else given
    try:
        if not isinstance(pair, Sequence | np.ndarray) or any(isinstance(x, bool) for x in pair):
            raise ValueError
        x, y = (float(value) for value in pair if isinstance(value, str | numbers.Real))
        if abs(x) <= MOST[0] and abs(y) <= MOST[1] and len(pair) == 2:
            return x, y
    except (TypeError, ValueError):
        pass
    raise errors.UserError(f"{what} is {given!r}; give {ALLOWED}")


def own(
    points: Float[np.ndarray, "478 3"], canonical: Float[np.ndarray, "478 3"], turned: Float[np.ndarray, " 3"]
) -> OwnEyes:
    """Find where a portrait's eyes look.

    Args:
      points: of the portrait, in the canonical frame.
      canonical: the mean face, which looks ahead.
      turned: the portrait's head, rotation vector, rad.
    """
    across = np.mean([_offset(points, side) - _offset(canonical, side) for side in (0, 1)], 0)[0]
    in_head = float(np.arcsin(np.clip(across / BALL, -0.9, 0.9)))
    head = _facing(turned[None])[0, 0]
    seen = in_head + head
    seen = np.sign(seen) * max(abs(seen) - ASIDE, 0)
    gaps = [
        np.linalg.norm(points[list(upper[2:-2])] - points[list(lower[2:-2])], axis=1).mean()
        for upper, lower in topology.APERTURES[1:]
    ]
    return OwnEyes(float(np.clip(seen - head, -ORBIT[0], ORBIT[0])), np.array(gaps))


def _offset(points, side):
    """An iris' centre against the middle of its eye's corners."""
    upper, _ = topology.APERTURES[1 + side]
    centre = (topology.LEFT_IRIS, topology.RIGHT_IRIS)[side][0]
    return (points[centre] - (points[upper[0]] + points[upper[-1]]) / 2)[:2]


def look(
    wanted: Float[np.ndarray, "t 2"],
    rotation: Float[np.ndarray, "t 3"],
    eyes: OwnEyes,
    turned: Float[np.ndarray, " 3"],
) -> Eyes:
    """Turn eyes to where they are to look, whatever the head does.

    Args:
      wanted: degrees off the camera, right and up.
      rotation: of the head against the portrait's, rotation vector, rad.
      eyes: the portrait's own.
      turned: the portrait's head, rotation vector, rad.
    """
    from scipy.spatial import transform  # late: inputs are looked at before it is there

    head = transform.Rotation.from_rotvec(rotation) * transform.Rotation.from_rotvec(turned)
    facing = _facing(head.as_rotvec())
    facing[:, 1] -= _facing(turned[None])[0, 1]
    angle = (np.radians(wanted) - facing).clip(-ORBIT, ORBIT)
    way = BALL * (np.sin(angle) - [np.sin(eyes.aside), 0.0]) * [1, -1]
    return Eyes(way.astype(np.float32), lids(way, eyes.gap))


def _facing(rotation: Float[np.ndarray, "t 3"]) -> Float[np.ndarray, "t 2"]:
    """Where heads face: angles to the right and up, rad."""
    from scipy.spatial import transform  # late: inputs are looked at before it is there

    ahead = transform.Rotation.from_rotvec(rotation).apply([0.0, 0.0, -1.0])
    return np.arcsin(np.clip(ahead[:, :2], -1, 1)) * [1, -1]


def lids(way: Float[np.ndarray, "t 2"], gap: Float[np.ndarray, " 2"]) -> Float[np.ndarray, "t 2"]:
    """Return how far the upper lids follow eyes that go down or up.

    Args:
      way: of the irises, right and down, eye distances.
      gap: between the lids.
    """
    share = LID_SHARE * way[:, 1:] / np.maximum(gap, 0.03)
    return share.clip(LID_LOW, LID_HIGH).astype(np.float32)
