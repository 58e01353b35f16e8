"""`python -m avct_jax` is `avct`, for where the script is not on the path."""

import sys

from avct_jax import cli

if __name__ == "__main__":
    sys.exit(cli.main())
