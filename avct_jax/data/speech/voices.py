"""Who speaks which language: hibari-tts English, espeak-ng the others."""

import logging

from avct_jax.data.phonemes import languages, writing_systems
from avct_jax.data.speech import espeak_speaker, speaker

log = logging.getLogger(__name__)


def checked(text: str, language: str = languages.ENGLISH) -> str:
    """Take a text that is to be said; that its letters are another language's is logged.

    Args:
      language: its code.

    Raises:
      UserError: nothing of it can be said, or who would speak it is not installed.
    """
    code = languages.check(language)
    if languages.is_english(code):
        speaker.check_installed()
        return speaker.checked(text)
    espeak_speaker.EspeakSpeaker(code)
    checked_text = speaker.checked_length(text)
    if remark := writing_systems.remark(checked_text, code):
        log.warning("%s", remark)
    return checked_text


def of(language: str = languages.ENGLISH) -> speaker.Speaker:
    """Return who speaks a language.

    Raises:
      UserError: who would is not installed.
    """
    code = languages.check(language)
    return speaker.HibariSpeaker() if languages.is_english(code) else espeak_speaker.EspeakSpeaker(code)
