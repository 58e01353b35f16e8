"""A training's settings in a TOML file, as the words that would say the same on the command line."""

import pathlib
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from avct_jax import errors
from avct_jax.files import text_file

Settings = dict[str, Any]


def read(path: pathlib.Path) -> Settings:
    """Read settings; tables are the parts of an option's name: `[stage] gan = 0.1` is `--stage.gan 0.1`.

    Raises:
      UserError: the file cannot be read or is no TOML.
    """
    text = text_file.read(path)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise errors.UserError(f"{path} is no TOML ({' '.join(str(error).split())[:120]}); mend it") from None


def words(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """Each setting's option, and the words to type for it."""
    for key, value in settings.items():
        name = key.replace("_", "-")
        if isinstance(value, Mapping):
            yield from words(value, f"{prefix}{name}.")
        elif isinstance(value, bool):
            yield f"--{prefix}{name}", [f"--{prefix}{'' if value else 'no-'}{name}"]
        elif isinstance(value, list):
            yield f"--{prefix}{name}", [f"--{prefix}{name}", *map(str, value)]
        else:
            yield f"--{prefix}{name}", [f"--{prefix}{name}", str(value)]
