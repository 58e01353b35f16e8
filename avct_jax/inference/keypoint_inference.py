"""From audio, phonemes and head poses to frames: pure functions of fixed shape, to be jitted once.

A clip is drawn in chunks of n frames. Each frame's towers run once; the transformer's windows are gathered
from their results, of which the last 2 r (r: window radius) are carried to the next chunk. So a chunk takes
the inputs of n frames and returns n frames that lie r frames earlier. `animate` does whole examples, many at
once, of what `make_inputs` makes; it is for research, where all frames fit the memory.

There are gradients with respect to weights, images and audio. There are none with respect to phonemes (they
are indices) and head pose: E_avct sees a drawing of the head's box, of whole pixels, as the paper's does.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from avct_jax import motion
from avct_jax.layers import applied
from avct_jax.layers.geometry import pose_image
from avct_jax.models import avct, head_motion, keypoint_detector, networks, renderer, system_config

Variables = Mapping[str, Any]


class KeypointInputs(NamedTuple):
    """What drives n frames.

    Attributes:
      phonemes: indices of the 41 symbols.
      audio: 4 rows of 41 features a frame.
      corners: of the head's box in the 256 px image, `pose_image.project_box(poses)`. Whole numbers: there
        is no gradient with respect to the pose.
    """

    phonemes: Int[Array, " n"]
    audio: Float[Array, "n 4 columns"]
    corners: Int[Array, "n 8 2"]


def make_inputs(
    phonemes: Int[Any, " n"], audio: Float[Any, "n 4 columns"], poses: Float[Any, "n 6"]
) -> KeypointInputs:
    """Make inputs of n frames.

    Args:
      phonemes: indices of the 41 symbols.
      audio: features as `speech_features.frame_features` deals them out.
      poses: of the head: rotation (rad) and translation (mm) in the camera's frame.
    """
    corners = pose_image.project_box(np.asarray(poses))
    return KeypointInputs(
        jnp.asarray(phonemes, jnp.int32), jnp.asarray(audio, jnp.float32), jnp.asarray(corners)
    )


class EncodedPortrait(NamedTuple):
    """What is computed of the portrait once: batch of one.

    Attributes:
      motion: its keypoints and Jacobians.
      features: of the detector, for E_avct.
      source: what the renderer has encoded.
    """

    motion: motion.Motion
    features: Float[Array, "1 f f d"]
    source: renderer.EncodedSource


class WindowCarry(NamedTuple):
    """What a chunk leaves to the next: embeddings of the last 2 r frames.

    Attributes:
      encoded: what is said and posed.
      decoded: what is heard.
    """

    encoded: Float[Array, "w d"]
    decoded: Float[Array, "w d"]


class Start(NamedTuple):
    """Everything that is known before the first chunk.

    Attributes:
      portrait: encoded.
      carry: of the frames before the first chunk.
      reference: the predicted motion that eq. 3 takes as the portrait's own.
    """

    portrait: EncodedPortrait
    carry: WindowCarry
    reference: motion.Motion


def animate(
    config: system_config.SystemConfig,
    variables: Variables,
    images: Float[Array, "b h w 3"],
    inputs: Any,
) -> Float[Array, "b n h w 3"]:
    """Draw b examples of n frames, RGB in [0, 1]; before and after them there is silence, the head still.

    Args:
      config: sizes of the networks.
      variables: weights of the networks, by part.
      images: portraits, RGB in [0, 1], config.image_size px square.
      inputs: Inputs of b examples, with that axis in front of every array.
    """
    radius = config.avct.window_radius

    def one(image: Array, inputs: KeypointInputs) -> Array:
        outside = KeypointInputs(
            jnp.full(1, avct.SILENCE, jnp.int32), jnp.zeros_like(inputs.audio[:1]), inputs.corners[:1]
        )
        after = outside._replace(corners=inputs.corners[-1:])
        follow = jax.tree.map(lambda x, o: jnp.concatenate([x, *2 * radius * [o]]), inputs, after)
        take = lambda first, last: jax.tree.map(lambda x: x[first:last], follow)
        begun = start(config, variables, image, outside, take(0, 2 * radius))
        ahead = take(radius, len(inputs.phonemes) + radius)
        _, driving = advance(config, variables, begun.portrait, begun.carry, ahead)
        return render(config, variables, begun.portrait, begun.reference, driving)

    return jax.vmap(one)(images, inputs)


def start(
    config: system_config.SystemConfig,
    variables: Variables,
    image: Float[Array, "h w 3"],
    outside: KeypointInputs,
    opening: KeypointInputs,
) -> Start:
    """Encode the portrait, and the frames before the clip and at its beginning.

    Args:
      config: sizes of the networks.
      variables: weights of the networks, by part.
      image: RGB in [0, 1], config.image_size px square.
      outside: one frame of silence with the first pose: what lies before the clip.
      opening: the clip's first 2 r frames (outside frames where it is shorter).
    """
    portrait = encode_portrait(config, variables, image)
    radius = config.avct.window_radius
    first = jax.tree.map(lambda o, x: jnp.concatenate([o, x]), outside, opening)
    embedded = embed(config, variables, portrait, first)
    encoded, decoded = (jnp.concatenate([jnp.repeat(x[:1], radius, 0), x[1:]]) for x in embedded)
    if config.reference == "rest":
        # A window of nothing but silence: the mouth that the driver closes is the portrait's own.
        window = WindowCarry(*(jnp.repeat(x[:1], 2 * radius + 1, 0) for x in embedded))
    else:
        window = WindowCarry(encoded[: 2 * radius + 1], decoded[: 2 * radius + 1])
    reference = predict(config, variables, window)
    return Start(portrait, WindowCarry(encoded[: 2 * radius], decoded[: 2 * radius]), reference)


def animate_chunk(
    config: system_config.SystemConfig,
    variables: Variables,
    begun: Start,
    carry: WindowCarry,
    inputs: KeypointInputs,
) -> tuple[WindowCarry, UInt8[Array, "n h w 3"]]:
    """Draw the n frames whose windows `inputs` completes: those from r frames before it.

    Args:
      config: sizes of the networks.
      variables: weights of the networks, by part.
      begun: what `start` gave.
      carry: what the chunk before gave; of the first chunk `begun.carry`.
      inputs: frames i + r .. i + r + n - 1 of the clip, to draw frames i .. i + n - 1; the first call's
        carry (Start.carry) ends with frame r - 1.
    """
    carry, driving = advance(config, variables, begun.portrait, carry, inputs)
    frames = render(config, variables, begun.portrait, begun.reference, driving)
    return carry, to_bytes(frames)


def advance(
    config: system_config.SystemConfig,
    variables: Variables,
    portrait: EncodedPortrait,
    carry: WindowCarry,
    inputs: KeypointInputs,
) -> tuple[WindowCarry, motion.Motion]:
    """Predict the motion of n frames and carry the embeddings on."""
    embedded = embed(config, variables, portrait, inputs)
    known = jax.tree.map(lambda old, new: jnp.concatenate([old, new]), carry, WindowCarry(*embedded))
    kept = jax.tree.map(lambda x: x[len(inputs.phonemes) :], known)
    return kept, predict(config, variables, known)


def encode_portrait(
    config: system_config.SystemConfig, variables: Variables, image: Float[Array, "h w 3"]
) -> EncodedPortrait:
    """Detect the portrait's keypoints and encode it for rendering."""
    found = _detect(config, variables, image[None])
    network = networks.build(config).renderer
    source = applied.function(renderer.Renderer.encode, network, variables["renderer"])(image[None])
    return EncodedPortrait(found.motion, avct.reference_of(config.avct, image[None], found.features), source)


