"""Cues: what a face is to do at which time, and how it goes there; values over the frames of a film."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from avct_jax import arguments, errors
from avct_jax.data.direction import blink_times, expressions, gaze
from avct_jax.data.faces import head_motion_bank
from avct_jax.files import json_text, text_file

FACTORS = {"head_motion": 3.0, "blink": 4.0, "mouth": 2.0}  # most of each; least is 0, usual 1
POSE = {"pitch": 10.0, "yaw": 15.0, "roll": 15.0}  # most degrees either way that a portrait's warp bears
BLINK_ONCE, GAZE, FREE = "blink_once", "gaze", "free"
FIELDS = ("time", "what", "value", "ease")
EASES: dict[str, Callable[[Any], Any]] = {
    "smooth": lambda share: share * share * (3 - 2 * share),
    "linear": lambda share: share,
    "hold": lambda share: np.where(share < 1, 0.0, 1.0),
}
EASES["step"] = EASES["hold"]


class Cue(NamedTuple):
    """One entry.

    Attributes:
      time: seconds.
      what: changes, see `NAMES`.
      value: from this time on: a number; for gaze two, degrees, or None: made up; None for a single blink.
      ease: how it goes there from the cue before: one of `EASES`.
    """

    time: float
    what: str
    value: Any
    ease: str = "smooth"


PLAIN = (*FACTORS, BLINK_ONCE, GAZE, *POSE)
NAMES = (*PLAIN, *expressions.DIRECTIONS)


def read(given: Any) -> tuple[Cue, ...]:
    """Take cues.

    Args:
      given: a list of mappings {time, what, value, ease}, or a file of JSON that holds one.

    Raises:
      UserError: it cannot be read, or a cue is wrong, which the message names by its number from 1.
    """
    if arguments.is_path(given):
        name = repr(os.fspath(given))
        try:
            given = json_text.parse(text_file.read(given))
        except errors.UserError:
            raise
        except ValueError as error:
            raise errors.UserError(f"{name} is no JSON ({' '.join(str(error).split())}); mend it") from None
    if isinstance(given, Mapping) or not isinstance(given, Sequence):
        raise errors.UserError(
            "the direction is no list; give a list of cues {time, what, value, ease}, or a file of one"
        )
    return tuple(sorted((_cue(x, f"cue {i}") for i, x in enumerate(given, 1)), key=lambda cue: cue.time))


def _cue(given: Any, name: str) -> Cue:
    if isinstance(given, Cue):  # read before
        return given
    if not isinstance(given, Mapping):
        raise errors.UserError(f"{name} is {given!r}; it must have {', '.join(FIELDS)}")
    if odd := [str(key) for key in given if key not in FIELDS]:
        raise errors.UserError(f"{name} has {odd[0]!r}, which is not known; choose of {', '.join(FIELDS)}")
    time, what = given.get("time"), given.get("what")
    if not arguments.is_real(time) or not 0 <= time <= blink_times.LONGEST:
        raise errors.UserError(f"{name}: time is {time!r}; give seconds from 0")
    if not isinstance(what, str) or what not in NAMES:
        raise errors.UserError(
            f"{name}: what is {what!r}; choose of {', '.join(PLAIN)}, {expressions.ALLOWED}"
        )
    ease = given.get("ease", "smooth")
    if not isinstance(ease, str) or ease not in EASES:
        raise errors.UserError(f"{name}: ease is {ease!r}; choose of {', '.join(EASES)}")
    return Cue(float(time), what, _value(what, given.get("value"), name), ease)


def _value(what: str, value: Any, name: str) -> Any:
    if what == BLINK_ONCE:
        if value not in (None, 1, True):
            raise errors.UserError(f"{name}: blink_once takes no value, {value!r} is given; leave it out")
        return None
    if what == GAZE:
        return None if isinstance(value, str) and value == FREE else gaze.read(value, f"{name}: gaze")
    if what in expressions.DIRECTIONS:
        return expressions.value_of(what, value, f"{name}:")
    low, high = (0.0, FACTORS[what]) if what in FACTORS else (-POSE[what], POSE[what])
    if not arguments.is_real(value) or not low <= value <= high:
        unit = "" if what in FACTORS else " degrees"
        raise errors.UserError(f"{name}: {what} is {value!r}; it must be from {low:g} to {high:g}{unit}")
    return float(value)


def of(cues: Sequence[Cue], what: str) -> list[Cue]:
    """Return the cues of one thing, in order."""
    return [cue for cue in cues if cue.what == what]


def values(cues: Sequence[Cue], usual: float, count: int) -> Float[np.ndarray, " t"]:
    """Return the values of one thing, frame by frame: `usual` at the start, then from cue to cue."""
    return _along([(cue.time, cue.value, cue.ease) for cue in cues], usual, count)


def _along(points: Sequence[tuple[float, float, str]], start: float, count: int) -> np.ndarray:
    time = np.arange(count) / head_motion_bank.FRAME_RATE
    found, before, since = np.full(count, float(start)), float(start), 0.0
    for at, value, ease in points:
        length = max(at - since, 1e-9)
        share = EASES[ease](
            np.clip((time - since) / length + 1e-9, 0, 1) if at > since else (time >= at) * 1.0
        )
        found = np.where(time >= since, before + share * (value - before), found)
        before, since = value, at
    return found


def looks(
    cues: Sequence[Cue], usual: tuple[float, float] | None, count: int
) -> tuple[Float[np.ndarray, "t 2"], Float[np.ndarray, " t"]]:
    """Return where eyes are told to look (degrees), and how far they do what they are told, 0 to 1.

    Args:
      usual: from the start; None: made up.
    """
    told = _along(
        [(c.time, float(c.value is not None), c.ease) for c in cues], float(usual is not None), count
    )
    known = [c.value for c in cues if c.value is not None]
    first = usual or (known[0] if known else gaze.CAMERA)
    paths = []
    for axis in (0, 1):
        points, last = [], first[axis]
        for cue in cues:
            last = last if cue.value is None else cue.value[axis]
            points.append((cue.time, last, cue.ease))
        paths.append(_along(points, first[axis], count))
    return np.stack(paths, -1), told
