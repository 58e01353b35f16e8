"""Failures that a user can mend."""


class UserError(ValueError):
    """An input was refused; the message is one line that ends with the remedy.

    The command line prints the message without a traceback and exits with code 2.
    """
