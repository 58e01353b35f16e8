"""How much a face does of what it does: factors on head motion, blinks and mouth."""

import math
import numbers
from typing import Any, NamedTuple

from avct_jax import errors
from avct_jax.data.direction import cues, timeline

MOST = cues.FACTORS  # least is 0, usual 1


class Scales(NamedTuple):
    """Factors on what is usual; 1 leaves everything as it is.

    Attributes:
      head_motion: on how far the head turns and shifts, 0 to 3; below 1 on the brows as well.
      blink: on how often the eyes blink, 0 to 4.
      mouth: on how far the mouth moves, 0 to 2.
    """

    head_motion: float = 1.0
    blink: float = 1.0
    mouth: float = 1.0

    def checked(self) -> "Scales":
        """Refuse what is out of range.

        Raises:
          UserError: one is no number, or out of its range.
        """
        return Scales(*(scale(given, name) for name, given in self._asdict().items()))

    def adjusted(self, **given: float | None) -> "Scales":
        """Change those that are not None.

        Raises:
          UserError: one is no number, or out of its range.
        """
        return self._replace(**{name: x for name, x in given.items() if x is not None}).checked()


def scale(given: Any, name: str) -> float:
    """Take a factor.

    Args:
      name: one of `MOST`.

    Raises:
      UserError: it is no number, or out of its range.
    """
    number = isinstance(given, numbers.Real) and not isinstance(given, bool)
    found = float(given) if number else math.nan
    if not 0 <= found <= MOST[name]:
        raise errors.UserError(
            f"{name} is {given!r}; it must be a number from 0 to {MOST[name]:g}, 1 is usual"
        )
    return found


def refuse_for_keypoints(asked: Scales) -> None:
    """Refuse what a checkpoint of learned keypoints cannot do: all but a head that keeps still.

    Raises:
      UserError: it is asked for.
    """
    for name, given in asked._asdict().items():
        if given != 1 and (name, given) != ("head_motion", 0):
            option = f"--{name.replace('_', '-')}"
            raise errors.UserError(
                f"{option} {given:g} needs a checkpoint of the mesh family, this one has learned keypoints; "
                f"leave {option} out"
            )


def refuse_direction_for_keypoints(told: timeline.FaceDirection) -> None:
    """Refuse a direction that is given to a checkpoint of learned keypoints.

    Raises:
      UserError: so it is.
    """
    options = {
        "expression": told.expression,
        "gaze": told.gaze,
        "blinks": told.blinks,
        "direction": told.cues,
    }
    for name, given in options.items():
        if given not in (None, (), {}):
            raise errors.UserError(
                f"--{name} needs a checkpoint of the mesh family, this one has learned keypoints; "
                f"leave --{name} out"
            )
