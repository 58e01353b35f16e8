"""What a watermark says, in 64 bits, and the code that carries it: 128 signs, of which many may be lost.

Bits, most significant first: installation (24), hours since the beginning of 2026, UTC (18), checksum of
these (16), six zeros that bring the code back to its beginning. The code is the convolutional one of rate 1/2
and constraint length 7 with generators 171 and 133 (octal), read by Viterbi's algorithm from soft signs.
"""

import binascii
import datetime
import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

INSTALLATION_BITS, HOUR_BITS, CHECK_BITS, TAIL = 24, 18, 16, 6
BITS = INSTALLATION_BITS + HOUR_BITS + CHECK_BITS + TAIL
SIGNS = 2 * BITS
GENERATORS, MEMORY = (0o171, 0o133), 6
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


def encode(payload: MarkPayload) -> Int[np.ndarray, "128"]:
    """Return the signs (-1 and 1) that carry a payload."""
    word = _bits(payload.installation, INSTALLATION_BITS) + _bits(payload.hours, HOUR_BITS)
    word += _bits(_checksum(word), CHECK_BITS) + [0] * TAIL
    state, signs = 0, []
    for bit in word:
        signs += list(_signs_from(state)[bit])
        state = _next(state, bit)
    return np.array(signs)


def decode(signs: Float[np.ndarray, "128"]) -> MarkPayload | None:
    """Read soft signs, however large; None where they carry no payload, but for one in 65 000 by chance."""
    before, costs = np.full((BITS, 2**MEMORY), 0), np.full(2**MEMORY, -np.inf)
    costs[0] = 0.0
    froms, branches = _trellis()
    for step, pair in enumerate(np.asarray(signs, float).reshape(BITS, 2)):
        reached = costs[froms] + branches @ pair
        before[step] = reached.argmax(1)
        costs = reached.max(1)
    state, word = 0, []
    for step in reversed(range(BITS)):
        word.append(state >> (MEMORY - 1))
        state = int(froms[state, before[step, state]])
    word.reverse()
    told, check = word[: -CHECK_BITS - TAIL], word[-CHECK_BITS - TAIL : -TAIL]
    if _number(check) != _checksum(told) or any(word[-TAIL:]):
        return None
    return MarkPayload(_number(told[:INSTALLATION_BITS]), _number(told[INSTALLATION_BITS:]))


def _bits(number: int, count: int) -> list[int]:
    return [number >> place & 1 for place in reversed(range(count))]


def _number(bits: list[int]) -> int:
    return int("".join(map(str, bits)), 2)


def _checksum(bits: list[int]) -> int:
    # Not that of nothing but zeros: a mark without a payload must not be read as one.
    return binascii.crc_hqx(_number([1, *bits]).to_bytes(6, "big"), 0xFFFF)


def _next(state: int, bit: int) -> int:
    return bit << (MEMORY - 1) | state >> 1


def _signs_from(state: int) -> tuple[tuple[int, ...], ...]:
    """The two signs that leave a state, for the bits 0 and 1."""
    of = lambda window: tuple(1 - 2 * ((window & g).bit_count() & 1) for g in GENERATORS)
    return of(state), of(1 << MEMORY | state)


@functools.cache
def _trellis() -> tuple[np.ndarray, np.ndarray]:
    """For each state, the two it is come to from, and the signs on the way."""
    froms: list[list[int]] = [[] for _ in range(2**MEMORY)]
    branches: list[list[tuple[int, ...]]] = [[] for _ in range(2**MEMORY)]
    for state in range(2**MEMORY):
        for bit, signs in enumerate(_signs_from(state)):
            froms[_next(state, bit)].append(state)
            branches[_next(state, bit)].append(signs)
    return np.array(froms), np.array(branches, float)
