"""How a face does what it does, as clients ask for it: the same fields in forms and messages."""

from typing import Annotated, Any

import fastapi
import pydantic

from avct_jax import errors
from avct_jax.animator import scales
from avct_jax.data.direction import expressions
from avct_jax.data.direction import gaze as gazes

SIZE = "side, px: 256 to 1024, even"
FACE = "which of several, by its number from the left, see /v1/faces"
EXPRESSION = "names and values, such as smile=.3,brows=.2"
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
        )
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise errors.UserError(first["msg"].removeprefix("Value error, ")) from None


Form = Annotated[Direction, fastapi.Depends(of_form)]