def _detect(config, variables, images) -> keypoint_detector.Detection:
    network = networks.build(config).keypoint_detector
    detect = keypoint_detector.KeypointDetector.__call__
    return applied.function(detect, network, variables["keypoint_detector"])(images)


def embed(
    config: system_config.SystemConfig,
    variables: Variables,
    portrait: EncodedPortrait,
    inputs: KeypointInputs,
) -> tuple[Float[Array, "n d"], Float[Array, "n d"]]:
    """Run the towers of n frames.

    Returns:
      What is said and posed; what is heard.
    """
    network = networks.build(config).avct
    boxes = pose_image.draw_corners(inputs.corners)
    weights = variables["avct"]
    encode = applied.function(avct.AVCT.encode_frames, network, weights)
    decode = applied.function(avct.AVCT.decode_frames, network, weights)
    encoded = encode(inputs.phonemes[None], boxes[None])
    decoded = decode(inputs.audio[None], portrait.features)
    return encoded[0], decoded[0]


def predict(config: system_config.SystemConfig, variables: Variables, known: WindowCarry) -> motion.Motion:
    """Predict the motion in the middle of each window of the m known frames: m - 2 r motions."""
    windows = (avct.gather_windows(x[None], config.avct.window_radius) for x in known)
    network = networks.build(config).avct
    predicted = applied.function(avct.AVCT.predict_windows, network, variables["avct"])(*windows)
    return jax.tree.map(lambda x: x[0], predicted)


