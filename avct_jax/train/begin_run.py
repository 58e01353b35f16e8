"""What trainings of both families share: settings, their checks, and how a run in a folder is begun."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax

from avct_jax import errors
from avct_jax.train import run_config
from avct_jax.train.core import grad_accumulation, loop, optimizer, run_record, train_state

# A field below bears the module's name, which would hide it.
OptimizerConfig = optimizer.OptimizerConfig


@dataclasses.dataclass(frozen=True)
class StageTraining(run_config.RunConfig):
    """All that decides what is learned. Fields of RunConfig come first.

    Attributes:
      stage: losses and what belongs to this stage alone.
      optimizer: how parameters move; a schedule whose steps are 0 falls over this run's `steps`.
      compute: arithmetic; nothing of what is learned.
      system: sizes of all networks.
    """

    stage: Any = None
    optimizer: OptimizerConfig = OptimizerConfig()
    compute: grad_accumulation.ComputeConfig = grad_accumulation.ComputeConfig()
    system: Any = None


class Begun(NamedTuple):
    """A run's record: facts to keep in every checkpoint, and lines to say at the start."""

    facts: dict[str, Any]
    notes: tuple[str, ...]


def with_schedule(config: Any) -> Any:
    """Let a schedule without steps of its own fall over the run's."""
    rule = config.optimizer
    if rule.steps or rule.schedule == "constant":
        return config
    return dataclasses.replace(config, optimizer=dataclasses.replace(rule, steps=config.steps))


def check(config: run_config.RunConfig) -> None:
    """Refuse counts that cannot be.

    Raises:
      UserError: names the option.
    """
    least = dict.fromkeys(("steps", "batch_size", "keep"), 1)
    rhythms = (
        "report_every",
        "save_every",
        "eval_every",
        "eval_batches",
        "image_every",
        "profile",
        "watchdog",
    )
    for field, fewest in (least | dict.fromkeys((*rhythms, "seed", "peak_tflops"), 0)).items():
        if getattr(config, field) < fewest:
            option = field.replace("_", "-")
            may = " (never)" if field in rhythms else ""
            raise errors.UserError(f"--{option} {getattr(config, field)} must be {fewest}{may} or more")


@contextlib.contextmanager
def folder_of(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Make a stage's folder, where it is not there; what is empty goes again where the stage cannot begin.

    Raises:
      UserError: it cannot be made.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise errors.UserError(
            f"cannot make {folder} ({error.strerror}); choose another --run folder"
        ) from None
    try:
        yield folder
    except (errors.UserError, KeyboardInterrupt):
        inside = [path for made in missing[:2] for path in made.rglob("*") if path.is_dir()]
        for path in [*sorted(inside, reverse=True), *missing]:
            with contextlib.suppress(OSError):  # it is not empty
                path.rmdir()
        raise


def begin(
    name: str,
    config: StageTraining,
    clips: pathlib.Path,
    folder: pathlib.Path,
    initial: Callable[[], train_state.TrainState],
) -> Begun:
    """Record what a run is, and compare it with what its folder was begun with.

    Args:
      initial: of the stage.

    Raises:
      UserError: the networks, or what is trained of them, would be others.
    """
    facts = {"stage": name, "config": run_record.as_json(config), "clips": str(clips)}
    facts["state"] = run_record.digest(jax.eval_shape(initial))
    begun = loop.has_checkpoint(folder)
    return Begun({"config": facts["config"]}, tuple(run_record.check(folder, facts, begun=begun)))
