"""Options that direct a face beside its factors."""

import dataclasses
from typing import Annotated, Any

from avct_jax.cli import option


@dataclasses.dataclass(frozen=True)
class DirectionOptions:
    """What the face shows, where it looks, and what changes over the film.

    Attributes:
      expression: such as smile=.3,brows=.2 (default: none): smile, frown, pucker, squint,
        wide from 0 to 1, brows from -1 to 1, and ARKit's names
      gaze: where the eyes look: camera, or degrees off it, right and up, such as --gaze=-10,5 (default:
        made up)
      blinks: a file of times (s) of blinks, one a line or JSON, instead of made-up ones
      direction: a JSON file of cues {time, what, value, ease}: what changes over the film
    """

    expression: Annotated[object, option.WORD, option.shown_as("NAME=VALUE,..."), option.AlsoJson(dict)] = (
        None
    )
    gaze: Annotated[object, option.WORD, option.shown_as("X,Y|camera"), option.AlsoJson(list)] = None
    blinks: Annotated[object, option.WORD, option.shown_as("FILE"), option.AlsoJson(list)] = None
    direction: Annotated[object, option.WORD, option.shown_as("FILE"), option.AlsoJson(list)] = None

    @property
    def files(self) -> tuple[str, ...]:
        """What must be readable."""
        return tuple(file for file in (self.blinks, self.direction) if isinstance(file, str))

    def asked(self) -> dict[str, Any]:
        """As fields of a request."""
        return dataclasses.asdict(self)
