"""Words of other languages as the 41 symbols: g2p2 (MIT, extra `languages`) or espeak-ng (GPL, a program).

Both give IPA, of which `ipa` makes what lips know. Neither is asked for English, which has its dictionary.
"""

import functools
import importlib.util
import logging
import lzma
import pathlib
import pkgutil
import re
import shutil
import subprocess
from typing import Any

from avct_jax import errors
from avct_jax.data.phonemes import ipa, pronunciation

ENGLISH = "en"
PROGRAM = "espeak-ng"
SECONDS = 60.0  # after which espeak-ng is given up
FORM = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")  # BCP 47, lower case: de, pt-br, zh-yue
SWITCH = re.compile(r"\([a-z]{2,3}(-[a-z0-9]+)*\)")  # espeak-ng's marks where another language begins
GROUP = "g2p2_group_"  # packages that hold g2p2's models

log = logging.getLogger(__name__)


def check(language: Any) -> str:
    """Take a language.

    Args:
      language: its code, such as "en", "de" or "pt-br".

    Returns:
      It, in small letters.

    Raises:
      UserError: it is no code, or nobody who knows the language is installed.
    """
    code = language.strip().replace("_", "-").lower() if isinstance(language, str) else ""
    if not FORM.fullmatch(code):
        raise errors.UserError(f"the language is {language!r}; give its code, such as en, de or pt-br")
    if not is_english(code) and _model_file(code) is None and not _espeak_knows(code):
        base = code.partition("-")[0]
        help_yourself = (
            "is the code right? `espeak-ng --voices` lists its own"
            if shutil.which(PROGRAM)
            else f"run `pip install 'g2p2[{base},numbers]'`, or install the program espeak-ng"
        )
        raise errors.UserError(f"nobody here knows the language {code}; {help_yourself}")
    return code


def is_english(code: str) -> bool:
    """Whether a code is of a kind of English."""
    return code.partition("-")[0] == ENGLISH


def pronounce(text: str, language: str) -> list[pronunciation.Word]:
    """Return the words of a text, numbers spelled out, each with how it is said.

    Args:
      language: as `check` returns it.

    Raises:
      UserError: nobody who knows it is installed.
    """
    if is_english(language):
        return pronunciation.pronounce(text)
    pairs = _by_g2p2(text, language) if _model_file(language) else _by_espeak(text, language)
    words = [pronunciation.Word(word, (phones,)) for word, spelled in pairs if (phones := phones_of(spelled))]
    unsaid = [word for word, spelled in pairs if not phones_of(spelled) and re.search(r"\w", word)]
    if unsaid:
        log.warning("left out of the transcript, how they are said is not known: %s", errors.few(unsaid))
    return words


def phones_of(spelled: str) -> tuple[str, ...]:
    """Return the ARPAbet of a word in IPA; what is no IPA is left out."""
    return tuple(phone for phone in ipa.to_arpabet(SWITCH.sub("", spelled)) if phone != ipa.UNKNOWN)


def _by_g2p2(text: str, language: str) -> list[tuple[str, str]]:
    import g2p2  # pyright: ignore[reportMissingImports]

    code = _model_code(language)
    words = re.findall(r"\w(?:[\w'’·-]*\w)?", g2p2.expand_numbers(text, code).lower())  # noqa: RUF001
    return list(zip(words, _model(language).phonemize_many(words), strict=True))


@functools.cache
def _model(language: str) -> Any:
    import g2p2  # pyright: ignore[reportMissingImports]

    file = _model_file(language)
    assert file is not None
    return g2p2.Model.from_bytes(lzma.decompress(file.read_bytes()))


@functools.cache
def _model_file(language: str) -> pathlib.Path | None:
    """The installed model of a language. g2p2 itself would look for others in the network."""
    if importlib.util.find_spec("g2p2") is None:
        return None
    for module in pkgutil.iter_modules():
        spec = importlib.util.find_spec(module.name) if module.name.startswith(GROUP) else None
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if (found := pathlib.Path(folder) / f"{_model_code(language)}.g2p.xz").is_file():
                return found
    return None


def _model_code(language: str) -> str:
    """g2p2 knows languages, not their countries; Cantonese apart."""
    return "yue" if language in ("yue", "zh-yue") else language.partition("-")[0]


def _by_espeak(text: str, language: str) -> list[tuple[str, str]]:
    """Words and their IPA; nameless where the program joins or divides words."""
    spelled = espeak(text, "-q", "--ipa", language=language).decode(errors="replace").split()
    spelled = [word for word in spelled if phones_of(word)]
    words = [word for word in text.split() if re.search(r"\w", word)]
    return list(zip(words if len(words) == len(spelled) else [""] * len(spelled), spelled, strict=True))


def espeak(text: str, *options: str, language: str) -> bytes:
    """Run espeak-ng on a text, and return what it writes.

    Raises:
      UserError: it is not installed, fails, or does not know the language.
    """
    if (program := shutil.which(PROGRAM)) is None:
        raise errors.UserError(f"{PROGRAM} is not installed; install it, or give a recording")
    command = [program, "-b", "1", "-v", language, *options, "--stdin"]
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise errors.UserError(f"{PROGRAM} cannot speak the text: {error}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing why"]
        raise errors.UserError(f"{PROGRAM} cannot speak the text: {said[0]}")
    return done.stdout


@functools.cache
def _espeak_knows(language: str) -> bool:
    if shutil.which(PROGRAM) is None:
        return False
    try:
        espeak("", "-q", language=language)
    except errors.UserError:
        return False
    return True
