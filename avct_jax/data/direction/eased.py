"""Expression and gaze of a live face, which eases to what it is told."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from avct_jax.data.direction import cues, expressions, gaze

PACE, NEAR = 0.3, 1e-3  # of the way, a frame: 89 % in 10; so near is there
SIDES, PARTS = 2, 2 * len(expressions.PARTS)
Vector = Float[np.ndarray, " v"]  # parts, lids, raised lower lids, where eyes look, how far they are told to


class LiveFace(NamedTuple):
    """A portrait that is directed.

    Attributes:
      eyes: where they look.
      turned: its head, rotation vector, rad.
    """

    eyes: gaze.OwnEyes
    turned: Float[np.ndarray, " 3"]


class EasedDirection(NamedTuple):
    """Where a face is on its way.

    Attributes:
      expression: values of names that it goes to.
      look: degrees to the right and up that its eyes go to; None: made up.
      poles: where it is, the slow one last.
    """

    expression: Mapping[str, float]
    look: tuple[float, float] | None
    poles: tuple[Vector, Vector]

    def told(self, expression: object = None, look: object = None) -> "EasedDirection":
        """Go elsewhere; what is None stays.

        Args:
          expression: names and values, instead of those before.
          look: as `gaze.read` takes it, or "free": made up.

        Raises:
          UserError: one is of another kind or out of its range.
        """
        found = self
        if expression is not None:
            found = found._replace(expression=expressions.read(expression) if expression else {})
        if look is not None:
            found = found._replace(
                look=None if isinstance(look, str) and look == cues.FREE else gaze.read(look)
            )
        return found

    def jumped(self) -> "EasedDirection":
        """Be there at once."""
        return self._replace(poles=(self._target(), self._target()))

    def eased(self) -> "EasedDirection":
        """Go on by a frame."""
        wanted, found = self._target(), []
        value = wanted
        for pole in self.poles:
            value = pole + PACE * (value - pole)
            found.append(value)
        if max(np.abs(pole - wanted).max() for pole in found) < NEAR:
            return self.jumped()
        return self._replace(poles=tuple(found))

    def _target(self) -> Vector:
        shown = expressions.shown({n: np.full(1, v) for n, v in self.expression.items()}, 1)
        look = self.poles[0][-3:-1] if self.look is None else self.look  # eyes let go where they are
        rows = (shown.parts[0], shown.lids[0], shown.raised[0], look, [float(self.look is not None)])
        return np.concatenate(rows).astype(np.float64)


def at_rest() -> EasedDirection:
    """Show nothing, and look as it comes."""
    rest = np.zeros(PARTS + 3 * SIDES + 1)
    return EasedDirection({}, None, (rest, rest))


def direct(
    found: EasedDirection, face: LiveFace, row: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], expressions.ShownExpression]:
    """Do what is told in a frame instead of what is made up.

    Args:
      row: fields of head_motion_bank.Behaviour.

    Returns:
      The fields, and what the face shows, of one frame.
    """
    parts, lids, raised, look, told = np.split(found.poles[-1], np.cumsum([PARTS, SIDES, SIDES, 2]))
    shown = expressions.ShownExpression(*(x[None].astype(np.float32) for x in (parts, lids, raised)))
    there = gaze.look(look[None], row["rotation"][None], face.eyes, face.turned)
    down = (lids + told * there.lids[0]).clip(expressions.LIDS_LEAST, 1)
    made_up = row["gaze"]
    return {
        **row,
        "gaze": made_up + told.astype(np.float32) * (there.gaze[0] - made_up),
        "blink": expressions.with_blinks(row["blink"], down),
    }, shown
