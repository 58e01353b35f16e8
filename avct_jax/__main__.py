"""`python -m avct_jax` is `avct`, for where the script is not on the path."""

import sys

from avct_jax.cli import main

if __name__ == "__main__":
    sys.exit(main.main())
