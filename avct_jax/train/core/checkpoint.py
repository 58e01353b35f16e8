"""Checkpoints of a stage's whole state, by Orbax: the last few and the best, written in the background.

The only caller of Orbax. A checkpoint bears its name only when it is whole, so a kill at any moment costs no
more than what was learned since the last one.
"""

import contextlib
import errno
import json
import logging
import os
import pathlib
import shutil
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from avct_jax import errors
from avct_jax.train.core import sharding
from avct_jax.train.core import train_state as states

STATE = "state"  # the name of the state's tree in a checkpoint
DAMAGED = ".damaged"  # behind the name of a checkpoint that could not be read, or gone on from
UNFINISHED = ".orbax-checkpoint-tmp"  # in the name of a folder that is being written
FULL = (errno.ENOSPC, errno.EDQUOT)


_absl = logging.getLogger("absl")


class Restored(NamedTuple):
    """What was read: the state, the step it was saved after, and what was said of it then."""

    state: Any
    step: int
    facts: Mapping[str, Any]


class Checkpoints:
    """A folder of checkpoints, named by step. Every process opens it and calls the same methods."""

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        keep: int = 3,
        best_metric: str = "",
        note: Callable[[str], None] = lambda text: None,
    ):
        """Open or make the folder, and clear what unfinished saves left.

        Args:
          keep: how many of the newest stay.
          best_metric: the metric whose smallest value makes the best one, which stays too; "" for none.
          note: is told, in one line, what was passed over.

        Raises:
          UserError: the folder cannot be made or read.
        """
        # Absolute: Orbax refuses relative names.
        self.folder, self._note = pathlib.Path(folder).absolute(), note
        # A failed write fills screens with threads' tracebacks; it reaches us as an exception.
        self._absl_level = _absl.level
        _absl.setLevel(logging.CRITICAL)
        policies: Any = ocp.training.preservation_policies
        kept = [policies.LatestN(max(1, keep))]
        if best_metric:
            kept.append(
                policies.BestN(
                    get_metric_fn=lambda metrics: metrics[best_metric],
                    reverse=True,  # Orbax keeps the last of the sorted: the smallest
                    n=1,
                    keep_checkpoints_without_metrics=False,
                )
            )
        with self._failures("open"), _silence():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._clear_unfinished()
            self._put_aside_unreadable()
            self._orbax = ocp.training.Checkpointer(
                str(self.folder),
                preservation_policy=policies.AnyPreservationPolicy(kept),
            )
        self._best_metric = best_metric

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind, *_) -> None:
        # A failure on its way out says more than the one of the last save.
        with contextlib.suppress(*[errors.UserError] * (kind is not None)):
            self.close()

    @property
    def steps(self) -> list[int]:
        """The steps of all whole checkpoints, rising."""
        return [found.step for found in self._orbax.checkpoints]

    def best(self) -> float:
        """The smallest judged metric among those that are kept; infinite where nothing was judged."""
        found: list[Any] = [c.metrics for c in self._orbax.checkpoints if c.metrics]
        values = (metrics[self._best_metric] for metrics in found if self._best_metric in metrics)
        return min(map(float, values), default=float("inf"))

    def restore(self, like: Any, shardings: Any) -> Restored | None:
        """Read the newest checkpoint; one that is damaged or not finite is passed over and put aside.

        Args:
          like: a state, or its shapes (jax.eval_shape).
          shardings: where its arrays shall lie, whatever devices they were saved from: one for all of them,
            or a tree like the state.

        Returns:
          None in an empty folder.

        Raises:
          UserError: there are checkpoints, and none of them is whole and finite.
        """
        if isinstance(shardings, jax.sharding.Sharding):
            shardings = jax.tree.map(lambda x: shardings, like)
        shaped = lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where)
        target = jax.tree.map(shaped, like, shardings)
        steps, faults = self.steps[::-1], []
        for i, step in enumerate(steps):
            found, fault = self._read(step, target)
            faults.append(fault)
            if not sharding.any_process(found is None):
                for passed, fault in zip(steps[:i], faults, strict=False):
                    self._note(f"checkpoint {passed} is {fault}; going on from step {step}")
                    self._put_aside(self.folder / str(passed))
                if i:
                    _meet()
                    self._orbax.reload()
                return found
        if steps:
            raise errors.UserError(
                f"none of the {len(steps)} checkpoints in {self.folder} is whole and finite; "
                "copy one back, or remove the folder to begin again"
            )
        return None

    def save(
        self, state: Any, step: int, *, facts: Mapping[str, Any], metrics: Mapping[str, float] | None = None
    ) -> None:
        """Begin to write; returns once the state has been copied from the devices, and may be given away.

        Args:
          facts: JSON values to keep with it.
          metrics: of judging, at this very step.

        Raises:
          UserError: this save, or the one before it, failed: the disk is full.
        """
        if step in self.steps:
            return
        with self._failures("write"):
            self._begin_save(step, {STATE: state}, metrics=metrics, custom_metadata=facts)

    def wait(self) -> None:
        """Return when all that was begun is written.

        Raises:
          UserError: it failed.
        """
        with self._failures("write"):
            self._orbax.wait()

    def close(self) -> None:
        """Finish.

        Raises:
          UserError: the last save failed.
        """
        try:
            with self._failures("write"):
                self._orbax.close()
        finally:
            _absl.setLevel(self._absl_level)

    def _begin_save(
        self, step: int, values: Mapping[str, Any], *, metrics: Any, custom_metadata: Any
    ) -> None:
        self._orbax.save_checkpointables_async(
            step,
            dict(values),
            force=True,
            metrics=dict(metrics) if metrics else None,
            custom_metadata=dict(custom_metadata),
        )

    def _read(self, step: int, target: Any) -> tuple[Restored | None, str]:
        """What was saved after `step`, or None and what is wrong with it."""
        # Orbax never awaits the reads it had planned when one before them fails: no concern of the user's.
        warnings.filterwarnings("ignore", r"coroutine 'Store\.", RuntimeWarning)
        # Whatever a damaged file makes Orbax or TensorStore raise: KeyError, ValueError, their own.
        with _silence():
            try:
                state = self._orbax.load_checkpointables(step, {STATE: target})[STATE]
                facts: Any = self._orbax.checkpointables_metadata(step).custom_metadata
            except Exception:
                return None, "damaged"
        # One of an older version, which saved whatever its losses did not betray.
        finite = bool(states.is_finite(state))
        return (Restored(state, step, dict(facts or {})), "") if finite else (None, "not finite")

    def _clear_unfinished(self) -> None:
        """Remove what unfinished saves left. Orbax would, in a thread that nobody waits for."""
        if sharding.is_first_process():
            for place in self.folder.glob(f"*{UNFINISHED}*"):
                shutil.rmtree(place, ignore_errors=True)

    def _put_aside_unreadable(self) -> None:
        """Metrics that are no JSON would keep Orbax from opening the folder at all."""
        for path in sorted(self.folder.glob("*/metrics/metrics")):
            try:
                json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                place = path.parent.parent
                if place.name.isdigit():
                    self._note(f"checkpoint {place.name} is damaged; it is left out")
                    self._put_aside(place)
        _meet()

    def _put_aside(self, place: pathlib.Path) -> None:
        if sharding.is_first_process():
            place.rename(_free(place.with_name(place.name + DAMAGED)))

    @contextlib.contextmanager
    def _failures(self, verb: str):
        try:
            yield
        except errors.UserError:
            raise
        except Exception as error:
            if _is_full(error):
                raise errors.UserError(
                    f"the disk of {self.folder} is full; free space and start again: "
                    "the checkpoints before this one are kept"
                ) from None
            # Orbax and TensorStore wrap what the file system says in many types.
            if isinstance(error, OSError) or verb == "write":
                raise errors.UserError(
                    f"cannot {verb} checkpoints in {self.folder} ({_one_line(error)}); "
                    "choose a --run folder that can be written to"
                ) from error
            raise


@contextlib.contextmanager
def _silence():
    """Keep what C++ threads print of a damaged file from the terminal: one line says it."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _meet() -> None:
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("damaged checkpoints are put aside")


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        if getattr(error, "errno", None) in FULL or "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _free(path: pathlib.Path) -> pathlib.Path:
    """`path`, or with a number behind it where something bears that name."""
    numbered = (path.with_name(f"{path.name}{i}") for i in range(1, 1000))
    return next(p for p in (path, *numbered) if not p.exists())


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:160] or type(error).__name__