def render(
    config: system_config.SystemConfig,
    variables: Variables,
    portrait: EncodedPortrait,
    reference: motion.Motion,
    driving: motion.Motion,
) -> Float[Array, "n h w 3"]:
    """Move the portrait as `driving` has moved since `reference` (eq. 3), and render it.

    What has moved counts `config.motion_scale` times, and begins with the mouth shut by
    `config.mouth_closing`.
    """
    moved = motion.relative_transfer(driving, reference, portrait.motion)
    own = portrait.motion.keypoints
    rest = motion.shut_mouth(own, config.mouth_closing) if config.mouth_closing else own
    moved = moved._replace(keypoints=rest + config.motion_scale * (moved.keypoints - own))
    return draw(config, variables, portrait, moved)


def draw(
    config: system_config.SystemConfig, variables: Variables, portrait: EncodedPortrait, moved: motion.Motion
) -> Float[Array, "n h w 3"]:
    """Render the portrait in each of n motions."""
    count = len(moved.keypoints)
    source, source_motion = jax.tree.map(
        lambda x: jnp.broadcast_to(x, (count, *x.shape[1:])), (portrait.source, portrait.motion)
    )
    network = networks.build(config).renderer
    decode = applied.function(renderer.Renderer.decode, network, variables["renderer"])
    return decode(source, moved, source_motion).frame


def reenact(
    config: system_config.SystemConfig,
    variables: Variables,
    portrait: EncodedPortrait,
    frames: UInt8[Array, "n h w 3"],
) -> UInt8[Array, "n h w 3"]:
    """Draw the portrait as E_kd sees another video's frames: FOMM's reconstruction, motions as they are.

    Args:
      config: sizes of the networks.
      variables: weights of the networks, by part.
      portrait: what `encode_portrait` gave.
      frames: RGB, config.image_size px square, of the same person.
    """
    found = _detect(config, variables, frames.astype(jnp.float32) / 255)
    return to_bytes(draw(config, variables, portrait, found.motion))


def to_bytes(frames: Float[Array, "*b 3"]) -> UInt8[Array, "*b 3"]:
    """8-bit images as the reference writes them: 255 times the value, truncated."""
    return (255 * frames).clip(0, 255).astype(jnp.uint8)


def begin_head_motion(
    config: system_config.SystemConfig, variables: Variables, first_pose: Float[Array, " 6"]
) -> tuple[head_motion.HeadMotionCarry, Float[Array, " 6"]]:
    """Begin predicting head poses from the portrait's own (rad, mm).

    Returns:
      What to carry, and pose 0.
    """
    network = networks.build(config).head_motion
    image = pose_image.draw_pose_boxes(first_pose[None])
    begin = applied.function(head_motion.HeadMotion.initial, network, variables["head_motion"])
    carry, pose = begin(image)
    return carry, head_motion.to_real_units(pose)[0]


def predict_poses(
    config: system_config.SystemConfig,
    variables: Variables,
    carry: head_motion.HeadMotionCarry,
    audio: Float[Array, "n 4 columns"],
) -> tuple[head_motion.HeadMotionCarry, Float[Array, "n 6"]]:
    """Predict a head pose (rad, mm) for each frame of audio."""
    network = networks.build(config).head_motion
    run = applied.function(head_motion.HeadMotion.run, network, variables["head_motion"])
    carry, poses = run(carry, audio[None])
    return carry, head_motion.to_real_units(poses)[0]
