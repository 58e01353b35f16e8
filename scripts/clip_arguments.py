"""Command line of the scripts that make a file of this package out of a folder of clips."""

import argparse
import pathlib


def parse(about: str | None) -> argparse.Namespace:
    """Read `clips`, `output` and `leave_out`.

    Args:
      about: the script's docstring.
    """
    parser = argparse.ArgumentParser(
        allow_abbrev=False, description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument(
        "--leave-out", default="non-commercial", help="sources whose path has this are not used; '' uses all"
    )
    return parser.parse_args()
