"""E_avct's warm-up: motion of one speaker learned from keypoints, before anything is rendered.

The speaker's motion is put on many people's portraits by eq. 3, so that the network's answer does not depend
on whose keypoint features it sees.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, UInt8

from avct_jax import motion
from avct_jax.layers import pose_image
from avct_jax.models import avct, keypoint_detector
from avct_jax.train import augment, state

LIPS = (0, 1)  # upper and lower lip among the keypoints of data/face_motion.py
F0_COLUMN = 39  # of the 41 audio features, Hz


class Batch(NamedTuple):
    """Stretches of t + 2 r frames of the speaker (r: window radius), and a portrait for each.

    portrait: with a margin around the face's square. portrait_motion, portrait_pose: what its landmarks say.
    rest_motion, rest_pose: the speaker's while silent. silent: frames without speech, 1 or 0.
    poses: rad and mm. motion: of all t + 2 r frames.
    """

    portrait: UInt8[Array, "b s s 3"]
    portrait_motion: motion.Motion
    portrait_pose: Float[Array, "b 6"]
    rest_motion: motion.Motion
    rest_pose: Float[Array, "b 6"]
    phonemes: Int[Array, "b t"]
    audio: Float[Array, "b t 4 41"]
    silent: Float[Array, "b t"]
    poses: Float[Array, "b t 6"]
    motion: motion.Motion


class Frozen(NamedTuple):
    """What is not trained: E_kd's variables, and the audio features of digital silence."""

    detector: Any
    silence: Float[Array, "4 41"]


