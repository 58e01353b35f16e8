"""A whole system in one safetensors file: its config in the header, its tensors by part and path.

Reading one executes nothing: the format is a JSON header and raw numbers.
"""

import contextlib
import dataclasses
import importlib.resources
import json
import os
import pathlib
import types
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors.numpy

from avct_jax import errors
from avct_jax.convert import name_map
from avct_jax.files import array_file, atomic_write, json_text
from avct_jax.models import mesh_system, networks, system_config

FORMAT = "avct_jax system"
DEEPEST = 32  # modules in each other
# The largest number that a field may have, by words of its name, lest networks of such sizes be traced before
# they are found not to fit: depths, as a list's length is one; sides of images, px; windows; widths, counts.
LARGEST = {("blocks", "layers"): 64, ("padding", "kernel", "downsampling"): 64, ("size",): 2**11,
           ("radius",): 2**8, ("",): 2**14}  # fmt: skip
LONGEST = 64  # list of whole numbers, of which each is a layer
VERSION = 4
Part = Mapping[str, Any]

DEFAULT = "mesh.safetensors"  # what animates unless another checkpoint is named
LEARNED_WARP = "lite.safetensors"  # the keypoint family's: for poses beyond what a portrait's mesh bears

PRETRAINED = (DEFAULT, LEARNED_WARP, "sync.safetensors")

PARTS = networks.PARTS
# The two families: learned keypoints as in the paper, and the face mesh.
Config = system_config.SystemConfig | mesh_system.MeshSystemConfig
FAMILIES: dict[str, type] = {"keypoints": system_config.SystemConfig, "mesh": mesh_system.MeshSystemConfig}
# Whoever uses these says how large they are: D_seq sees many frames, and LITE's D_sync is narrow.
SIZED_BY_USE = ("patch_discriminator", "sync_discriminator")


class System(NamedTuple):
    """Everything that animating needs.

    Attributes:
      config: the sizes of all networks.
      variables: {"params": ..., "batch_stats": ...} of each network, by its field's name in `config`;
        a file may hold some of them only.
    """

    config: Config
    variables: Mapping[str, Part]


def save(path: str | os.PathLike, system: System, *, dtype: str = "float16") -> None:
    """Write `system`; the file appears under its name only when it is whole.

    Args:
      path: a .safetensors file.
      system: config and variables.
      dtype: of kernels, "float16" or "float32". Tensors with one axis (biases, statistics), and
        those with numbers beyond float16's range, are kept in float32.

    Raises:
      UserError: the folder is missing or cannot be written to.
    """
    path = pathlib.Path(path)
    flat = dict(name_map.leaves(system.variables))
    tensors = {"/".join(names): _stored(value, np.dtype(dtype)) for names, value in flat.items()}
    config = json.dumps(config_to_dict(system.config))
    family = family_of(system.config)
    metadata = {"format": FORMAT, "version": str(VERSION), "family": family, "config": config}
    atomic_write.write(path, safetensors.numpy.save(tensors, metadata))


def family_of(config: Config) -> str:
    """Return the name of the family of networks that a config is of."""
    return next(name for name, kind in FAMILIES.items() if isinstance(config, kind))


def parts_of(config: Config) -> tuple[str, ...]:
    """Return the parts that animating needs."""
    return mesh_system.parts(config) if isinstance(config, mesh_system.MeshSystemConfig) else PARTS


def load(path: str | os.PathLike, *, required: tuple[str, ...] | None = (), known: bool = False) -> System:
    """Read a system; tensors as float32 numpy.

    Args:
      path: a .safetensors file of `save`.
      required: parts without which the caller can do nothing; None: those that animating needs.
      known: it comes with the package, so that nobody needs to trace networks to see that its tensors fit.

    Raises:
      UserError: missing, damaged, of another program or version, with tensors that do not fit its
        config, or without a required part.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise errors.UserError(f"no checkpoint at {path}; name an existing .safetensors file")
    tensors, metadata = array_file.read_safetensors(path, lambda words: _check_format(path, words))
    config = _read_config(path, metadata.get("family", ""), metadata.get("config", ""))
    system = System(config, _nest(path, tensors))
    if not known:
        _check(path, system, parts_of(config) if required is None else required)
    return system


def config_to_dict(config: Any) -> dict[str, Any]:
    """Write a nested dataclass as fields by name; "kind" says which class, where there are several."""
    hints = typing.get_type_hints(type(config))
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    nested = {n: config_to_dict(v) for n, v in values.items() if dataclasses.is_dataclass(v)}
    kinds = {n: {"kind": type(values[n]).__name__} for n in nested if len(_classes(hints[n])) > 1}
    return values | {n: kinds.get(n, {}) | fields for n, fields in nested.items()}


def config_from_dict(kind: type, values: Any) -> Any:
    """Rebuild a nested frozen dataclass; fields that are absent take their defaults.

    Raises:
      ValueError: a field is unknown or of another type.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{kind.__name__} is {str(values)[:20]!r}, must be fields by name")
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - {f.name for f in dataclasses.fields(kind)})
    if unknown:
        raise ValueError(f"{kind.__name__} has no field {', '.join(unknown)}")
    return kind(**{name: _field(f"{kind.__name__}.{name}", hints[name], v) for name, v in values.items()})


def embedded(name: str = DEFAULT) -> contextlib.AbstractContextManager[pathlib.Path]:
    """A file of weights that comes with the package: DEFAULT, LEARNED_WARP, or "sync.safetensors"."""
    return importlib.resources.as_file(importlib.resources.files("avct_jax") / "pretrained" / name)


def _stored(value: Any, dtype: np.dtype) -> np.ndarray:
    value = np.asarray(value, np.float32)
    small = value.ndim < 2 or (value.size and np.abs(value).max() > np.finfo(np.float16).max)
    return np.ascontiguousarray(value if small else value.astype(dtype))


