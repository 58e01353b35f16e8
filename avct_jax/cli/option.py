"""What options have in common: numbers of things."""

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


def check_files(output: str, *inputs: str | None, checkpoint: str | None = None) -> None:
    """Look at all files before seconds are spent on imports and weights.

    Args:
      inputs: media, tables and texts. checkpoint: of our own format.
    Raises:
      UserError: an input is missing or unreadable, a checkpoint is PyTorch's, or `output` is an input.
    """
    from avct_jax.data.media import video_io
    from avct_jax.files import atomic_write, file_kind

    for given in filter(None, inputs):
        video_io.check_readable(given)
    if checkpoint is not None:
        if not os.path.isfile(checkpoint):
            raise errors.UserError(f"no checkpoint at {checkpoint!r}; name an existing .safetensors file")
        file_kind.refuse_torch(checkpoint)
    atomic_write.refuse_overwriting(output, *inputs, checkpoint)


def tell_overwriting(output: str, *, quiet: bool) -> None:
    """Say that a file is written over, once nothing is left that would be refused at a glance."""
    from avct_jax.cli import terminal

    if os.path.exists(output) and not quiet:
        terminal.note(f"{output} is there already and will be written over")
