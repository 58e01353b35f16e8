"""`/v1/faces`: the faces of a picture, for clients that let one be chosen."""

import asyncio
import shutil
from typing import Annotated

import fastapi
import pydantic

from avct_jax.animator import portrait
from avct_jax.data.media import image_io
from avct_jax.serve import upload

router = fastapi.APIRouter(prefix="/v1/faces", tags=["videos"])


class FaceFound(pydantic.BaseModel):
    """One face."""

    number: int = pydantic.Field(description="from the left, from 1: `face` of other requests")
    box: tuple[float, float, float, float] = pydantic.Field(description="left, top, right, bottom, px")
    score: float = pydantic.Field(description="the detector's, 0 to 1")
    largest: bool = pydantic.Field(description="it speaks where none is chosen")


class PicturedFaces(pydantic.BaseModel):
    """All faces of a picture."""

    width: int
    height: int
    faces: list[FaceFound]


@router.post("")
async def find_faces(
    request: fastapi.Request,
    image: Annotated[fastapi.UploadFile, fastapi.File(description="a picture")],
) -> PicturedFaces:
    """Find the faces of a picture; nothing of it is kept."""
    limits, folder = request.app.state.settings.limits, request.app.state.sessions.new_folder()
    try:
        pixels = await asyncio.to_thread(image_io.read_image, await upload.portrait(image, folder, limits))
        found = await asyncio.to_thread(portrait.faces, pixels)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    height, width = pixels.shape[:2]
    return PicturedFaces(width=width, height=height, faces=[FaceFound(**face._asdict()) for face in found])
