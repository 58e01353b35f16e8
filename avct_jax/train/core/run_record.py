"""What a run was begun with, as run.json beside its checkpoints: going on with other networks is refused."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from avct_jax import errors
from avct_jax.files import atomic_write
from avct_jax.train.core import sharding

FILE = "run.json"
FIXED = ("system",)  # fields that no run may change: its weights would mean something else
# But for these, which only say how the networks are used.
IN_USE = ("system.motion_scale", "system.mouth_closing", "system.head_motion_scale")
# And those that change nothing of what is learned.
FREE = (
    "steps",
    "report_every",
    "save_every",
    "keep",
    "eval_every",
    "eval_batches",
    "image_every",
    "profile",
    "dump_hlo",
    "watchdog",
    "peak_tflops",
)


def as_json(config: Any) -> dict[str, Any]:
    """A config's fields as JSON gives them back."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def digest(state: Any) -> str:
    """A mark of a state's names, shapes and types: states with one mark can stand for each other."""
    # An empty dict counts, too: a checkpoint without it cannot be read.
    is_empty = lambda x: isinstance(x, Mapping) and not x
    leaves = jax.tree_util.tree_leaves_with_path(state, is_leaf=is_empty)
    shape = lambda x: "empty" if is_empty(x) else f"{x.shape} {x.dtype}"
    text = "\n".join(f"{jax.tree_util.keystr(path)} {shape(x)}" for path, x in leaves)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (field, old value, new value) wherever two JSON trees differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for field in [*old, *(f for f in new if f not in old)]:
            yield from differences(old.get(field), new.get(field), f"{name}.{field}" if name else field)
    elif old != new:
        yield name, old, new


def check(folder: pathlib.Path, facts: Mapping[str, Any], *, begun: bool) -> list[str]:
    """Compare a run with what it was begun with, and note what it is now.

    Args:
      facts: JSON values: "config", and "state" (see `digest`).
      begun: there are checkpoints to go on from; else anything may change.

    Returns:
      A line for each change that is allowed and has consequences.

    Raises:
      UserError: the networks or what is trained of them would be others; names the field.
    """
    path = folder / FILE
    notes: list[str] = []
    if begun and path.exists():
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            old = {}
        notes = _compare(folder, old, facts)
    if sharding.is_first_process():
        atomic_write.write(path, (json.dumps(facts, indent=1) + "\n").encode())
    return notes


def _compare(folder: pathlib.Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    changes = list(differences(old.get("config", {}), new["config"]))
    fixed = [c for c in changes if c[0].split(".")[0] in FIXED and c[0] not in IN_USE]
    reshaped = "state" in old and old["state"] != new["state"]
    if fixed or reshaped:
        # Which of the changed settings made the state another one is not known here: the stage's come first.
        likely = fixed or sorted(changes, key=lambda c: not c[0].startswith(("stage", "optimizer")))
        said = "; ".join(f"{name} was {before!r} and is {after!r}" for name, before, after in likely[:3])
        raise errors.UserError(
            f"{folder} was begun with other networks ({said or 'by another version of this program'}); "
            "give the old values, or choose another --run folder"
        )
    told = [change for change in changes if change[0] not in FREE]
    return [f"going on with {name} {after!r}, which was {before!r}" for name, before, after in told]
