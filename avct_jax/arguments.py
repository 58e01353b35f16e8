"""What a caller of the Python API hands over, as arrays, or refused in one line."""

import math
import numbers
import os
from typing import Any, TypeGuard

import numpy as np

from avct_jax import errors


def is_path(given: Any) -> TypeGuard[str | os.PathLike[str]]:
    """Whether this names a file: text, or a path object of text (bytes are content, not a name)."""
    return isinstance(given, str) or (isinstance(given, os.PathLike) and isinstance(os.fspath(given), str))


def array(given: Any, what: str) -> np.ndarray:
    """Make an array of a list, a JAX array, or whatever numpy takes.

    Args:
      what: "an image", for the refusal.

    Raises:
      UserError: numpy takes it not.
    """
    if _is_bytes(given):
        raise errors.UserError(
            f"{what} of bytes is given; say what they hold, such as np.frombuffer(data, np.int16)"
        )
    if np.ma.is_masked(given):
        raise errors.UserError(f"{what} is given of which a part is masked; fill it (.filled(0))")
    try:
        found = np.asarray(given)
    except Exception as error:  # rows of different lengths, a closed image, somebody's own class
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise errors.UserError(f"{what} is given that is no array ({reason}); give one array") from None
    if found.dtype.kind not in "biufc":
        kind = type(given).__name__ if found.ndim == 0 else f"{found.dtype} and shape {found.shape}"
        raise errors.UserError(f"{what} of {kind} is given; it must be an array of numbers, or a file's path")
    return found


def _is_bytes(given: Any) -> bool:
    """Whether these are bytes of anything, which numpy would take for numbers of 8 bits."""
    if isinstance(given, np.ndarray | np.generic) or hasattr(given, "__array__"):
        return False
    try:
        view = memoryview(given)
    except (TypeError, ValueError):
        return False
    return view.ndim == 1 and view.itemsize == 1


def whole_number(given: Any, what: str, least: int = 0) -> int | None:
    """Take a whole number, `least` or more, or None.

    Raises:
      UserError: it is something else.
    """
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, numbers.Integral) or given < least:
        raise errors.UserError(f"{what} is {given!r}; it must be a whole number, {least} or more")
    return int(given)


def is_real(given: Any) -> TypeGuard[float]:
    """Whether this is a finite number that a float can hold; True and False are none."""
    if isinstance(given, bool) or not isinstance(given, numbers.Real):
        return False
    try:
        return math.isfinite(float(given))
    except OverflowError:  # a whole number of hundreds of digits
        return False


def flag(given: Any, what: str) -> bool:
    """Take True or False.

    Raises:
      UserError: it is something else: any text, "no" too, would count as True.
    """
    if not isinstance(given, bool | np.bool_):
        raise errors.UserError(f"{what} is {given!r}; it must be True or False")
    return bool(given)
