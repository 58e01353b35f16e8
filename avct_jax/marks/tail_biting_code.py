"""An error-correcting code for 64 bits: 1024 signs, most of which may be lost, read from soft values.

A convolutional code of rate 1/16 and constraint length 11 that begins in the state in which it ends, so that
no bits are spent on its end. What is read is a list: a checksum tells which of the likeliest was meant.
"""

import functools

import numpy as np
from jaxtyping import Float, Int

BITS, RATE, MEMORY = 64, 16, 10
SIGNS, STATES = BITS * RATE, 2**MEMORY
# Of 11 bits, the first and last of which are set; drawn once: at rates this low hardly any choice is bad.
GENERATORS = (
    *(0o3571, 0o2327, 0o3113, 0o2665, 0o3757, 0o2451, 0o3235, 0o2173),
    *(0o3345, 0o2713, 0o3627, 0o2057, 0o3463, 0o2531, 0o3011, 0o2747),
)
BEGINS = (0, 16, 32, 48)  # bits at which reading begins, in turn
TRIED = 64  # states at each of them, the likeliest
LISTED = 16  # words at most


def encode(word: Int[np.ndarray, "64"]) -> Int[np.ndarray, "1024"]:
    """Return the signs (-1 and 1) of a word of bits."""
    windows = sum(np.roll(word, delay).astype(int) << MEMORY - delay for delay in range(MEMORY + 1))
    return _signs()[windows].astype(int).ravel()


def decode(signs: Float[np.ndarray, "1024"]) -> Int[np.ndarray, "n 64"]:
    """Return the likeliest words of soft signs, however large, the likeliest first.

    At each of four bits the likeliest states are tried: for each, Viterbi's algorithm finds the best word
    that passes it. So the right word is missed only where it loses to others that agree with it there.
    """
    gains = _signs() @ np.asarray(signs, np.float32).reshape(BITS, RATE).T
    found: dict[bytes, tuple[float, np.ndarray]] = {}
    for begin in BEGINS:
        turned = np.roll(gains, -begin, axis=1)
        around, _ = _passed(turned, np.zeros((1, STATES), np.float32))
        around, _ = _passed(turned, around)  # whatever state it began in is forgotten
        likely = np.argsort(-around[0])[:TRIED]
        for word, gain in zip(*_closed(turned, likely), strict=True):
            word = np.roll(word, begin)
            found[word.tobytes()] = (float(gain), word)
    best = sorted(found.values(), key=lambda pair: -pair[0])[:LISTED]
    return np.stack([word for _, word in best])


def _closed(gains: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each state the best word that begins and ends in it, and what it gains."""
    row = np.arange(len(states))
    begun = np.full((len(states), STATES), -1e9, np.float32)
    begun[row, states] = 0
    gained, older = _passed(gains, begun)
    words, state = np.empty((len(states), BITS), int), states
    for step in reversed(range(BITS)):
        words[:, step] = state >> (MEMORY - 1)
        state = _windows()[older[step][row, state].astype(int), state] % STATES
    return words, gained[row, states]


def _passed(gains: np.ndarray, gained: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Go through all bits: what is gained in each state, and by which of two ways it was come to."""
    first, second = _windows()
    older = []
    for step in range(BITS):
        gain = gains[:, step]
        ways = gained[:, first % STATES] + gain[first], gained[:, second % STATES] + gain[second]
        older.append(ways[1] > ways[0])
        gained = np.maximum(*ways)
    return gained, older


@functools.cache
def _windows() -> np.ndarray:
    """Of each state the two windows, of the newest bit and ten before it, that lead to it."""
    states = np.arange(STATES)
    return np.stack([2 * states, 2 * states + 1])


@functools.cache
def _signs() -> Float[np.ndarray, "2048 16"]:
    """The signs that each window sends."""
    met = np.bitwise_count(np.arange(2 * STATES)[:, None] & np.array(GENERATORS)).astype(int)
    return (1 - 2 * (met & 1)).astype(np.float32)
