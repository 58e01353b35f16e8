"""`/v1/verify`: whether a film says that it is synthetic, and who says so."""

import json
import shutil
from typing import Annotated, Any

import fastapi
import pydantic

from avct_jax.serve import safe_decode, upload

router = fastapi.APIRouter(prefix="/v1/verify", tags=["marks"])


class FoundMarks(pydantic.BaseModel):
    """The marks of a film."""

    marked: bool = pydantic.Field(description="as synthetic, by what is not forged")
    media: str = pydantic.Field(description="film, picture (a single one) or sound")
    state: str = pydantic.Field(
        description="of its Content Credentials: trusted, valid, invalid, none, unreadable or unchecked"
    )
    reason: str | None = pydantic.Field(None, description="why they are unreadable or unchecked")
    signer: str | None = None
    generator: str | None = None
    synthetic: bool | None = pydantic.Field(
        None, description="whether the credentials say that it is, or was made from what is"
    )
    declared: bool | None = pydantic.Field(None, description="what they say of the film itself")
    statement: dict[str, Any] | None = pydantic.Field(None, description="of a film that avct_jax made")
    lines: list[str] = pydantic.Field(description="the same, for people")
    failures: list[str] = pydantic.Field(description="what is not valid, codes of C2PA")
    ingredients: list[dict[str, Any]] = pydantic.Field(
        description="pictures, films and sounds it was made from, and the state of their credentials"
    )
    watermark: dict[str, Any] | None = pydantic.Field(None, description="of avct_jax, in the frames")


@router.post("")
async def verify_film(
    request: fastapi.Request,
    video: Annotated[fastapi.UploadFile, fastapi.File(description="a film, anybody's")],
) -> FoundMarks:
    """Read a film's marks; nothing of it is kept."""
    limits, folder = request.app.state.settings.limits, request.app.state.sessions.new_folder()
    try:
        given, found = folder / "given.mp4", folder / "found.json"
        await upload.save(video, given, limits.film, "video")
        await safe_decode.film(given, found, limits)
        record = json.loads(found.read_text(encoding="utf-8"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return FoundMarks(**{name: record[name] for name in FoundMarks.model_fields})
