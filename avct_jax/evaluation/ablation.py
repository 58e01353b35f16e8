"""Table 2 of the paper: E_avct trained without one part of it at a time, and what each is worth."""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from avct_jax import errors, weights_file
from avct_jax.evaluation import evaluate, protocols, result_cache, video_features
from avct_jax.evaluation.scorers import sync_scorers
from avct_jax.presets import avct as presets
from avct_jax.train import ablations, run, run_weights
from avct_jax.train.core import run_record

FULL = "full"
VARIANTS = (FULL, *ablations.ABLATIONS)
PROTOCOL = "speech"  # held-out clips of the speaker, real poses
COLUMNS = ("fid_768", "frechet_vgg16", "cpbd", "lmd", "av_offset", "av_confidence")  # Table 2's
SYNC = "sync_discriminator"
RECORD = "ablation.json"  # in the folder of trainings: what all its rows are trained by


class Recipe(NamedTuple):
    """How E_avct is trained: first by keypoints alone (None: not, as in the paper), then by equation 2."""

    warm: run.AVCTTraining | None
    whole: run.AVCTTraining


# Nothing is rendered, as in LITE.
BY_KEYPOINTS = dict.fromkeys(
    ("gan", "matching", "sync", "equivariance_keypoints", "equivariance_jacobians"), 0.0
)
RECIPES = {
    "paper": Recipe(None, presets.PAPER),
    "lite": Recipe(
        dataclasses.replace(presets.LITE, steps=500), dataclasses.replace(presets.LITE_WHOLE, steps=200)
    ),
    "tiny": Recipe(
        dataclasses.replace(presets.TINY, stage=dataclasses.replace(presets.TINY.stage, **BY_KEYPOINTS)),
        presets.TINY,
    ),
}


class AblationPaths(NamedTuple):
    """
    Attributes:
      clips: of `avct preprocess`.
      run: folder of all trainings and reports.
      vgg: see run.TrainingPaths.
      init: the parts that all variants share, "embedded" or a file.
      sync: D_sync's file, None: the package's.
    """

    clips: pathlib.Path
    run: pathlib.Path
    init: str = run_weights.EMBEDDED
    sync: pathlib.Path | None = None
    vgg: pathlib.Path | None = None


def train(
    variants: Iterable[str],
    recipe: Recipe,
    places: AblationPaths,
    mesh: jax.sharding.Mesh,
    *,
    quiet: bool = False,
) -> dict[str, pathlib.Path]:
    """Train each variant to its end, unless it was before; returns their checkpoints.

    All begin with the same E_kd, E_r, E_h and D_sync and a random E_avct. Variants that differ in equation 2
    alone share the first part of their training.

    Raises:
      UserError: there is no such variant, the folder was begun by another recipe, a run was
        asked to stop, and all that run.train refuses.
    """
    _check_recipe(recipe, places)
    made = {}
    for name in variants:
        if name not in VARIANTS:
            raise errors.UserError(f"there is no variant {name!r}; choose of {', '.join(VARIANTS)}")
        made[name] = places.run / f"{name}.safetensors"
        if not made[name].exists():
            _train_one(name, recipe, places, mesh, made[name], quiet)
    return made


def _check_recipe(recipe, places):
    """Refuse to put rows beside each other that do not compare, or to take old rows for new ones."""
    file = places.run / RECORD
    facts = {part: _what_counts(config) for part, config in recipe._asdict().items()}
    facts |= {"shared networks": _digest(places.init), "D_sync": _digest(places.sync)}
    if not file.exists():
        result_cache.write_text(file, json.dumps(facts, indent=1) + "\n")
        return
    try:
        old = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        old = {}
    for field, before, after in run_record.differences(old, facts):
        raise errors.UserError(
            f"{places.run} was begun with {field} {before!r}, which is {after!r} now; give the old value, or "
            "choose another --run folder: rows of one table must be trained alike"
        )


def _what_counts(config):
    """Fields of a training that decide what is learned; and its length."""
    if config is None:
        return None
    free = [field for field in run_record.FREE if field != "steps"]
    return {field: value for field, value in run_record.as_json(config).items() if field not in free}