def _nest(path: pathlib.Path, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in tensors.items():
        *modules, leaf = name.split("/")
        node = tree
        for module in modules[:DEEPEST]:
            node = node.setdefault(module, {}) if isinstance(node, dict) else None
        if not isinstance(node, dict) or leaf in node or not 2 <= len(modules) <= DEEPEST:
            raise errors.UserError(f"{path} has a tensor {name[:60]!r} in no place; make it again")
        if value.dtype.kind != "f" or not np.isfinite(value).all():
            raise errors.UserError(f"{path}: {name} holds what is no finite number; train it again")
        node[leaf] = value.astype(np.float32)
    return {part: {"params": {}, "batch_stats": {}, **variables} for part, variables in tree.items()}


def _check_format(path: pathlib.Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise errors.UserError(
            f"{path} is not a checkpoint of this program; `avct convert` makes one of released files"
        )
    found = ascii(str(metadata.get("version")))[1:-1][:20]  # no control characters
    if found != str(VERSION):
        age = "an older version" if found.isdigit() and int(found) < VERSION else "another version"
        raise errors.UserError(
            f"{path} was written by {age} of this program (format {found}, this one reads {VERSION}); "
            "train or convert it with this version"
        )


def _read_config(path: pathlib.Path, family: str, text: str) -> Config:
    try:
        if family not in FAMILIES:
            raise ValueError(f"its family of networks {family!r} is not one of {', '.join(FAMILIES)}")
        return config_from_dict(FAMILIES[family], json_text.parse(text))
    except (ValueError, TypeError, OverflowError) as error:
        why = _one_line(error)[:200]
        raise errors.UserError(
            f"{path} has a config that this version does not know ({why}); upgrade avct-jax"
        ) from None


def _check(path: pathlib.Path, system: System, required: tuple[str, ...]) -> None:
    names = (*parts_of(system.config), *networks.EXTRA, mesh_system.HEARING)
    missing = [part for part in required if part not in system.variables]
    if missing:
        raise errors.UserError(f"{path} lacks {', '.join(missing)}; convert or train a whole system")
    lines = [f"{part}: unknown" for part in system.variables if part not in names]
    for part in (p for p in system.variables if p in names and p not in SIZED_BY_USE):
        lines += _differences(part, system.variables[part], _expected(path, system.config, part))
    if not lines and mesh_system.FACE_BASIS in system.variables:
        face = system.variables[mesh_system.FACE_BASIS]["params"]["canonical"]
        lines += [] if np.linalg.matrix_rank(face - face.mean(0)) == 3 else ["its face is flat"]
    if lines:
        more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
        raise errors.UserError(
            f"{path} does not fit its own config: {'; '.join(lines[:3])}{more}; convert or train it again"
        )


def _expected(path: pathlib.Path, config: Config, part: str) -> Part:
    jax.devices()  # a platform that is not there is no fault of the file
    try:
        return networks.expected(config, part)
    except Exception as error:  # sizes that no network can have fail in every way there is
        raise errors.UserError(
            f"{path} has a config of which {part} cannot be made ({_one_line(error)[:120]}); make it again"
        ) from None


def _differences(part: str, found: Part, wanted: Part) -> list[str]:
    have = {"/".join(names): tuple(v.shape) for names, v in name_map.leaves(found)}
    need = {"/".join(names): tuple(v.shape) for names, v in name_map.leaves(wanted)}
    lines = [f"{part}/{name} missing" for name in need if name not in have]
    lines += [f"{part}/{name} extra" for name in have if name not in need]
    both = [name for name in need if name in have and have[name] != need[name]]
    return lines + [f"{part}/{name} is {have[name]}, must be {need[name]}" for name in both]


def _field(name: str, hint: Any, value: Any) -> Any:
    origin = typing.get_origin(hint)
    if classes := _classes(hint):
        return config_from_dict(*_choose(name, classes, value))
    if origin is tuple:
        kinds = typing.get_args(hint)
        if kinds[0] is int and len(value) > LONGEST:
            raise ValueError(f"{name} has {len(value)} entries, at most {LONGEST} can be")
        kinds = kinds[:1] * len(value) if kinds[-1] is Ellipsis else kinds
        return tuple(_field(name, kind, item) for kind, item in zip(kinds, value, strict=True))
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        return _field(name, next(k for k in typing.get_args(hint) if k is not types.NoneType), value)
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            raise ValueError(f"{name} is {value!r}, must be one of {typing.get_args(hint)}")
        return value
    if hint is float and type(value) is int:
        return float(value)
    most = next(most for words, most in LARGEST.items() if any(word in name for word in words))
    if isinstance(value, int | float) and not abs(value) <= most:
        raise ValueError(f"{name} is {value}, at most {most} can be")
    if type(value) is not hint:
        kind = getattr(hint, "__name__", hint)
        raise ValueError(f"{name} is {value!r}, must be a {kind}")
    return value


def _classes(hint: Any) -> list[type]:
    """The dataclasses that a field may be of."""
    hints = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return [h for h in hints if isinstance(h, type) and dataclasses.is_dataclass(h)]


def _choose(name: str, classes: list[type], value: Any) -> tuple[type, Any]:
    """The class that a field's "kind" names, else the first; and the other fields."""
    if len(classes) == 1 or not isinstance(value, Mapping) or "kind" not in value:
        return classes[0], value
    kind = value["kind"]
    chosen = [c for c in classes if c.__name__ == kind]
    if not chosen:
        raise ValueError(f"{name} is of kind {kind!r}, must be one of {[c.__name__ for c in classes]}")
    return chosen[0], {field: v for field, v in value.items() if field != "kind"}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
