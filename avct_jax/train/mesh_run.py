"""Trainings of the mesh system, put together: what is packed of clips, losses, optimiser, and the loop."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from avct_jax import checkpoint_file, errors
from avct_jax.data import catalog, face_basis, schema, speech_features
from avct_jax.models import mesh_system, speech_motion
from avct_jax.train import (
    loop,
    mouth_patches,
    painter_stage,
    sharding,
    speech_set,
    speech_stage,
    stage,
    training,
)

OF_STAGE = {"painter": "mouth_painter", "speech": "speech_motion"}
WINDOW = 256  # frames that a model looks at together where it finds clips' lags


@dataclasses.dataclass(frozen=True)
class MeshTraining(training.StageTraining):
    """All that decides what is learned; see StageTraining.

    Attributes:
      speaker_share: of examples that are the speaker's; the rest is drawn person by person.
      leave_out: clips whose source's path has this are not used; "" uses all.
    """

    speaker_share: float = 0.3
    leave_out: str = "non-commercial"
    system: mesh_system.MeshSystemConfig = mesh_system.LITE


@dataclasses.dataclass(frozen=True)
class PainterTraining(MeshTraining):
    """The mouth painter from patches of mouths.

    teeth: the person of the training whose code is exported, and judged by; "" is the mean of all.
    """

    teeth: str = ""
    stage: painter_stage.PainterStageConfig = painter_stage.PainterStageConfig()


@dataclasses.dataclass(frozen=True)
class SpeechTraining(MeshTraining):
    """E_avct from many people's voices and lips. frames: of an example."""

    stage: speech_stage.SpeechStageConfig = speech_stage.SpeechStageConfig()
    frames: int = 6


class Prepared(NamedTuple):
    """A stage and what it draws from."""

    stage: stage.Stage
    source: Any
    judged_by: str


def train(
    name: str,
    config: MeshTraining,
    clips: pathlib.Path,
    run: pathlib.Path,
    mesh: jax.sharding.Mesh,
    *,
    init: str | None = None,
    quiet: bool = False,
) -> loop.Outcome:
    """Run the stage `name` ("painter" or "speech") to its last step, or until it is asked to stop.

    Args:
      clips: folder that `avct preprocess` made. run: folder of all stages' results. init: weights to begin
        from; the stage "speech" finds by them how late each clip's lips are.
    Raises:
      UserError: settings that cannot be, a file that is missing, and all that loop.train refuses.
    """
    sharding.check_batch_size(config.batch_size, mesh, microbatches=config.compute.microbatches)
    training.check(config)
    config = training.with_schedule(config)
    folder = training.make_folder(run / name)
    given = dict(read(init).variables) if init else {}
    made = _MAKERS[name](config, clips, folder, given)
    begun = training.begin(name, config, clips, folder, made.stage.initial)

    def export(current: Any, best: bool) -> None:
        del best
        save(path_of(run, name), config.system, made.stage.export(current))

    task = loop.Task(
        made.stage, made.source, schema.DrawConfig(), config, folder, judged_by=made.judged_by,
        export=export, **begun._asdict(),
    )  # fmt: skip
    return loop.train(task, mesh, compute=config.compute, quiet=quiet)


def path_of(run: pathlib.Path, name: str) -> pathlib.Path:
    """Where a stage's averaged weights are."""
    return run / f"{name}.safetensors"


def read(name: str | pathlib.Path) -> checkpoint_file.System:
    """Read weights of the mesh family.

    Raises:
      UserError: there are none, or they are of the other family.
    """
    embedded = str(name) == "embedded"
    if embedded:
        with checkpoint_file.embedded() as path:
            found = checkpoint_file.load(path)
    else:
        found = checkpoint_file.load(name)
    if not isinstance(found.config, mesh_system.MeshSystemConfig):
        raise errors.UserError(f"{name} holds networks of the keypoint family; name a mesh checkpoint")
    return found


def save(path: pathlib.Path, system: mesh_system.MeshSystemConfig, parts: Mapping[str, Any]) -> None:
    """Write a stage's weights in full precision."""
    checkpoint_file.save(path, checkpoint_file.System(system, jax.device_get(dict(parts))), dtype="float32")


