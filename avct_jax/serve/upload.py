"""Files of forms, written under names that are not the client's."""

import contextlib
import pathlib
import secrets
import shutil
from collections.abc import Iterator
from typing import Any

import fastapi
from fastapi import requests

from avct_jax import errors
from avct_jax.marks import installation
from avct_jax.serve import safe_decode
from avct_jax.serve.settings import Limits

PIECE = 1 << 20  # bytes
ORIGINAL, SOUND = "original", "original_audio"  # a portrait's and a recording's file as they came
LONGEST = 1000  # characters of a consent
CONSENT = fastapi.Form(description="who in the picture agreed to this, and how; kept with the video")
NO_CONSENT = "say in `consent` who in the picture agreed to this, and how: 'It is me', for example"


def check_consent(consent: str) -> None:
    """Refuse to animate people of whom nothing is said.

    Raises:
      UserError: it is empty or endless.
    """
    if not consent.strip():
        raise errors.UserError(NO_CONSENT)
    if len(consent) > LONGEST:
        raise errors.UserError(f"`consent` has {len(consent)} characters; {LONGEST} are the most")


async def refuse_unknown(connection: requests.HTTPConnection) -> None:
    """Refuse a form with fields that its request does not have: nothing that was asked for is passed over.

    Raises:
      UserError: so it is.
    """
    dependant = getattr(connection.scope.get("route"), "dependant", None)
    if not isinstance(connection, fastapi.Request) or dependant is None:
        return
    if (known := _fields(dependant)) and (unknown := sorted(set(await connection.form()) - known)):
        raise errors.UserError(
            f"there is no field {errors.few(unknown)}; the fields here are {', '.join(sorted(known))}"
        )


def _fields(dependant: Any) -> set[str]:
    """What a request takes in a form, and what it depends on."""
    inner = (_fields(other) for other in dependant.dependencies)
    return {field.alias for field in dependant.body_params}.union(*inner)


def nameless(error: errors.UserError, folder: pathlib.Path) -> errors.UserError:
    """The same failure without our folder's name, which is none of the client's business."""
    said = without_folder(str(error), folder).replace("`--list-faces` shows", "POST /v1/faces shows")
    return errors.UserError(said)


def without_folder(line: str, folder: pathlib.Path) -> str:
    """A line in which neither our folder nor that of this installation's settings is named."""
    return line.replace(f"{folder}/", "").replace(f"{installation.folder()}/", "")


def new_folder(parent: pathlib.Path) -> pathlib.Path:
    """Make a folder for one client's files, of a random name."""
    folder = parent / secrets.token_urlsafe(16)
    folder.mkdir(mode=0o700)
    return folder


@contextlib.contextmanager
def removed_on_failure(folder: pathlib.Path) -> Iterator[None]:
    """Leave nothing of a request that fails."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


async def portrait(
    given: fastapi.UploadFile, folder: pathlib.Path, limits: Limits, *, keep: bool = False
) -> pathlib.Path:
    """Write a portrait under a name of our own, and decode it.

    Args:
      keep: its file too, as ORIGINAL: what is made tells of it.

    Raises:
      HTTPException: it is too large.
      UserError: it is no image.
    """
    path, seen = folder / ORIGINAL, folder / "image.png"
    await save(given, path, limits.image, "image")
    await safe_decode.image(path, seen, limits)
    if not keep:
        path.unlink()
    return seen


async def save(given: fastapi.UploadFile, path: pathlib.Path, most: int, what: str) -> None:
    """Write what was uploaded to a file.

    Raises:
      HTTPException: it is too large.
      UserError: it is empty.
    """
    written = 0
    with path.open("wb") as file:
        while piece := await given.read(PIECE):
            written += len(piece)
            if written > most:
                raise fastapi.HTTPException(413, f"the {what} has more than {most} bytes, the most here")
            file.write(piece)
    if not written:
        raise errors.UserError(f"the {what} is empty (0 bytes); give another file")
