"""How LITE is trained: starting weights, batches and rates of its four stages.

In order: keypoints, renderer, avct; head_motion hangs on none of them. All of it fits two CPU cores: about
1.6 s a step for keypoints and avct and 1.5 to 3 s for the renderer.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from avct_jax import motion
from avct_jax.data import audio, clip, face_motion, numpy_source
from avct_jax.layers import pose_image
from avct_jax.models import avct, head_motion, keypoint_detector, renderer, sizes, vgg
from avct_jax.train import (
    avct_stage,
    head_motion_stage,
    keypoint_stage,
    loop,
    optimizer,
    renderer_stage,
    run_folder,
    state,
)

STILLS_STEP = 4  # of the speaker's pictures, where the many other people matter more
LONG_RUN = 3000  # steps from which the renderer's moving average may be slow
DECAYS = (0.995, 0.998)  # of that average in shorter and longer runs
NODS = 64  # frames of a head-motion stretch


@dataclasses.dataclass(frozen=True)
class Options:
    """What a run is made of.

    Attributes:
      clips: folder of clips (data/clip.py). run: folder of what is learned.
      speaker: the person of the clips whose speech is learned.
      steps: in all; the rate has fallen by then. learning_rate: its peak; None: the stage's own.
      perceptual: weight of the renderer's VGG loss; vgg: its weights, see models/vgg.py.
      init: a checkpoint to begin from in place of random weights.
    """

    clips: pathlib.Path
    run: pathlib.Path
    steps: int
    config: sizes.SystemConfig = sizes.LITE
    speaker: str = "grid_s1"
    learning_rate: float | None = None
    perceptual: float = 0.0
    vgg: pathlib.Path | None = None
    init: pathlib.Path | None = None


class Stage(NamedTuple):
    """All that the loop needs.

    part: of the system, that is trained. advance: the compiled step. draw: makes a batch.
    """

    part: str
    advance: loop.Advance
    state: state.State
    draw: Callable[[np.random.Generator], Any]


def keypoints(options: Options) -> Stage:
    """E_kd by landmarks: 16 pictures a step, 12 of many people.

    After 1500 steps mean errors of .0150 (others held out) and .0054 (speaker), [-1, 1] units; r = .82 for
    the lips' opening.
    """
    part, config = "keypoint_detector", options.config
    bank, moves = _read_bank(options, STILLS_STEP)
    rule = _optimizer(options, learning_rate=1e-3, warmup=50, betas=(0.9, 0.999), final_share=0.02)
    step = keypoint_stage.make_train_step(
        config.keypoint_detector,
        rule,
        mirrored_index=jnp.array(face_motion.MIRRORED),
        image_size=config.image_size,
        margin=clip.MARGIN,
    )
    start = _start(options, part, initial_keypoint_detector)

    def draw(rng: np.random.Generator) -> keypoint_stage.Batch:
        return as_batch(keypoint_stage.Batch, numpy_source.draw_faces(bank, moves, rng))

    return Stage(part, jax.jit(step, donate_argnums=0), state.make_state(start, rule), draw)


def renderer_from_pairs(options: Options) -> Stage:
    """E_r: 8 sources with 2 driving pictures each, 35% of the speaker."""
    part, config = "renderer", options.config
    bank, moves = _read_bank(options, 1)
    rule = _optimizer(options, learning_rate=1e-3, warmup=30, betas=(0.5, 0.999), final_share=0.05)
    stage = renderer_stage.RendererStageConfig(
        output_size=config.image_size // 2,
        margin=clip.MARGIN,
        perceptual=options.perceptual,
        decay=DECAYS[options.steps >= LONG_RUN],
    )
    step = renderer_stage.make_train_step(
        stage,
        config.keypoint_detector,
        config.renderer,
        rule,
        mirrored_index=jnp.array(face_motion.MIRRORED),
        image_size=config.image_size,
    )
    frozen = renderer_stage.Frozen(
        run_folder.load_part(options.run, "keypoint_detector", config),
        vgg.load(options.vgg) if options.perceptual else None,
    )
    start = _start(options, part, initial_renderer)

    def draw(rng: np.random.Generator) -> renderer_stage.Batch:
        return as_batch(renderer_stage.Batch, numpy_source.draw_pairs(bank, moves, rng))

    return Stage(part, _judged(step, frozen), state.make_state(start, rule), draw)


def avct_from_speech(options: Options) -> Stage:
    """E_avct: 8 stretches of 24 frames and 5 on each side; 60% of portraits of other people.

    After 1200 steps (the first 600 with another loss) r = .89 between predicted and real opening of the lips,
    on 24 held-out clips.
    """
    part, config = "avct", options.config
    bank, moves = _read_bank(options, STILLS_STEP)
    speech = numpy_source.read_speech(
        options.clips, run_folder.mean_face(options.run, bank), speaker=options.speaker
    )
    clips = list(speech.values())
    rule = _optimizer(
        options,
        learning_rate=1.5e-3,
        warmup=50,
        betas=(0.9, 0.999),
        weight_decay=1e-2,
        clip=5.0,
        final_share=0.02,
    )
    step = avct_stage.make_train_step(
        avct_stage.AVCTStageConfig(margin=clip.MARGIN),
        config.keypoint_detector,
        config.avct,
        rule,
        image_size=config.image_size,
    )
    detector = run_folder.load_part(options.run, "keypoint_detector", config)
    frozen = avct_stage.Frozen(detector, jnp.asarray(silence()))
    mean = np.mean([c.motion.keypoints.mean(0) for c in clips], 0)
    start = _start(options, part, lambda size: initial_avct(size, mean))

    def draw(rng: np.random.Generator) -> avct_stage.Batch:
        radius = config.avct.window_radius
        return as_batch(avct_stage.Batch, numpy_source.draw_stretches(clips, bank, moves, rng, radius=radius))

    return Stage(part, _judged(step, frozen), state.make_state(start, rule), draw)


def head_motion_from_speech(options: Options) -> Stage:
    """E_h: 8 stretches of 64 frames."""
    part = "head_motion"
    bank, _ = _read_bank(options, STILLS_STEP)
    mean = run_folder.mean_face(options.run, bank)
    speech = numpy_source.read_speech(options.clips, mean, speaker=options.speaker, least_frames=NODS)
    clips = list(speech.values())
    rule = _optimizer(options, learning_rate=2e-3, warmup=30, betas=(0.9, 0.999), clip=1.0, final_share=0.02)
    step = head_motion_stage.make_train_step(
        head_motion_stage.HeadMotionStageConfig(), options.config.head_motion, rule
    )
    start = _start(options, part, initial_head_motion)

    def draw(rng: np.random.Generator) -> head_motion_stage.Batch:
        return as_batch(head_motion_stage.Batch, numpy_source.draw_nods(clips, rng, frames=NODS))

    return Stage(part, jax.jit(step, donate_argnums=0), state.make_state(start, rule), draw)


STAGES = {
    "keypoints": keypoints,
    "renderer": renderer_from_pairs,
    "avct": avct_from_speech,
    "head-motion": head_motion_from_speech,
}
STEPS = {"keypoints": 1500, "renderer": 1500, "avct": 1100, "head-motion": 600}


def as_batch(kind: Callable[..., Any], drawn: tuple) -> Any:
    """A stage's Batch of what numpy_source draws: the same fields, with motions as motion.Motion."""
    fields = (motion.Motion(*x) if isinstance(x, numpy_source.FaceMotion) else x for x in drawn)
    return kind(*fields)


