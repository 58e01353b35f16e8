"""Files of forms, written under names that are not the client's."""

import pathlib

import fastapi

from avct_jax import errors

PIECE = 1 << 20  # bytes
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


def nameless(error: errors.UserError, folder: pathlib.Path) -> errors.UserError:
    """The same failure without our folder's name, which is none of the client's business."""
    said = str(error).replace(f"{folder}/", "").replace("`--list-faces` shows", "POST /v1/faces shows")
    return errors.UserError(said)


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