def export(run: pathlib.Path, output: pathlib.Path, *, init: str | None = None) -> list[str]:
    """Put the networks of a run and the package's face basis into one float16 file.

    Args:
      init: whence parts come whose stage was not run.
    Returns: a line for each part: whence it came.
    Raises:
      UserError: a stage was not run, and there is no `init`.
    """
    base = read(init) if init else None
    parts: dict[str, Any] = {"face_basis": {"params": face_basis.embedded()._asdict()}}
    config, said = base.config if base else None, ["face_basis from this package"]
    for name, part in OF_STAGE.items():
        path = path_of(run, name)
        found = read(path) if path.exists() else base
        if found is None or part not in found.variables:
            raise errors.UserError(f"{run} has no {part}; run `avct train {name}` first, or name --init")
        parts[part] = found.variables[part]
        config = dataclasses.replace(config or found.config, **{part: getattr(found.config, part)})
        said.append(f"{part} from {path if path.exists() else init}")
    assert config is not None
    checkpoint_file.save(output, checkpoint_file.System(config, parts))
    return said


def _painter(config: PainterTraining, clips, folder, given) -> Prepared:
    packed = folder / "patches"
    mouth_patches.pack(clips, packed, face_basis.embedded().canonical, leave_out=config.leave_out)
    known = mouth_patches.load(packed)
    speaker = catalog.read_manifest(clips).speaker
    drawn = painter_stage.PatchSource(known, speaker=speaker, speaker_share=config.speaker_share)
    if config.teeth and config.teeth not in drawn.names:
        raise errors.UserError(f"nobody of the training is {config.teeth!r}; people: {' '.join(drawn.names)}")
    which = drawn.names.index(config.teeth) if config.teeth else -1
    rules = (config.stage, config.optimizer, config.compute)
    codes = {"people": len(drawn.names), "shipped": which}
    made = painter_stage.make_stage(
        config.system.mouth_painter, *rules, **codes, init=given, seed=config.seed
    )
    return Prepared(made, drawn, "l1_inside")


def _speech(config: SpeechTraining, clips, folder, given) -> Prepared:
    basis = face_basis.embedded()
    known = speech_set.build(clips, basis, _hear(folder / "heard"), leave_out=config.leave_out)
    speaker = catalog.read_manifest(clips).speaker
    compared = speech_stage.basis_of(basis.components, basis.scales)
    if OF_STAGE["speech"] in given:
        predicted = predict_gaps(config.system.speech_motion, given[OF_STAGE["speech"]], known, compared)
        known = speech_set.trust(speech_set.with_lags(known, predicted), speaker)
    rules = (config.stage, config.optimizer, config.compute)
    sizes = config.system.speech_motion
    made = speech_stage.make_stage(sizes, *rules, basis=compared, init=given, seed=config.seed)
    radius, share = sizes.window_radius, config.speaker_share
    shares = {"frames": config.frames, "speaker": speaker, "speaker_share": share}
    drawn = speech_set.SpeechSource(known, radius=radius, **shares)
    return Prepared(made, drawn, "lips")


_MAKERS: dict[str, Callable[..., Prepared]] = {"painter": _painter, "speech": _speech}


def _hear(folder: pathlib.Path) -> Callable[[str, np.ndarray], speech_set.Voice]:
    """Hear each clip once; what was heard is kept."""
    folder.mkdir(parents=True, exist_ok=True)

    def hear(name: str, wav: np.ndarray) -> speech_set.Voice:
        path = folder / f"{name}.npz"
        if not path.exists():
            heard = speech_features.listen(wav)
            partial = path.with_suffix(".partial.npz")
            np.savez(
                partial, posteriors=heard.posteriors.astype(np.float16), audio=heard.audio.astype(np.float16)
            )
            partial.replace(path)
        with np.load(path, allow_pickle=False) as file:
            return speech_set.Voice(file["posteriors"].astype(np.float32), file["audio"].astype(np.float32))

    return hear


def predict_gaps(
    config: speech_motion.SpeechMotionConfig,
    variables: Any,
    known: speech_set.SpeechSet,
    basis: speech_stage.Basis,
) -> list[np.ndarray]:
    """Predict the gap between the lips of every clip, as it is heard."""
    network = speech_motion.SpeechMotion(config)
    gap = jax.jit(lambda *given: network.apply({"params": variables["params"]}, *given)[0] @ basis.gap)
    unshifted = known._replace(lag=np.zeros_like(known.lag))
    found = []
    for which, frames in enumerate(np.diff(known.begins)):
        parts = []
        for first in range(0, int(frames), WINDOW):
            row = speech_set.example(unshifted, which, first, WINDOW, config.window_radius)
            given = (row[0][None], row[1][None], row[2][None], jnp.zeros(1))
            parts.append(np.asarray(gap(*given)))
        found.append(np.concatenate(parts)[:frames])
    return found
