"""Weights of a run of the mesh family, stage by stage, and as one checkpoint."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from avct_jax import errors, weights_file
from avct_jax.data.faces import face_basis
from avct_jax.models import mesh_system
from avct_jax.train import run_weights as weights

OF_STAGE = {"painter": "mouth_painter", "phonemes": "phoneme_net", "speech": "speech_motion"}


def path_of(run: pathlib.Path, name: str) -> pathlib.Path:
    """Where a stage's averaged weights are."""
    return run / f"{name}.safetensors"


class Weights(NamedTuple):
    """A checkpoint_file.System of the mesh family."""

    config: mesh_system.MeshSystemConfig
    variables: Mapping[str, Any]


def read(name: str | pathlib.Path) -> Weights:
    """Read weights of the mesh family.

    Raises:
      UserError: there are none, or they are of the other family.
    """
    embedded = str(name) == "embedded"
    if embedded:
        with weights_file.embedded() as path:
            found = weights_file.load(path)
    else:
        found = weights_file.load(name)
    if not isinstance(found.config, mesh_system.MeshSystemConfig):
        raise errors.UserError(f"{name} holds networks of the keypoint family; name a mesh checkpoint")
    return Weights(found.config, found.variables)


def save(path: pathlib.Path, system: mesh_system.MeshSystemConfig, parts: Mapping[str, Any]) -> None:
    """Write a stage's weights in full precision."""
    weights_file.save(path, weights_file.System(system, jax.device_get(dict(parts))), dtype="float32")


def export(run: pathlib.Path, output: pathlib.Path, *, init: str | None = None) -> list[str]:
    """Put the networks of a run and the package's face basis into one float16 file.

    Args:
      init: whence parts come whose stage was not run.

    Returns:
      A line for each part: whence it came.

    Raises:
      UserError: a stage was not run, and there is no `init`; or `output` is an input.
    """
    weights.refuse_overwriting(output, init, *(path_of(run, name) for name in OF_STAGE))
    base = read(init) if init else None
    parts: dict[str, Any] = {"face_basis": {"params": face_basis.embedded()._asdict()}}
    config, said = base.config if base else None, ["face_basis from this package"]
    for name, part in OF_STAGE.items():
        path = path_of(run, name)
        found = read(path) if path.exists() else base
        if found is None or part not in found.variables:
            if part == mesh_system.HEARING:  # hama hears, unless the speech stage was told otherwise
                continue
            raise errors.UserError(f"{run} has no {part}; run `avct train {name}` first, or name --init")
        parts[part] = found.variables[part]
        config = dataclasses.replace(config or found.config, **{part: getattr(found.config, part)})
        if part == OF_STAGE["speech"]:  # as it was trained, so it hears
            heard = {"phoneme_source": found.config.phoneme_source, "mean_motion": found.config.mean_motion}
            config = dataclasses.replace(config, **heard)
        said.append(f"{part} from {path if path.exists() else init}")
    assert config is not None
    if config.phoneme_source == "network" and mesh_system.HEARING not in parts:
        raise errors.UserError(f"{run} has no phoneme_net; run `avct train phonemes` first, or name --init")
    weights_file.save(output, weights_file.System(config, parts))
    return said
