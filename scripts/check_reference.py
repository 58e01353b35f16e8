"""Check every array of a reference file: `python scripts/check_reference.py NPZ SHAPES_JSON [--seed N]`.

Prints a line per array (name, error, limit, ok) and exits 1 if one is over its limit, 2 if a file
cannot be read.
"""

import argparse
import os
import pathlib
import sys


def main() -> int:
    """Parse, compare, print."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description="Reproduce a file of reference arrays.")
    parser.add_argument("arrays", metavar="NPZ", help="inputs and outputs of the reference")
    parser.add_argument("shapes", metavar="SHAPES_JSON", help="names and shapes of the networks' tensors")
    parser.add_argument("--seed", type=int, help="of the stand-in weights; default: the file's own")
    args = parser.parse_args()
    # The limits are for float32 on CPU; and this checkout is checked, installed or not.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
    from avct_jax import errors
    from avct_jax.convert import parity

    try:
        lines = parity.compare(args.arrays, args.shapes, seed=args.seed)
    except errors.UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(*lines, sep="\n")
    return 0 if all(line.ok for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