def silence() -> np.ndarray:
    """The features of a frame of digital silence, (4, 41)."""
    return audio.frame_features(audio.audio_features(np.zeros(audio.SAMPLE_RATE, np.float32)))[3]


def initial_keypoint_detector(config: sizes.SystemConfig) -> dict[str, Any]:
    """Random variables of E_kd."""
    network = keypoint_detector.KeypointDetector(config.keypoint_detector)
    return jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, config.image_size, config.image_size, 3)))


def initial_renderer(config: sizes.SystemConfig) -> dict[str, Any]:
    """Random variables of E_r."""
    k = config.keypoint_detector.num_keypoints
    still = motion.Motion(jnp.zeros((1, k, 2)), jnp.tile(jnp.eye(2), (1, k, 1, 1)))
    picture = jnp.zeros((1, config.image_size, config.image_size, 3))
    return jax.jit(renderer.Renderer(config.renderer).init)(jax.random.key(0), picture, still, still)


def initial_avct(config: sizes.SystemConfig, mean_keypoints: np.ndarray) -> dict[str, Any]:
    """Random variables of E_avct, which at first answers `mean_keypoints` (k, 2)."""
    c = config.avct
    variables = jax.jit(avct.AVCT(c).init)(
        jax.random.key(0),
        jnp.zeros((1, 2), jnp.int32),
        jnp.zeros((1, 2, c.pose_size, c.pose_size)),
        jnp.zeros((1, 2, avct.AUDIO_ROWS, avct.AUDIO_COLUMNS)),
        jnp.zeros((1, c.feature_size, c.feature_size, c.feature_channels)),
    )
    params = variables["params"]
    answer = {**params["kp"], "bias": jnp.asarray(mean_keypoints.reshape(-1), jnp.float32)}
    return {**variables, "params": {**params, "kp": answer}}


def initial_head_motion(config: sizes.SystemConfig) -> dict[str, Any]:
    """Random variables of E_h."""
    box = jnp.zeros((1, pose_image.SIZE, pose_image.SIZE))
    sound = jnp.zeros((1, 2, avct.AUDIO_ROWS, avct.AUDIO_COLUMNS))
    return jax.jit(head_motion.HeadMotion(config.head_motion).init)(jax.random.key(0), box, sound)


def _read_bank(options: Options, speaker_step: int) -> tuple[numpy_source.Bank, numpy_source.FaceMotion]:
    bank = numpy_source.read_bank(options.clips, speaker=options.speaker, speaker_step=speaker_step)
    return bank, numpy_source.bank_motion(bank, run_folder.mean_face(options.run, bank))


def _optimizer(options: Options, *, learning_rate: float, **fields):
    rate = options.learning_rate or learning_rate
    return optimizer.make_optimizer(
        optimizer.OptimizerConfig(learning_rate=rate, steps=options.steps, **fields)
    )


def _start(options: Options, part: str, initial: Callable[[sizes.SystemConfig], dict]) -> dict[str, Any]:
    if options.init is not None:
        return run_folder.load_weights(options.init, part, options.config)
    return initial(options.config)


def _judged(step, frozen) -> loop.Advance:
    """Compile a step that takes frozen networks, as an argument: constants would be part of the program."""
    compiled = jax.jit(step, donate_argnums=0)
    return lambda current, batch, key: compiled(current, frozen, batch, key)
