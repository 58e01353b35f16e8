"""What E_avct is shown of a batch, and what it should answer: portraits, poses and motion seen alike."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from avct_jax import motion, speech_format
from avct_jax.data.dataset import batch_types
from avct_jax.layers.geometry import pose_image, rotation_vector
from avct_jax.models import avct
from avct_jax.train.augmentation import image_augmentation, speech_augmentation

MIRROR = (1.0, -1.0, -1.0, -1.0, 1.0, 1.0)  # signs of a mirrored head's rotation and translation


class AVCTInputs(NamedTuple):
    """Stretches of n = t + 2 r frames (r: window radius).

    Attributes:
      image: the portrait, RGB in [0, 1].
      target: the motion to be predicted, of the t frames that have a whole window.
      rest, rest_pose: of the same face, silent.
    """

    image: Float[Array, "b h w 3"]
    phonemes: Int[Array, "b n"]
    audio: Float[Array, "b n 4 columns"]
    poses: Float[Array, "b n 6"]
    target: motion.Motion
    rest: motion.Motion
    rest_pose: Float[Array, "b 1 6"]


class Prediction(NamedTuple):
    """E_avct's answer: of t frames, and (b, 1) of nothing but silence; None where it wasn't asked."""

    spoken: motion.Motion
    rest: motion.Motion | None


def see(batch: batch_types.Sequences, *, radius: int, image_size: int, transfer: bool) -> AVCTInputs:
    """Look at portraits, poses and motions through the batch's views.

    Args:
      radius: frames on each side of those that are predicted.
      transfer: put the speaker's motion since rest on the portrait by eq. 3, its head's too; else the frames
        are what they are, and the portrait's own motion does not count.
    """
    one = lambda x: jnp.asarray(x)[:, None]
    motions = lambda m: motion.Motion(*(jnp.asarray(x) for x in m))
    moving, still = motions(batch.motion), motion.Motion(*map(one, batch.rest_motion))
    poses, still_pose = jnp.asarray(batch.poses), one(batch.rest_pose)
    if transfer:
        own, own_pose = motion.Motion(*map(one, batch.portrait_motion)), one(batch.portrait_pose)
        moving, still = motion.relative_transfer(moving, still, own), own
        poses, still_pose = _move_head(poses, still_pose, own_pose), own_pose
    inner = slice(radius, poses.shape[1] - radius)
    return AVCTInputs(
        image=image_augmentation.look(batch.portrait, batch.variation, image_size),
        phonemes=jnp.asarray(batch.phonemes),
        audio=jnp.asarray(batch.audio),
        poses=see_poses(poses, batch.variation),
        target=jax.tree.map(lambda x: x[:, inner], image_augmentation.see_motion(moving, batch.variation)),
        rest=image_augmentation.see_motion(still, batch.variation),
        rest_pose=see_poses(still_pose, batch.variation),
    )


def see_frames(
    batch: batch_types.Sequences, first: Any, count: int, size: int
) -> tuple[Float[Array, "m {size} {size} 3"], Float[Array, "m 4"], Float[Array, "b n 80 16"]]:
    """Real frames first .. first + count - 1 as the portrait is seen (m = b count), their mouths, and mel.

    Args:
      first: of each example, or of all; may be traced.
    """
    own = jnp.broadcast_to(jnp.asarray(first), (len(batch.mel),))
    flat = lambda x: cut(x, own, count).reshape(-1, *x.shape[2:])
    each = image_augmentation.repeat(batch.variation, count)
    assert batch.frames is not None
    stored = batch.frames.shape[2]
    frames = image_augmentation.look(flat(batch.frames), each, size)
    return (
        frames,
        image_augmentation.see_boxes(flat(batch.boxes), each, stored, size),
        cut(batch.mel, own, count),
    )


def cut(x: Any, first: Int[Array, " b"], count: int) -> Any:
    """Frames first .. first + count - 1 of each example, (b, t) in front."""
    return jax.vmap(lambda x, i: jax.lax.dynamic_slice_in_dim(x, i, count))(jnp.asarray(x), first)


def _move_head(poses, rest, own):
    """The speaker's head motion since rest, on another head: it follows that head's own turn."""
    since = rotation_vector.compose(-jnp.broadcast_to(rest, poses.shape)[..., :3], poses[..., :3])
    rotation = rotation_vector.compose(jnp.broadcast_to(own, poses.shape)[..., :3], since)
    return jnp.concatenate([rotation, (poses - rest + own)[..., 3:]], -1)


def see_poses(poses: Float[Array, "b t 6"], variation: batch_types.Variation) -> Float[Array, "b t 6"]:
    """Head poses in the image that `augment.look` makes: moved, nearer or farther, turned, mirrored."""
    view = jnp.asarray(variation.view)[:, None]
    size, angle, shift = jnp.exp(view[..., 0]), view[..., 1], view[..., 2:]
    half = pose_image.SIZE / 2 / pose_image.FOCAL
    z = poses[..., 5]
    x, y = poses[..., 3] - shift[..., 0] * half * z, poses[..., 4] - shift[..., 1] * half * z
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    place = jnp.stack([cos * x + sin * y, cos * y - sin * x, z * size], -1)
    level = jnp.zeros_like(angle)
    rotation = rotation_vector.compose(poses[..., :3], jnp.stack([level, level, -angle], -1))
    seen = jnp.concatenate([rotation, place], -1)
    mirrored = seen * jnp.array(MIRROR).reshape(1, 1, 6)
    return jnp.where(jnp.asarray(variation.mirrored)[:, None, None], mirrored, seen)


def vary_audio(
    seen: AVCTInputs,
    silent: Float[Any, "b n"],
    silence: Float[Array, "4 columns"],
    key: Array,
    *,
    config: Any,
) -> AVCTInputs:
    """Other voices, noise, wrong phonemes, and true silence.

    Args:
      silent: 1 where nobody speaks.
      silence: features of a frame of digital silence.
      config: an avct_stage.AVCTStageConfig.
    """
    keys = jax.random.split(key, 6)
    b, n = seen.phonemes.shape
    audio, phonemes = seen.audio, seen.phonemes
    if config.speech_augmentation.any:
        audio = speech_augmentation.augment_speech(audio, keys[5], config.speech_augmentation)
    if config.voice:
        scale = jnp.exp(jax.random.uniform(keys[0], (b, 1, 1), minval=-config.voice, maxval=config.voice))
        audio = audio.at[..., speech_format.F0].multiply(scale)
    if config.noise:
        spread = seen.audio.std((0, 1, 2)).reshape(1, 1, 1, -1)
        audio = audio + config.noise * spread * jax.random.normal(keys[1], audio.shape)
    if config.phoneme_substitution:
        wrong = jax.random.bernoulli(keys[2], config.phoneme_substitution, (b, n))
        phonemes = jnp.where(wrong, jax.random.randint(keys[3], (b, n), 0, 41), phonemes)
    if config.silence_augmentation:
        hushed = jax.random.bernoulli(keys[4], config.silence_augmentation, (b, 1)) & (
            jnp.asarray(silent) > 0
        )
        audio = jnp.where(hushed[..., None, None], silence[None, None], audio)
        phonemes = jnp.where(hushed, avct.SILENCE, phonemes)
    return seen._replace(audio=audio, phonemes=phonemes)


def predict(
    network: avct.AVCT,
    seen: AVCTInputs,
    features: Float[Array, "b f f c"],
    *,
    with_rest: bool,
    train: bool = False,
) -> Prediction:
    """Predict all t frames at once, every frame's window an element of the batch.

    Batched Sequential Training of Wang et al. Rest is what keypoint_inference.start takes for it: a window of
    silent phonemes, zero audio and one pose.

    Args:
      features: of the portrait, avct.reference_of.
    """
    radius = network.config.window_radius
    phonemes, audio, poses = seen.phonemes, seen.audio, seen.poses
    if with_rest:
        silence_augmentation = jnp.full((len(phonemes), 1), avct.SILENCE, phonemes.dtype)
        phonemes = jnp.concatenate([phonemes, silence_augmentation], 1)
        audio = jnp.concatenate([audio, jnp.zeros_like(audio[:, :1])], 1)
        poses = jnp.concatenate([poses, seen.rest_pose], 1)
    encoded = network.encode_frames(phonemes, pose_image.draw_pose_boxes(poses), train=train)
    decoded = network.decode_frames(audio, features, train=train)
    embedded = (encoded, decoded)
    if not with_rest:
        windows = (avct.gather_windows(x, radius) for x in embedded)
        return Prediction(network.predict_windows(*windows, train=train), None)
    spoken = (avct.gather_windows(x[:, :-1], radius) for x in embedded)
    silent = (jnp.repeat(x[:, -1:, None], 2 * radius + 1, axis=2) for x in embedded)
    windows = (jnp.concatenate(pair, 1) for pair in zip(spoken, silent, strict=True))
    found = network.predict_windows(*windows, train=train)
    return Prediction(
        *(jax.tree.map(lambda x, part=part: x[:, part], found) for part in (slice(-1), slice(-1, None)))
    )
