"""JSON that anybody may have written: what is none, or too much, is a ValueError."""

import json
from typing import Any

DIGITS = 18  # of a whole number: more are no count, time or index, and not all can become a float


def parse(text: str | bytes) -> Any:
    """Read a JSON text; whole numbers of more than 18 digits become floats, infinite ones too.

    Raises:
      ValueError: it is no JSON, in no encoding of JSON, or nested deeper than Python reads.
    """
    try:
        return json.loads(text, parse_int=lambda digits: (int if len(digits) <= DIGITS else float)(digits))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
