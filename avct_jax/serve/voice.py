"""The voice that speaks clients' texts; it is loaded when the first one comes."""

import asyncio
import pathlib
from collections.abc import AsyncGenerator
from typing import Any

from avct_jax import errors
from avct_jax.data.speech import speaker


class ServerVoice:
    """A speaker that all clients share, one after another."""

    def __init__(self, most: int, new_speaker: Any = speaker.HibariSpeaker):
        """Load nothing yet.

        Args:
          most: characters of a text.
          new_speaker: makes the speaker.
        """
        self._most, self._new, self._speaker = most, new_speaker, None
        self._lock = asyncio.Lock()

    @property
    def there(self) -> bool:
        """Whether texts can be spoken."""
        if self._new is not speaker.HibariSpeaker:
            return True
        try:
            speaker.check_installed()
        except errors.UserError:
            return False
        return True

    def checked(self, text: str) -> str:
        """Take a text.

        Raises:
          UserError: it is empty, too long, or holds no English word; or no voice is installed.
        """
        if len(text) > self._most:
            raise errors.UserError(f"the text has {len(text)} characters; {self._most} are the most")
        if not self.there:
            raise errors.UserError(speaker.MISSING)
        return speaker.checked(text)

    async def write(self, text: str, path: pathlib.Path) -> list[int] | None:
        """Speak a text into a wav file; the phoneme of each frame, where that is known.

        Raises:
          UserError: as `checked`.
        """
        text = self.checked(text)
        async with self._lock:
            spoken = await asyncio.to_thread(lambda: self._loaded().speak(text))
        await asyncio.to_thread(speaker.write_wav, path, spoken)
        return None if spoken.labels is None else spoken.labels.tolist()

    async def sentences(self, text: str) -> AsyncGenerator[speaker.SpokenText, None]:
        """Speak a text sentence by sentence, each as soon as it is ready.

        Raises:
          UserError: as `checked`.
        """
        text = self.checked(text)
        async with self._lock:
            pieces = await asyncio.to_thread(lambda: iter(self._loaded().speak_sentences(text)))
        while True:
            async with self._lock:  # between sentences others have their turn
                piece = await asyncio.to_thread(next, pieces, None)
            if piece is None:
                return
            yield piece

    def _loaded(self) -> Any:
        self._speaker = self._speaker or self._new()
        return self._speaker
