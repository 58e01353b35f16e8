"""When eyes blink: at given times, or as often as a rate that changes says."""

import math
import os
import reprlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from avct_jax import arguments, errors
from avct_jax.data.faces import head_motion_bank as bank
from avct_jax.files import json_text, text_file

PEAK = int(np.argmax(bank.BLINK))  # frame of a blink in which the eyes are shut
LONGEST = 24 * 3600.0  # seconds


def read(given: Any) -> tuple[float, ...]:
    """Take the times of blinks.

    Args:
      given: seconds; or a file of text, with a time a line or a list in JSON.

    Raises:
      UserError: it cannot be read, or something in it is no time.
    """
    if arguments.is_path(given):
        name = repr(os.fspath(given))
        return tuple(sorted(_checked(value, f"{name} {where}") for where, value in _of_text(given, name)))
    if isinstance(given, Iterable) and not isinstance(given, bytes):
        return tuple(sorted(_checked(value, f"blink {i}") for i, value in enumerate(given, 1)))
    raise errors.UserError(f"blinks are {given!r}; give times in seconds, or a file of them")


def _of_text(path: Any, name: str) -> list[tuple[str, Any]]:
    text = text_file.read(path)
    if text.lstrip()[:1] in ("[", "{"):
        try:
            found = json_text.parse(text)
        except ValueError:
            raise errors.UserError(f"{name} is no JSON; give a list of times in seconds") from None
        if not isinstance(found, list):
            raise errors.UserError(f"{name} holds no list; give a list of times in seconds")
        return [(f"entry {i}", value) for i, value in enumerate(found, 1)]
    lines = ((i, line.partition("#")[0].strip()) for i, line in enumerate(text.splitlines(), 1))
    return [(f"line {i}", _number(line)) for i, line in lines if line]


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _checked(value: Any, where: str) -> float:
    time = float(value) if arguments.is_real(value) else math.nan
    if not 0 <= time <= LONGEST:
        raise errors.UserError(f"{where}: {reprlib.repr(value)} is no time; give seconds from 0")
    return time


def shut(times: Iterable[float], count: int) -> Float[np.ndarray, " t"]:
    """Return how far eyes are shut that blink at so many seconds: shut in the frame of that time."""
    found = np.zeros(count, np.float32)
    for time in times:
        begin = round(time * bank.FRAME_RATE) - PEAK
        for i, share in enumerate(bank.BLINK):
            if 0 <= begin + i < count:
                found[begin + i] = max(found[begin + i], share)
    return found


def at_rate(
    rate: Float[np.ndarray, " t"], silent: Bool[np.ndarray, " t"], seed: int
) -> Float[np.ndarray, " t"]:
    """Draw when eyes shut that blink `rate` times as often as usual, which changes: their time goes as fast.

    Args:
      silent: where nobody speaks; some blinks wait for it.
    """
    rng = np.random.default_rng((seed, 11))
    found = np.zeros(len(rate), np.float32)
    passed = np.cumsum(rate) / bank.FRAME_RATE
    due = rng.uniform(0.4, 1.0) * bank.BLINK_GAP
    waits, free = rng.random() < bank.BLINK_AT_PAUSE, 0
    for frame, time in enumerate(passed):
        late = time - due
        if late < 0 or frame < free or rate[frame] <= 0:
            continue
        if waits and not silent[frame] and late < bank.PAUSE_AWAY / bank.FRAME_RATE:
            continue
        length = min(len(bank.BLINK), len(found) - frame)
        found[frame : frame + length] = bank.BLINK[:length]
        gap = rng.lognormal(np.log(bank.BLINK_GAP), bank.BLINK_SPREAD)
        due = time + float(np.clip(gap, bank.BLINK_LEAST, bank.BLINK_MOST))
        waits, free = rng.random() < bank.BLINK_AT_PAUSE, frame + len(bank.BLINK) + bank.BLINK_REST
    return found
