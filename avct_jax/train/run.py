"""A training, put together: networks, examples, losses, optimiser, and the loop that runs them."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Float

from avct_jax import errors, progress
from avct_jax.data.dataset import batch_types, numpy_source, sampler, source
from avct_jax.data.records import grain_source, packed_index
from avct_jax.models import networks, system_config
from avct_jax.models.frozen import vgg
from avct_jax.train import begin_run, run_weights
from avct_jax.train.core import device_cache, init_params, loop, sharding, train_state
from avct_jax.train.stages import avct_stage, head_motion_stage, renderer_stage, stage, sync_stage

SHARDS = "tfrecords"  # in the folder of clips: what tf.data reads
SPEAKER_SAMPLE = 32  # sequences from which the speaker's mean is taken


@dataclasses.dataclass(frozen=True)
class TrainingConfig(begin_run.StageTraining):
    """All that decides what is learned; see StageTraining.

    Attributes:
      draw: which examples, and how they are varied; a speaker "" is the folder's own.
    """

    draw: batch_types.DrawConfig = batch_types.DrawConfig(speaker="")
    system: system_config.SystemConfig = system_config.PAPER


@dataclasses.dataclass(frozen=True)
class RendererTraining(TrainingConfig):
    """E_kd and E_r from pairs of frames."""

    stage: renderer_stage.RendererStageConfig = renderer_stage.RendererStageConfig()


@dataclasses.dataclass(frozen=True)
class SyncTraining(TrainingConfig):
    """D_sync from windows of mouths and audio."""

    stage: sync_stage.SyncStageConfig = sync_stage.SyncStageConfig()


@dataclasses.dataclass(frozen=True)
class AVCTTraining(TrainingConfig):
    """E_avct from sequences of one speaker."""

    stage: avct_stage.AVCTStageConfig = avct_stage.AVCTStageConfig()


@dataclasses.dataclass(frozen=True)
class HeadMotionTraining(TrainingConfig):
    """E_h from pose sequences of one speaker."""

    stage: head_motion_stage.HeadMotionStageConfig = head_motion_stage.HeadMotionStageConfig()


class TrainingPaths(NamedTuple):
    """Where a training takes from and puts.

    Attributes:
      clips: folder that `avct preprocess` made.
      run: folder of all stages' results.
      source: who reads the clips; "auto": numpy; "device": numpy, and images stay in the devices' memory.
      workers: processes of the source "grain".
      vgg: weights for the perceptual loss.
      init: weights to begin from, see run_weights.gather.
    """

    clips: pathlib.Path
    run: pathlib.Path
    source: Literal["auto", "numpy", "device", "tfds", "grain"] = "auto"
    vgg: pathlib.Path | None = None
    init: str | None = None
    workers: int = 0


class Kind(NamedTuple):
    """One of the four trainings.

    Attributes:
      kind: of batches.
      best_metric: config -> the held-out metric whose smallest value is best.
    """

    make: Callable[..., stage.Stage]
    kind: str
    best_metric: Callable[[Any], str]


def _judge_of_renderer(config: renderer_stage.RendererStageConfig) -> str:
    if config.renders:
        return "perceptual" if config.perceptual else "l1"
    return "landmarks" if config.landmarks else "equivariance_keypoints"


KINDS: dict[str, Kind] = {
    "renderer": Kind(renderer_stage.make_stage, "pairs", _judge_of_renderer),
    "sync": Kind(sync_stage.make_stage, "sync", lambda config: "bce"),
    "avct": Kind(avct_stage.make_stage, "sequences", lambda config: config.best_metric),
    "head-motion": Kind(head_motion_stage.make_stage, "poses", lambda config: "pose"),
}


def train(
    name: str, config: TrainingConfig, places: TrainingPaths, mesh: jax.sharding.Mesh, *, quiet: bool = False
) -> loop.TrainingOutcome:
    """Run the stage `name` to its last step, or until it is asked to stop.

    Raises:
      UserError: settings that cannot be, an earlier stage or a file that is missing, another run in the
        folder, and all that loop.train refuses.
    """
    for best in (False, True):
        result = run_weights.path(places.run, name, best=best)
        run_weights.refuse_overwriting(result, places.init, places.vgg, option="the stage's result")
    sharding.check_batch_size(config.batch_size, mesh, microbatches=config.compute.microbatches)
    config = complete(config, packed_index.speaker_of(places.clips))
    check(config)
    given = run_weights.gather(places.run, name, config.system, places.init)
    # What is missing is told before clips are read: they may take minutes to decode.
    options = find_networks(config, given, places.vgg)
    make_stage(name, config, options)
    with begin_run.folder_of(places.run / name) as folder:
        clips = open_source(places, mesh, quiet=quiet)
        _check_clips(name, config, clips)
        if isinstance(config, AVCTTraining):
            options["mean_keypoints"] = _mean_keypoints(config, clips)
        made = make_stage(name, config, options)
        begun = begin_run.begin(name, config, places.clips, folder, made.initial)

    def export(current: train_state.TrainState, best: bool) -> None:
        # What the stage leaves alone is carried along: its file is whole.
        run_weights.save(places.run, name, config.system, {**given, **made.export(current)}, best=best)

    task = loop.Task(
        made,
        clips,
        config.draw,
        config,
        folder,
        best_metric=KINDS[name].best_metric(config.stage),
        export=export,
        **begun._asdict(),
    )
    return loop.train(task, mesh, compute=config.compute, quiet=quiet)


def complete(config: Any, speaker: str) -> Any:
    """Fill in what hangs on other fields, or on the clips.

    Args:
      speaker: of the folder of clips.
    """
    draw = dataclasses.replace(config.draw, speaker=config.draw.speaker or speaker)
    if isinstance(config, AVCTTraining):
        losses = config.stage
        frames = losses.renders or losses.equivariant or losses.targets == "detector"
        draw = dataclasses.replace(draw, radius=config.system.avct.window_radius, with_frames=frames)
    return dataclasses.replace(begin_run.with_schedule(config), draw=draw)


def check(config: TrainingConfig) -> None:
    """Refuse settings that contradict each other.

    Raises:
      UserError: names the fields.
    """
    if isinstance(config, AVCTTraining):
        _check_avct(config)
    begin_run.check(config)


def _check_avct(config: AVCTTraining) -> None:
    draw, losses = config.draw, config.stage
    if draw.cross_identity_prob and draw.with_frames:
        raise errors.UserError(
            f"draw.cross_identity_prob {draw.cross_identity_prob} shows other people's portraits, of which "
            "there are no frames to compare with; set it to 0, or the stage's gan, matching, sync, "
            "perceptual and equivariance terms"
        )
    if bool(draw.cross_identity_prob) != losses.transfer:
        raise errors.UserError(
            f"draw.cross_identity_prob {draw.cross_identity_prob} and stage.transfer {losses.transfer} do "
            "not fit: on other people's portraits the speaker's motion must be transferred; set both or "
            "neither"
        )
    if losses.renders and losses.rendered > draw.frames:
        raise errors.UserError(
            f"stage.rendered {losses.rendered} is more than the draw.frames {draw.frames}; lower it"
        )


def find_networks(
    config: TrainingConfig, given: run_weights.Parts, vgg_file: pathlib.Path | None
) -> dict[str, Any]:
    """What a stage is made of beside its settings: weights to begin from and to use.

    Args:
      given: weights by part.

    Raises:
      UserError: those of a VGG are missing, or weights are of another size.
    """
    options: dict[str, Any] = {"init": given, "seed": config.seed}
    if any(getattr(config.stage, weight, 0.0) for weight in ("perceptual", "mouth_perceptual")):
        options["perceptual"] = vgg.load(vgg_file)
    if isinstance(config, AVCTTraining):
        options["frozen"] = _frozen(config, given)
    return options


def make_stage(name: str, config: TrainingConfig, options: dict[str, Any]) -> stage.Stage:
    """Build a stage from its config, and what find_networks found.

    Raises:
      UserError: weights are missing, or of another size.
    """
    return KINDS[name].make(config.system, config.stage, config.optimizer, config.compute, **options)


def _check_clips(name: str, config: TrainingConfig, clips: source.Source) -> None:
    """Refuse clips of which no example can be made, before any is decoded."""
    clips = clips.host if isinstance(clips, device_cache.DeviceSource) else clips
    if isinstance(clips, numpy_source.NumpySource | grain_source.GrainSource):
        sampler.find_pool(clips.catalog, config.draw, KINDS[name].kind)


def _frozen(config: AVCTTraining, given: run_weights.Parts) -> run_weights.Parts:
    """What E_avct is trained with, of the right sizes."""
    wanted: dict[str, Callable[[], Any]] = {
        "keypoint_detector": lambda: networks.init(config.system, "keypoint_detector"),
        "renderer": lambda: networks.init(config.system, "renderer"),
    }
    if config.stage.sync:
        sync = config.stage.sync_discriminator
        wanted["sync_discriminator"] = lambda: init_params.sync_discriminator_variables(sync)
    return {part: init_params.begin(part, given, make) for part, make in wanted.items() if part in given}


def _mean_keypoints(config: AVCTTraining, clips: source.Source) -> Float[np.ndarray, "k 2"]:
    """Where the speaker's keypoints are on the whole: the answer that E_avct begins with.

    Of the same examples in every process, on any number of devices.
    """
    draw = dataclasses.replace(config.draw, with_frames=False)
    clips = clips.host if isinstance(clips, device_cache.DeviceSource) else clips
    drawn = clips.batch("sequences", draw, seed=config.seed, step=0, batch_size=SPEAKER_SAMPLE)
    return drawn.motion.keypoints.mean((0, 1))


def open_source(places: TrainingPaths, mesh: jax.sharding.Mesh, *, quiet: bool = False) -> source.Source:
    """Open the clips.

    Raises:
      UserError: there are none, or TensorFlow is missing.
    """
    packed = None if quiet else progress.tenths("{done} of {total} shards are packed", least=10)
    if places.source == "grain":
        return grain_source.GrainSource(places.clips, workers=places.workers, packing=packed)
    if places.source != "tfds":
        told = None if quiet else progress.tenths("images of {done} of {total} clips are decoded")
        clips = numpy_source.NumpySource(places.clips, progress=told, packing=packed)
        return device_cache.DeviceSource(clips, mesh) if places.source == "device" else clips
    try:
        from avct_jax.data.dataset import tfds_builder, tfrecord_source
    except ImportError as error:
        raise errors.UserError(
            f"--source tfds needs {error.name}: pip install 'avct-jax[train]', or take --source numpy"
        ) from None
    # One process packs the shards; the others find them.
    if jax.process_count() > 1:
        if sharding.is_first_process():
            tfds_builder.prepare(places.clips, places.clips / SHARDS)
        multihost_utils.sync_global_devices("shards are packed")
    return tfrecord_source.RecordSource(tfds_builder.prepare(places.clips, places.clips / SHARDS))