@dataclasses.dataclass(frozen=True)
class AVCTStageConfig:
    """Weights and chances.

    Attributes:
      keypoints: weight of each keypoint's absolute error. opening: of that of lower minus upper lip.
      jacobians: weight of the Jacobians' error.
      absolute: weight of where the face is, beside how it moves: what eq. 3 shows is only how it moves, and
        how far a portrait's mouth happens to stand open would drown it.
      hush: chance that a clip's silent frames become digital silence, which no microphone records.
      noise: of the audio features, in their standard deviations. voice: largest change of log F0.
      wrong_phonemes: chance of a random phoneme.
    """

    margin: float = 1.25
    keypoints: tuple[float, ...] = (4.0, 4.0, 3.0, 3.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    opening: float = 10.0
    jacobians: float = 0.1
    absolute: float = 0.1
    hush: float = 0.4
    noise: float = 0.15
    voice: float = 0.6
    wrong_phonemes: float = 0.08
    decay: float = 0.995


def make_train_step(
    config: AVCTStageConfig,
    detector_config: keypoint_detector.KeypointDetectorConfig,
    avct_config: avct.AVCTConfig,
    optimizer: optax.GradientTransformation,
    *,
    image_size: int = 256,
) -> Callable[[state.State, Frozen, Batch, Array], tuple[state.State, dict[str, Array]]]:
    """Build the pure step (state, frozen, batch, key) -> (state, metrics); the caller jits it."""
    detector = keypoint_detector.KeypointDetector(detector_config)
    network = avct.AVCT(avct_config)
    radius = avct_config.window_radius

    def step(current, frozen, batch, key):
        keys = jax.random.split(jax.random.fold_in(key, current.step), 3)
        seen = see(config, frozen, batch, keys[0], image_size)
        features = jax.lax.stop_gradient(detector.apply(frozen.detector, seen.image).features)
        inner = slice(radius, batch.phonemes.shape[1] - radius)
        target = jax.tree.map(lambda x: x[:, inner], seen.target)

        def loss_fn(params):
            variables = {"params": params, "batch_stats": current.player.batch_stats}
            rngs = {"dropout": keys[2]}
            found, updates = network.apply(
                variables, seen, features, method=predict, rngs=rngs, mutable=["batch_stats"]
            )
            metrics = motion_losses(config, *found, target, seen.rest)
            return sum(metrics.values()), (metrics, updates["batch_stats"])

        (_, (metrics, stats)), gradients = jax.value_and_grad(loss_fn, has_aux=True)(current.player.params)
        player = state.update(current.player, gradients, stats, optimizer, decay=config.decay)
        return state.State(current.step + 1, player), metrics

    return step


def motion_losses(
    config: AVCTStageConfig,
    found: motion.Motion,
    found_rest: motion.Motion,
    target: motion.Motion,
    rest: motion.Motion,
) -> dict[str, Float[Array, ""]]:
    """The weighted errors of the motion since rest, of the lips' opening, and of the places.

    Args:
      found, target: (b, t). found_rest: predicted for silence, (b, 1). rest: the portrait's own, (b, 1).
    """
    weights = jnp.asarray(config.keypoints).reshape(1, 1, -1, 1)
    moved = (found.keypoints - found_rest.keypoints) - (target.keypoints - rest.keypoints)
    opened = (_opening(found) - _opening(found_rest)) - (_opening(target) - _opening(rest))
    turned = found.jacobians @ motion.invert_2x2(found_rest.jacobians) - target.jacobians @ motion.invert_2x2(
        rest.jacobians
    )
    placed = (
        jnp.abs(found.keypoints - target.keypoints).mean()
        + jnp.abs(found.jacobians - target.jacobians).mean()
    )
    return {
        "keypoints": 10 * (weights * jnp.abs(moved)).mean(),
        "opening": 10 * config.opening * jnp.abs(opened).mean(),
        "jacobians": 10 * config.jacobians * jnp.abs(turned).mean(),
        "places": 10 * config.absolute * placed,
    }


class Seen(NamedTuple):
    """A batch after augmentation.

    rest, rest_pose: the portrait's own motion and pose. silence: a frame of its sound.
    """

    image: Float[Array, "b h w 3"]
    phonemes: Int[Array, "b t"]
    audio: Float[Array, "b t 4 41"]
    poses: Float[Array, "b t 6"]
    target: motion.Motion
    rest: motion.Motion
    rest_pose: Float[Array, "b 1 6"]
    silence: Float[Array, "b 1 4 41"]


def predict(
    network: avct.AVCT, seen: Seen, features: Float[Array, "b f f c"]
) -> tuple[motion.Motion, motion.Motion]:
    """Predict the frames whose whole window is given, and one frame (b, 1) of nothing but silence."""
    radius = network.config.window_radius
    hush = jnp.full((len(seen.phonemes), 1), avct.SILENCE, seen.phonemes.dtype)
    boxes = pose_image.draw_pose_boxes(jnp.concatenate([seen.poses, seen.rest_pose], 1))
    encoded = network.encode_frames(jnp.concatenate([seen.phonemes, hush], 1), boxes, train=True)
    decoded = network.decode_frames(jnp.concatenate([seen.audio, seen.silence], 1), features, train=True)
    spoken = (avct.gather_windows(x[:, :-1], radius) for x in (encoded, decoded))
    silent = (jnp.repeat(x[:, -1:, None], 2 * radius + 1, axis=2) for x in (encoded, decoded))
    windows = (jnp.concatenate(pair, 1) for pair in zip(spoken, silent, strict=True))
    found = network.predict_windows(*windows, train=True)
    return jax.tree.map(lambda x: x[:, :-1], found), jax.tree.map(lambda x: x[:, -1:], found)


def see(config: AVCTStageConfig, frozen: Frozen, batch: Batch, key: Any, image_size: int) -> Seen:
    """Put the speaker's motion on the portraits, and vary picture, place, voice and phonemes."""
    keys = jax.random.split(key, 3)
    count = len(batch.portrait)
    view = augment.random_view(keys[0], count, scale=0.15, shift=0.08, turn=0.0, mirror=0.0)
    image = augment.look(batch.portrait, view, image_size, margin=config.margin)
    image = augment.recolour(image, augment.random_colours(keys[1], count, strength=0.2))
    wide = lambda tree: jax.tree.map(lambda x: x[:, None], tree)
    target = motion.relative_transfer(batch.motion, wide(batch.rest_motion), wide(batch.portrait_motion))
    target = see_clip(target, view)
    poses = batch.poses - batch.rest_pose[:, None] + batch.portrait_pose[:, None]
    phonemes, audio = _vary_sound(config, frozen, batch, keys[2])
    rest = see_clip(wide(batch.portrait_motion), view)
    rest_pose = see_poses(batch.portrait_pose[:, None], view)
    silence = jnp.broadcast_to(frozen.silence, (count, 1, *frozen.silence.shape))
    return Seen(image, phonemes, audio, see_poses(poses, view), target, rest, rest_pose, silence)


def see_clip(clip: motion.Motion, view: augment.View) -> motion.Motion:
    """`augment.see_motion` for (b, t) motions under views without mirroring."""
    inverse = motion.invert_2x2(view.matrix)
    keypoints = jnp.einsum("bij,btkj->btki", inverse, clip.keypoints - view.shift[:, None, None])
    return motion.Motion(keypoints, inverse[:, None, None] @ clip.jacobians)


def see_poses(poses: Float[Array, "b t 6"], view: augment.View) -> Float[Array, "b t 6"]:
    """Head poses in the picture that `look` makes of an unturned view: moved, nearer or farther."""
    size = view.matrix[:, 0, 0].reshape(-1, 1)
    half = pose_image.SIZE / 2 / pose_image.FOCAL
    x, y, z = (poses[..., i] for i in (3, 4, 5))
    shift = view.shift * half
    x, y = x - shift[:, :1] * z, y - shift[:, 1:] * z
    return jnp.concatenate([poses[..., :3], jnp.stack([x, y, z * size], -1)], -1)


def _vary_sound(config, frozen, batch, key):
    keys = jax.random.split(key, 6)
    b, t = batch.phonemes.shape
    scale = jnp.exp(jax.random.uniform(keys[0], (b, 1, 1), minval=-config.voice, maxval=config.voice))
    audio = batch.audio.at[..., F0_COLUMN].multiply(scale)
    spread = batch.audio.std((0, 1, 2)).reshape(1, 1, 1, -1)
    audio = audio + config.noise * spread * jax.random.normal(keys[1], audio.shape)
    hushed = jax.random.bernoulli(keys[2], config.hush, (b, 1)) & (batch.silent > 0)
    audio = jnp.where(hushed[..., None, None], frozen.silence[None, None], audio)
    wrong = jax.random.bernoulli(keys[3], config.wrong_phonemes, (b, t))
    drawn = jax.random.randint(keys[4], (b, t), 0, 41)
    phonemes = jnp.where(wrong, drawn, batch.phonemes)
    return jnp.where(hushed, avct.SILENCE, phonemes), audio


def _opening(x: motion.Motion):
    upper, lower = LIPS
    return x.keypoints[..., lower, :] - x.keypoints[..., upper, :]
