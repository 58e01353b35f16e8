"""Options that are numbers of things."""

import argparse


def positive(text: str) -> int:
    """A whole number above 0; argparse refuses anything else in its own words."""
    try:
        if (value := int(text)) > 0:
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} must be a whole number above 0")


def natural(text: str) -> int:
    """A whole number, 0 or more."""
    try:
        if (value := int(text)) >= 0:
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} must be a whole number, 0 or more")
