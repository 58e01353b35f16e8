"""Where a run's time goes, over all its starts: the share of it in steps (goodput), and what else took it."""

import contextlib
import json
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from avct_jax.files import atomic_write

FILE = "goodput.json"
# Taken back: steps after the checkpoint that a start went on from, and all else of that time.
KINDS: tuple[str, ...] = ("steps", "start", "compile", "data", "evaluation", "checkpoint", "taken_back")
EVERY = 10.0  # seconds between two writings of the file


class Goodput:
    """Counts seconds by kind; whatever is not named is "steps"."""

    def __init__(self, folder: pathlib.Path, *, writes: bool = True, now: Callable[[], float] = time.time):
        """Begin to count; whatever comes before `go_on` is "start".

        Args:
          writes: this process keeps the file.
        """
        self._path, self._writes, self._now = folder / FILE, writes, now
        self._spent: dict[str, float] = dict.fromkeys(KINDS, 0.0)
        self._down = 0.0
        self._inside = ["start"]
        self._since, self._written = now(), 0.0
        self._began = self._since

    def go_on(self, kept: Mapping[str, float] | None) -> None:
        """Add what was counted before; what follows is "steps".

        Args:
          kept: as_json of when the checkpoint was saved; None at a run's beginning.
        """
        self._turn()
        self._inside = ["steps"]
        if kept is None:
            return
        before = _read(self._path)
        # Between two starts no machine was held: told, and not counted.
        away = self._began - float(before.get("at", self._began))
        self._down = float(before.get("down_seconds", 0.0)) + max(0.0, away)
        lost = sum(before.get("seconds", {}).values()) - sum(kept.values())
        self._spent["taken_back"] += max(0.0, lost)
        for kind in KINDS:
            self._spent[kind] += kept.get(kind, 0.0)

    @contextlib.contextmanager
    def on(self, kind: str) -> Iterator[None]:
        """Count the block as `kind`; a block inside it is counted as its own."""
        self._turn()
        self._inside.append(kind)
        try:
            yield
        finally:
            self._turn()
            self._inside.pop()

    def share(self) -> float:
        """Of all seconds those in steps, [0, 1]."""
        self._turn()
        return self._spent["steps"] / max(sum(self._spent.values()), 1e-9)

    def as_json(self) -> dict[str, float]:
        """Seconds by kind; what `kept` takes."""
        self._turn()
        return {kind: round(seconds, 3) for kind, seconds in self._spent.items()}

    def write(self, *, now: bool = False) -> None:
        """Keep what was counted beside the run, every few seconds or `now`."""
        seconds = self.as_json()
        if self._writes and (now or self._since - self._written > EVERY):
            self._written = self._since
            facts = {
                "goodput": round(self.share(), 4),
                "seconds": seconds,
                "down_seconds": round(self._down, 3),
                "at": self._since,
            }
            atomic_write.write(self._path, (json.dumps(facts, indent=1) + "\n").encode())

    def _turn(self) -> None:
        now = self._now()
        self._spent[self._inside[-1]] += max(0.0, now - self._since)
        self._since = now


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
