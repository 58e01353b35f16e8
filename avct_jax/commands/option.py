"""What options have in common: numbers of things, and outputs that must not be inputs."""

import argparse
import os

from avct_jax import errors


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


def refuse_overwriting(output: str, *inputs: str | None) -> None:
    """Refuse an output that is one of the inputs, whatever names lead to it.

    Raises:
      UserError: it would be lost.
    """
    for given in inputs:
        if given and os.path.exists(given) and os.path.exists(output) and os.path.samefile(given, output):
            raise errors.UserError(f"--output {output!r} is an input, it would be lost; choose another name")