def _digest(file):
    """A mark of a file's content; the package's own counts by its name."""
    if file is None or str(file) == run_weights.EMBEDDED:
        return run_weights.EMBEDDED
    try:
        return hashlib.sha256(pathlib.Path(file).read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise errors.UserError(f"{str(file)!r} cannot be read: {error.strerror}; check the path") from None


def _train_one(name, recipe, places, mesh, output, quiet):
    shared = _shared_parts(places)
    folder = places.run / name
    begun = shared if recipe.warm is None else _warm_up(name, recipe.warm, places, mesh, shared, quiet)
    whole = change(name, recipe.whole)
    _finish(whole, run.TrainingPaths(places.clips, folder, vgg=places.vgg, init=str(begun)), mesh, quiet)
    run_weights.export(folder, output, init=shared)


def _warm_up(name, warm, places, mesh, shared, quiet):
    """A file of the shared parts and an E_avct that learned by keypoints alone."""
    changed = change(name, warm)
    if changed.system == warm.system:  # another equation 2 alone
        changed, first = warm, places.run / f"warm-{FULL}"
    else:
        first = places.run / f"warm-{name}"
    _finish(changed, run.TrainingPaths(places.clips, first, vgg=places.vgg, init=str(shared)), mesh, quiet)
    begun = places.run / name / "begun.safetensors"
    if not begun.exists():
        begun.parent.mkdir(parents=True, exist_ok=True)
        learned = run_weights.read(run_weights.path(first, "avct"))
        variables = {**run_weights.read(shared).variables, "avct": learned.variables["avct"]}
        weights_file.save(begun, weights_file.System(learned.config, variables), dtype="float32")
    return begun


def _finish(config, places, mesh, quiet):
    outcome = run.train("avct", config, places, mesh, quiet=quiet)
    if outcome.stopped:
        raise errors.UserError(f"stopped after step {outcome.step}, which is saved; the same command goes on")


def change(name: str, config: run.AVCTTraining) -> run.AVCTTraining:
    """A training of E_avct without what a variant leaves out."""
    if name == FULL:
        return config
    system, stage = ablations.ABLATIONS[name](config.system, config.stage)
    return dataclasses.replace(config, system=system, stage=stage)


def _shared_parts(places: AblationPaths) -> pathlib.Path:
    """One file of what all variants begin with; E_avct itself is not in it."""
    path = places.run / "shared.safetensors"
    if path.exists():
        return path
    base = run_weights.read(places.init)
    kept: dict[str, Any] = {name: value for name, value in base.variables.items() if name != "avct"}
    if SYNC not in kept or places.sync is not None:
        with sync_scorers.sync_file(places.sync) as file:
            kept[SYNC] = sync_scorers.read(file, SYNC)
    places.run.mkdir(parents=True, exist_ok=True)
    weights_file.save(path, weights_file.System(base.config, kept), dtype="float32")
    return path


def score(
    checkpoints: Mapping[str, str | os.PathLike],
    clips: str | os.PathLike,
    output: str | os.PathLike,
    networks: video_features.Scorers,
    *,
    videos: int = 0,
    show: evaluate.Show = lambda done, total, text: None,
) -> tuple[evaluate.Report, dict[str, pathlib.Path], pathlib.Path]:
    """Animate the speaker's held-out clips by every checkpoint and measure them.

    Returns:
      The report, and the folders of the videos by variant and of the real ones.
    """
    output = pathlib.Path(output)
    made = {
        name: protocols.make(
            PROTOCOL, clips, output / "generated" / name, checkpoint=file, videos=videos, show=show
        )
        for name, file in checkpoints.items()
    }
    generated = {name: one.generated for name, one in made.items()}
    real = next(iter(made.values())).real
    about = {"name": "ablation", "about": f"Table 2 of the paper. {protocols.ABOUT[PROTOCOL]}"}
    options = evaluate.EvaluationOptions(protocol=about)
    report = evaluate.evaluate(generated, real, output, networks, options, show)
    return protocols.tell(report, {name: one.failed for name, one in made.items()}), generated, real


def table(report: evaluate.Report, format_row: Callable[[Sequence[str]], str] = " | ".join) -> str:
    """Rows and columns as Table 2 has them: one row a variant, ground truth last."""
    known = {m["key"]: m for m in report["measures"]}
    columns = [known[key] for key in COLUMNS if key in known]
    systems = [s for s in report["systems"] if s["kind"] == "generated"]
    systems += [s for s in report["systems"] if s["kind"] == "truth"]
    value = lambda s, m: "-" if (x := s["means"].get(m["key"])) is None else f"{x:.{m['digits']}f}"
    rows = [["", *(m["title"] for m in columns)]]
    rows += [[s["title"], *(value(s, m) for m in columns)] for s in systems]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pad = lambda row: [
        row[0].ljust(widths[0]),
        *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)),
    ]
    return "\n".join(format_row(pad(row)) for row in rows)
