"""From files to a video by learned keypoints, as the paper does: PAPER, and small systems of its family."""

import functools
from collections.abc import Generator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from avct_jax import weights_file
from avct_jax.animator import base, inputs, scales, stopwatch
from avct_jax.animator import portrait as portraits
from avct_jax.data.faces import crop, head_pose
from avct_jax.data.phonemes import symbols as phonemes
from avct_jax.data.speech import speech_features, voice
from avct_jax.inference import keypoint_inference
from avct_jax.layers.geometry import pose_image
from avct_jax.models import system_config

CHUNK = 16  # frames drawn by one call: enough to fill two cores, and little memory
POSE_CHUNK = 256  # frames of head motion predicted by one call


class KeypointTrack(NamedTuple):
    """Everything that drives the face, one row a frame: see inference.Inputs; poses in rad and mm."""

    phonemes: Int[np.ndarray, "t"]
    audio: Float[np.ndarray, "t 4 columns"]
    poses: Float[np.ndarray, "t 6"]


class KeypointAnimator(base.Animator, family="keypoints"):
    """Networks ready to animate any number of portraits; compiles once, at first use."""

    def __init__(self, system: weights_file.System, *, landmarks: str = "mediapipe", chunk: int = CHUNK):
        """Take a system.

        Args:
          chunk: frames drawn by one call of the jitted function.
        """
        assert isinstance(system.config, system_config.SystemConfig)
        self.config = system.config
        self.variables: Any = jax.device_put(jax.tree.map(jnp.asarray, dict(system.variables)))
        self.chunk = max(chunk, 2 * self.config.avct.window_radius)
        self._landmarker = portraits.landmarker(landmarks)
        bind = functools.partial
        self._start = jax.jit(bind(keypoint_inference.start, self.config))
        self._animate_chunk = jax.jit(bind(keypoint_inference.animate_chunk, self.config))
        self._begin_head_motion = jax.jit(bind(keypoint_inference.begin_head_motion, self.config))
        self._predict_poses = jax.jit(bind(keypoint_inference.predict_poses, self.config))

    def _ready(self, image, audio, request, notes, clock) -> base.PreparedAnimation:
        inputs.check_only_size(request.size, self.config.image_size)
        scales.refuse_for_keypoints(request.scales)
        inputs.refuse_for_keypoints(request)
        scales.refuse_direction_for_keypoints(request.told)
        with clock("image"):
            looked_for = not (request.cropped and request.poses is not None)
            portrait, first_pose = self._read_portrait(
                image, notes, cropped=request.cropped, with_pose=looked_for, face=request.face
            )
        with clock("sound"):
            features = functools.partial(speech_features.features, f0=self.config.pitch)
            listen = functools.partial(voice.hear, features=features)
            speech, heard = base.hear(audio, listen, notes, request.audio_track)
        with clock("phonemes"):
            labels = base.labels(speech, request, notes)
        with clock("head motion"):
            head = self._poses(speech.audio, first_pose, request, notes)
        track = KeypointTrack(labels, speech.audio, head)
        return base.PreparedAnimation(
            portrait, track, self.config.image_size, len(labels), speech.seconds, heard
        )

    def draw(
        self,
        portrait: UInt8[np.ndarray, "s s 3"],
        track: KeypointTrack,
        clock: stopwatch.Stopwatch | None = None,
    ) -> Generator[UInt8[np.ndarray, "n s s 3"], None, None]:
        """Yield the frames that `track` makes of a cropped portrait, in blocks of at most `chunk`.

        While the caller handles one block the next is computed.
        """
        clock = clock or stopwatch.Stopwatch()
        radius, count = self.config.avct.window_radius, len(track.phonemes)
        outside = inputs_of(track, -1, 0)
        with clock("compile and first frames"):
            image = jnp.asarray(portrait, jnp.float32) / 255
            begun = self._start(self.variables, image, outside, inputs_of(track, 0, 2 * radius))
            carry, ahead = self._animate_chunk(
                self.variables, begun, begun.carry, inputs_of(track, radius, self.chunk)
            )
            jax.block_until_ready(ahead)
        for done in range(0, count, self.chunk):
            ready = ahead
            if done + self.chunk < count:
                inputs = inputs_of(track, done + self.chunk + radius, self.chunk)
                carry, ahead = self._animate_chunk(self.variables, begun, carry, inputs)
            with clock("draw"):
                block = np.asarray(ready)
            yield block[: count - done]

    def _read_portrait(
        self, image: base.Image, notes: list[str], *, cropped=False, with_pose=True, face=None
    ):
        size = self.config.image_size
        found = portraits.read_portrait(
            image, self._landmarker, notes, least=size // 2, cropped=cropped, find=with_pose, face=face
        )
        cut = crop.crop(found.pixels, found.square, size)
        return cut, head_pose.from_landmarks(crop.to_crop(found.points, found.square)) if with_pose else None

    def _poses(self, features, first_pose, request, notes):
        if request.poses is not None:
            return base.read_poses(request.poses, len(features), notes)
        if request.head_motion == 0:
            return np.repeat(first_pose[None], len(features), axis=0)
        return self._predicted_poses(features, first_pose)

    def _predicted_poses(self, features, first_pose):
        """Head motion in calls of one fixed shape; only the poses are kept."""
        carry, pose_0 = self._begin_head_motion(self.variables, jnp.asarray(first_pose))
        predicted = [np.asarray(pose_0)[None]]
        for begin in range(0, len(features), POSE_CHUNK):
            block = features[begin : begin + POSE_CHUNK]
            padded = np.pad(block, ((0, POSE_CHUNK - len(block)), (0, 0), (0, 0)))
            carry, poses = self._predict_poses(self.variables, carry, padded)
            predicted.append(np.asarray(poses)[: len(block)])
        if self.config.relative_head_motion:
            return head_pose.sway(
                np.concatenate(predicted[1:]), first_pose, scale=self.config.head_motion_scale
            )
        # One more than frames is predicted; the last has no frame.
        return np.concatenate(predicted)[: len(features)]


def inputs_of(track: KeypointTrack, begin: int, count: int) -> keypoint_inference.KeypointInputs:
    """Inputs of frames begin .. begin + count - 1; outside the clip silence, and the pose at its edge.

    A count of 0 gives one frame, which lies outside.
    """
    total = len(track.phonemes)
    index = np.arange(begin, begin + max(count, 1))
    inside = (index >= 0) & (index < total)
    kept = np.clip(index, 0, total - 1)
    return keypoint_inference.KeypointInputs(
        jnp.asarray(np.where(inside, track.phonemes[kept], phonemes.SIL), jnp.int32),
        jnp.asarray(np.where(inside[:, None, None], track.audio[kept], 0), jnp.float32),
        jnp.asarray(pose_image.project_box(track.poses[kept])),
    )
