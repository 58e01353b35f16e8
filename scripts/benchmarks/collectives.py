"""What devices exchange in a compiled program, read off its HLO text."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
SIZES = {
    "pred": 1,
    "s8": 1,
    "u8": 1,
    "bf16": 2,
    "f16": 2,
    "s32": 4,
    "u32": 4,
    "f32": 4,
    "s64": 8,
    "u64": 8,
    "f64": 8,
}
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\{$")
_COLLECTIVE = re.compile(rf"= (.*?) ({'|'.join(KINDS)})(?:-start)?\(")
_TENSOR = re.compile(rf"\b({'|'.join(SIZES)})\[([\d,]*)\]")
_CALLED = re.compile(
    r"(?:body|to_apply|calls)=%?([\w.-]+)|(?:branch_computations|called_computations)=\{([^}]*)\}"
)
_TRIPS = re.compile(r"known_trip_count[^\d]*(\d+)")


class Exchange(NamedTuple):
    """One kind of collective in a program.

    Attributes:
      tensors: how many are exchanged; several may go in one call.
      bytes: of all their results on one device.
    """

    tensors: int
    bytes: int


def read(text: str) -> dict[str, Exchange]:
    """Exchanges of a program of one device, by kind.

    Those in a loop count as often as it is known to run, but for all-reduces, which count once: a gradient
    that is summed over steps of time is reduced in each of them on CPUs, and after the loop on GPUs (XLA's
    pass WhileLoopAllReduceCodeMotion).
    """
    bodies, entry = _computations(text)
    tensors: Counter[str] = Counter()
    amounts: Counter[str] = Counter()
    for kind, size, times in _walk(bodies, entry, 1):
        times = 1 if kind == "all-reduce" else times
        tensors[kind] += times
        amounts[kind] += times * size
    return {kind: Exchange(tensors[kind], amounts[kind]) for kind in KINDS if tensors[kind]}


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
    """Lines of each computation, and the name of the one that is run."""
    bodies: dict[str, list[str]] = {}
    entry = name = ""
    for line in text.splitlines():
        if found := _COMPUTATION.match(line):
            name = found[2]
            bodies[name] = []
            entry = name if found[1] else entry
        elif name:
            bodies[name].append(line)
    return bodies, entry


def _walk(bodies: dict[str, list[str]], name: str, times: int) -> Iterator[tuple[str, int, int]]:
    """(kind, bytes, times) of each tensor that a computation, and what it calls, exchanges."""
    for line in bodies.get(name, ()):
        if found := _COLLECTIVE.search(line):
            for kind, shape in _TENSOR.findall(found[1]):
                size = SIZES[kind] * math.prod(int(n) for n in shape.split(",") if n)
                yield found[2], size, times
            continue
        trips = _TRIPS.search(line)
        again = times * (int(trips[1]) if trips and " while(" in line else 1)
        for one, several in _CALLED.findall(line):
            for called in [one] if one else several.replace("%", "").split(", "):
                yield from _walk(bodies, called, again)
