"""Phonemes that are known to be said, told with the audio: from a speech synthesiser's own timing."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from avct_jax import errors
from avct_jax.data.phonemes import ipa, symbols
from avct_jax.data.speech import mesh_features

SHARE = 0.5  # posterior that a known phoneme has at least, as in mesh_features.told
STEPS_PER_SECOND = 50
FORM = "give (symbol, start, end), seconds since the reply began, such as ('AA', 0.1, 0.25)"


class Hint(NamedTuple):
    """Columns of the posteriors that are likely from step `begin` to before step `end`, 20 ms each."""

    columns: tuple[int, ...]
    begin: int
    end: int


def read(given: Any) -> list[Hint]:
    """Take phonemes and their times.

    Args:
      given: rows of an ARPAbet or IPA symbol, start and end, seconds since the reply began.

    Raises:
      UserError: they are of another form, or name a symbol that is not known.
    """
    if given is None:
        return []
    if isinstance(given, str | bytes) or not hasattr(given, "__iter__"):
        raise errors.UserError(f"phonemes of {type(given).__name__} are given; {FORM}")
    return [_hint(row) for row in given]


def _hint(row):
    try:
        symbol, start, end = row
        begin, after = (round(float(time) * STEPS_PER_SECOND) for time in (start, end))
    except (TypeError, ValueError, OverflowError):
        raise errors.UserError(f"a phoneme is {row!r}; {FORM}") from None
    if not 0 <= begin <= after:
        raise errors.UserError(f"a phoneme is {row!r}, which ends before it begins or is before 0; {FORM}")
    columns = mesh_features.columns_of_symbols()
    found = tuple(column for name in _names(symbol) for column in columns.get(symbols.INDEX[name], ()))
    if not found and _names(symbol) != ["NSN"]:
        raise errors.UserError(f"the phoneme {symbol!r} is not known; choose of {' '.join(symbols.SYMBOLS)}")
    return Hint(found, begin, after)


def _names(symbol):
    """ARPAbet, its stress left out, or IPA."""
    plain = str(symbol).strip().rstrip("012").upper()
    if plain in symbols.SILENCES:
        return ["SIL"]
    if plain in symbols.INDEX:
        return [plain]
    if plain in symbols.ARPABET:
        return symbols.ARPABET[plain].split("+")
    return ipa.to_arpabet(str(symbol)) if isinstance(symbol, str) else []


def floors(known: Sequence[Hint], begin: int, frames: int) -> Float[np.ndarray, "t 2 56"]:
    """Return the least log-posteriors of frames begin .. begin + frames - 1; -inf where nothing is known."""
    steps = mesh_features.STEPS
    least = np.full((frames * steps, len(mesh_features.TOKENS)), -np.inf, np.float32)
    for hint in known:
        first, after = (int(np.clip(x - begin * steps, 0, len(least))) for x in (hint.begin, hint.end))
        if hint.columns:
            least[first:after, list(hint.columns)] = np.log(SHARE / len(hint.columns))
    return least.reshape(frames, steps, -1)
