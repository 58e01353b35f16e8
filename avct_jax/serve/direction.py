"""How a face does what it does, as clients ask for it: the same fields in forms and messages."""

from typing import Annotated, Any

import fastapi
import pydantic

from avct_jax import errors
from avct_jax.animator import options, scales
from avct_jax.data.direction import cues as cue_lists
from avct_jax.data.direction import expressions
from avct_jax.data.direction import gaze as gazes
from avct_jax.files import json_text

SIZE = "side, px: 256 to 1024, even"
FACE = "which of several, by its number from the left, see /v1/faces"
EXPRESSION = "names and values, such as smile=.3,brows=.2"
Framing = options.Framing
FRAMING = "a square around the head, or the full picture"
CUES = "JSON: a list of cues {time, what, value, ease}, what changes over the film"
LONGEST = 100_000  # characters of cues
LABEL = "the letters AI are drawn into a corner; an unseen mark is there in any case"
GAZE = "where the eyes look: camera, or x,y: degrees off it, right and up"
FAR, OFTEN, WIDE = (
    f"factor on how {what}, 0 to {scales.MOST[name]:g}"
    for what, name in (
        ("far the head moves", "head_motion"),
        ("often the eyes blink", "blink"),
        ("far the mouth moves", "mouth"),
    )
)


class Direction(pydantic.BaseModel):
    """Options of `Animator.animate` and `Stream`."""

    model_config = pydantic.ConfigDict(extra="forbid")

    size: int | None = pydantic.Field(None, description=SIZE)
    seed: int | None = pydantic.Field(None, ge=0)
    still: bool = False
    head_motion: float = pydantic.Field(1.0, description=FAR, ge=0, le=scales.MOST["head_motion"])
    blink: float = pydantic.Field(1.0, description=OFTEN, ge=0, le=scales.MOST["blink"])
    mouth: float = pydantic.Field(1.0, description=WIDE, ge=0, le=scales.MOST["mouth"])
    face: int | None = pydantic.Field(None, ge=1, description=FACE)
    expression: dict[str, float] | str | None = pydantic.Field(None, description=EXPRESSION)
    gaze: tuple[float, float] | str | None = pydantic.Field(None, description=GAZE)
    label: bool = pydantic.Field(False, description=LABEL)
    framing: Framing = pydantic.Field("head", description=FRAMING)

    @pydantic.field_validator("expression")
    @classmethod
    def _known(cls, given: dict[str, float] | str | None) -> dict[str, float] | None:
        return expressions.read(given) if given else None

    @pydantic.field_validator("gaze")
    @classmethod
    def _seen(cls, given: tuple[float, float] | str | None) -> tuple[float, float] | None:
        return None if given is None else gazes.read(given)

    def options(self) -> dict[str, Any]:
        """As keyword arguments."""
        return {name: getattr(self, name) for name in Direction.model_fields}


def of_form(
    size: Annotated[int | None, fastapi.Form(description=SIZE)] = None,
    seed: Annotated[int | None, fastapi.Form(ge=0)] = None,
    still: Annotated[bool, fastapi.Form(description="the head keeps its pose")] = False,
    head_motion: Annotated[float, fastapi.Form(description=FAR, ge=0, le=scales.MOST["head_motion"])] = 1.0,
    blink: Annotated[float, fastapi.Form(description=OFTEN, ge=0, le=scales.MOST["blink"])] = 1.0,
    mouth: Annotated[float, fastapi.Form(description=WIDE, ge=0, le=scales.MOST["mouth"])] = 1.0,
    face: Annotated[int | None, fastapi.Form(ge=1, description=FACE)] = None,
    expression: Annotated[str | None, fastapi.Form(description=EXPRESSION)] = None,
    gaze: Annotated[str | None, fastapi.Form(description=GAZE)] = None,
    label: Annotated[bool, fastapi.Form(description=LABEL)] = False,
    framing: Annotated[Framing, fastapi.Form(description=FRAMING)] = "head",
) -> Direction:
    """Read it from a form."""
    try:
        return Direction(
            size=size,
            seed=seed,
            still=still,
            head_motion=head_motion,
            blink=blink,
            mouth=mouth,
            face=face,
            expression=expression,
            gaze=gaze,
            label=label,
            framing=framing,
        )
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise errors.UserError(first["msg"].removeprefix("Value error, ")) from None


def of_cues(direction: Annotated[str | None, fastapi.Form(description=CUES)] = None) -> list | None:
    """Read a film's cues from a form; as `Animator.animate` takes them."""
    if not direction:
        return None
    if len(direction) > LONGEST:
        raise errors.UserError(f"direction has {len(direction)} characters; {LONGEST} are the most")
    try:
        given = json_text.parse(direction)
    except ValueError as error:
        raise errors.UserError(f"direction is no JSON ({' '.join(str(error).split())}); mend it") from None
    told: list = given if isinstance(given, list) else [given]  # a text alone would name a file of ours
    cue_lists.read(told)
    return told


Form = Annotated[Direction, fastapi.Depends(of_form)]
Cues = Annotated[list | None, fastapi.Depends(of_cues)]
