"""Trained networks in a run folder: RUN/STAGE.safetensors, for later stages, for export and for animating."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import jax

from avct_jax import errors, weights_file
from avct_jax.files import atomic_write
from avct_jax.models import system_config
from avct_jax.train.core import run_record

EMBEDDED = "embedded"  # in the place of a path: the keypoint family's checkpoint in this package
# What other stages, and animating, take of each stage. It may train more: discriminators of its own.
OF_STAGE = {
    "renderer": ("keypoint_detector", "renderer"),
    "sync": ("sync_discriminator",),
    "avct": ("avct",),
    "head-motion": ("head_motion",),
}
Parts = dict[str, Mapping[str, Any]]


def path(run: pathlib.Path, stage: str, *, best: bool = False) -> pathlib.Path:
    """Where a stage's averaged weights are: the newest, or the best by held-out examples."""
    return run / f"{stage}{'.best' if best else ''}.safetensors"


def save(
    run: pathlib.Path, stage: str, system: system_config.SystemConfig, found: Parts, *, best: bool
) -> None:
    """Write a stage's averaged weights, and once more where they are the best.

    Raises:
      UserError: the disk is full.
    """
    kept = {name: found[name] for name in OF_STAGE[stage] if name in found}
    content = weights_file.System(system, jax.device_get(kept))
    for is_best in (False, True)[: 1 + best]:
        weights_file.save(path(run, stage, best=is_best), content, dtype="float32")


def gather(
    run: pathlib.Path, stage: str, system: system_config.SystemConfig, init: str | pathlib.Path | None
) -> Parts:
    """What a stage may begin from, or use: other stages' weights in `run`, and those of `init`.

    Args:
      init: a .safetensors, or EMBEDDED. Weights in `run` go before its, but for the stage's own.

    Raises:
      UserError: a file is missing or damaged, or an earlier stage trained networks of another size.
    """
    found: Parts = dict(read(init).variables) if init else {}
    if stage != "renderer":
        found.pop("patch_discriminator", None)  # who judges single frames, not sequences
    for other, names in OF_STAGE.items():
        if other != stage and path(run, other).exists():
            made = read(path(run, other))
            check_sizes(path(run, other), made.config, system, names)
            found |= {name: made.variables[name] for name in names if name in made.variables}
    return found


def read(name: str | pathlib.Path) -> weights_file.System:
    """Read a file of weights, or the package's own."""
    if str(name) != EMBEDDED:
        return weights_file.load(name)
    with weights_file.embedded(weights_file.LEARNED_WARP) as file:
        return weights_file.load(file)


def refuse_overwriting(
    output: pathlib.Path, init: str | pathlib.Path | None, *others: Any, option: str = "--output"
) -> None:
    """Refuse an output that is the file `init`, the package's own for EMBEDDED, or one of others.

    Raises:
      UserError: it would be lost.
    """
    if str(init) != EMBEDDED:
        atomic_write.refuse_overwriting(output, init, *others, option=option)
        return
    with contextlib.ExitStack() as stack:
        own = [stack.enter_context(weights_file.embedded(name)) for name in weights_file.PRETRAINED]
        atomic_write.refuse_overwriting(output, *own, *others, option=option)


def check_sizes(
    file: pathlib.Path, made: weights_file.Config, wanted: system_config.SystemConfig, names: tuple[str, ...]
) -> None:
    """Refuse networks that the system has in another size.

    Raises:
      UserError: names the first field that differs.
    """
    old, new = run_record.as_json(made), run_record.as_json(wanted)
    for name in names:
        for field, before, after in run_record.differences(old.get(name), new.get(name), f"system.{name}"):
            raise errors.UserError(
                f"{file} has {field} {before!r}, and this stage {after!r}; choose the --preset that it was "
                "trained with, or another --run folder"
            )


def export(
    run: pathlib.Path, output: pathlib.Path, *, best: bool = False, init: str | pathlib.Path | None = None
) -> list[str]:
    """Put the networks of a run that animate a portrait into one float16 file.

    Args:
      best: by held-out examples, where a stage was judged; else the newest.
      init: whence parts come whose stage was not run.

    Returns:
      A line for each part: whence it came.

    Raises:
      UserError: a stage was not run, two of them have networks of different sizes, or `output` is an input.
    """
    results = (path(run, stage, best=best) for stage in OF_STAGE for best in (False, True))
    refuse_overwriting(output, init, *results)
    base = read(init) if init else None
    config, found, said = base.config if base else None, {}, []
    for stage, names in OF_STAGE.items():
        chosen = _chosen(run, stage, best)
        for name in (n for n in names if n in weights_file.PARTS):
            made = read(chosen) if chosen.exists() else base
            if made is None or name not in made.variables:
                raise errors.UserError(
                    f"{run} has no {name}; run `avct train {stage}` first, or name a checkpoint that has one "
                    "with --init"
                )
            found[name] = made.variables[name]
            own = {name: getattr(made.config, name)}
            # The last stage's word counts for what belongs to no network: gain, sway, pitch.
            config = dataclasses.replace(made.config if config is None else config, **own)
            said.append(f"{name} from {chosen if chosen.exists() else init}")
    avct = _chosen(run, "avct", best)
    if avct.exists():
        made = read(avct).config
        config = dataclasses.replace(made, **{name: getattr(config, name) for name in weights_file.PARTS})
    assert config is not None
    weights_file.save(output, weights_file.System(config, found))
    return said


def _chosen(run: pathlib.Path, stage: str, best: bool) -> pathlib.Path:
    chosen = path(run, stage, best=best)
    return chosen if chosen.exists() else path(run, stage)
