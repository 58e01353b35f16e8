"""What a watermark says, in 64 bits, and the signs that carry it, of which most may be lost.

Bits, most significant first: installation (24), hours since the beginning of 2026, UTC (18), checksum of
these (22). The code is `tail_biting_code`.
"""

import datetime
import zlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from avct_jax.marks import tail_biting_code

INSTALLATION_BITS, HOUR_BITS, CHECK_BITS = 24, 18, 22
SIGNS = tail_biting_code.SIGNS
EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
NONE = 0  # of installations


class MarkPayload(NamedTuple):
    """What a mark says.

    Attributes:
      installation: a random number of whoever made it, 1 to 2^24 - 1; 0: none is told.
      hours: since the beginning of 2026, UTC, in which it was made.
    """

    installation: int = NONE
    hours: int = 0

    @property
    def time(self) -> datetime.datetime:
        """The hour's beginning."""
        return EPOCH + datetime.timedelta(hours=self.hours)


def now(installation: int = NONE, time: datetime.datetime | None = None) -> MarkPayload:
    """Return what a mark made now says.

    Args:
      time: with its zone; by default the clock's.
    """
    passed = (time or datetime.datetime.now(datetime.UTC)) - EPOCH
    hours = max(0, int(passed.total_seconds() // 3600))
    return MarkPayload(installation % 2**INSTALLATION_BITS, hours % 2**HOUR_BITS)


def encode(payload: MarkPayload) -> Int[np.ndarray, "1024"]:
    """Return the signs (-1 and 1) that carry a payload."""
    told = payload.installation << HOUR_BITS | payload.hours
    word = told << CHECK_BITS | _checksum(told)
    return tail_biting_code.encode(np.array([word >> place & 1 for place in reversed(range(64))]))


def decode(signs: Float[np.ndarray, "1024"]) -> MarkPayload | None:
    """Read soft signs, however large; None where they carry no payload, but for 4 in a million by chance."""
    for bits in tail_biting_code.decode(signs):
        word = int("".join(map(str, bits)), 2)
        told, check = word >> CHECK_BITS, word % 2**CHECK_BITS
        if check == _checksum(told):
            return MarkPayload(told >> HOUR_BITS, told % 2**HOUR_BITS)
    return None


def _checksum(told: int) -> int:
    """Of nothing but zeros it is not zero: a mark without a payload must not be read as one."""
    return zlib.crc32(told.to_bytes(6, "big")) >> 32 - CHECK_BITS
