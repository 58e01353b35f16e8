"""Failures that a user can mend."""

from collections.abc import Iterable


class UserError(ValueError):
    """An input was refused; the message is one line that ends with the remedy.

    The command line prints the message without a traceback and exits with code 2.
    """


def few(names: Iterable[object], most: int = 3) -> str:
    """The first of some names for a message, and how many there are beside them."""
    names = [repr(str(name)) for name in names]
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
