"""All marks of a film that is written: its watermark, its badge, and its Content Credentials."""

import os
import pathlib
from typing import Any, NamedTuple

from avct_jax import arguments, errors
from avct_jax.files import checksum
from avct_jax.marks import badge, credentials, mark_payload, signing_key, watermark

UNMARKED = (
    "the film bears no mark: in the European Union whoever makes synthetic video has to mark it in a way "
    "that machines can read (AI Act, article 50(2))"
)


class MarkRequest(NamedTuple):
    """What is asked; see `animator.options.Told`."""

    mark: bool = True
    label: bool = False
    consent: str | None = None
    certificate: Any = None
    key: Any = None
    timestamp: str | None = None
    original: Any = None
    original_audio: Any = None


class FilmMarks:
    """Marks a film's frames, in order, and then its file.

    Attributes:
      payload: what the watermark says; None: there is none.
      unsigned: why the file is not signed by whoever was named for it, or not dated; else None.
    """

    def __init__(self, asked: MarkRequest):
        """Begin.

        Raises:
          UserError: a certificate or key that is named cannot be used.
        """
        self._asked = asked
        self.payload: mark_payload.MarkPayload | None = None
        self.unsigned: str | None = None
        self._watermark = self._key = None
        if asked.mark:
            self._watermark = watermark.usual()
            self.payload = self._watermark.payload
            self._key = credentials.check_named(asked.certificate, asked.key, asked.timestamp)

    def frames(self, frames: Any) -> Any:
        """Mark the frames that come next."""
        if self._asked.label:
            frames = badge.draw(frames)
        return frames if self._watermark is None else self._watermark(frames)

    def file(
        self,
        path: pathlib.Path,
        notes: list[str],
        *,
        portrait: Any,
        sounds: list[Any],
        film: bool,
        checkpoint: Any,
    ) -> None:
        """Sign a film that is written, in its place; where that cannot be done a note says so.

        Args:
          portrait: a file, or pixels.
          sounds: files, or samples.
          film: the portrait is a film that was redubbed.
          checkpoint: a file; None: it is not known.
        """
        if not self._asked.mark:
            notes.append(UNMARKED)
            return
        if path.suffix.lower() not in credentials.SUFFIXES:
            notes.append(f"no Content Credentials: {path.suffix} files hold none; write .mp4 for them")
            return
        try:
            shown = portrait if self._asked.original is None else self._asked.original
            heard = sounds if self._asked.original_audio is None else [self._asked.original_audio]
            statement = self._statement(shown, heard, film, checkpoint)
            key = self._key or signing_key.own(notes)
            credentials.sign(path, statement, key, timestamp=self._asked.timestamp)
        except (errors.UserError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            notes.append(f"no Content Credentials, the film is whole: {reason}")
            named = self._asked.certificate is not None or self._asked.timestamp
            self.unsigned = reason if named else None

    def _statement(
        self, portrait: Any, sounds: list[Any], film: bool, checkpoint: Any
    ) -> credentials.GenerationStatement:
        files = tuple(checksum.sha256(sound) for sound in sounds if _is_kept(sound))
        weights = None if checkpoint is None else checksum.sha256(checkpoint)
        kept = portrait if _is_kept(portrait) else None
        return credentials.GenerationStatement(
            kept, film and kept is not None, files, weights, self._asked.consent, self.payload
        )


def _is_kept(given: Any) -> bool:
    """Whether it is a file that can be read again: pixels are none, and a pipe is empty by now."""
    return arguments.is_path(given) and os.path.isfile(given)
