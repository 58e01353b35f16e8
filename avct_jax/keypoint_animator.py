"""From files to a film by learned keypoints, as the paper does: PAPER, and small systems of its family."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from avct_jax import animation, checkpoint_file, errors, inference
from avct_jax.data import audio as sound
from avct_jax.data import crop, phoneme_recognition, phonemes, pose, video
from avct_jax.data import image as picture
from avct_jax.layers import pose_image
from avct_jax.models import sizes

CHUNK = 16  # frames drawn by one call: enough to fill two cores, and little memory
POSE_CHUNK = 256  # frames of head motion predicted by one call


class Track(NamedTuple):
    """Everything that drives the face, one row a frame: see inference.Inputs; poses in rad and mm."""

    phonemes: Int[np.ndarray, "t"]
    audio: Float[np.ndarray, "t 4 41"]
    poses: Float[np.ndarray, "t 6"]


class KeypointAnimator:
    """Networks ready to animate any number of portraits; compiles once, at first use."""

    def __init__(self, system: checkpoint_file.System, *, landmarks: str = "mediapipe", chunk: int = CHUNK):
        """Take a system.

        Args:
          chunk: frames drawn by one call of the jitted function.
        """
        self.config: sizes.SystemConfig = system.config
        self.variables: Any = jax.device_put(jax.tree.map(jnp.asarray, dict(system.variables)))
        self.chunk = max(chunk, 2 * self.config.avct.window_radius)
        self._landmarker = animation.landmarker(landmarks)
        bind = functools.partial
        self._start = jax.jit(bind(inference.start, self.config))
        self._animate_chunk = jax.jit(bind(inference.animate_chunk, self.config))
        self._begin_head_motion = jax.jit(bind(inference.begin_head_motion, self.config))
        self._predict_poses = jax.jit(bind(inference.predict_poses, self.config))

    def animate(
        self,
        image: animation.Picture,
        audio: animation.Sound,
        output: animation.Path,
        *,
        phonemes: animation.Phonemes | None = None,
        transcript: str | None = None,
        recogniser: phoneme_recognition.Method = "auto",
        poses: animation.Poses | None = None,
        still: bool = False,
        cropped: bool = False,
        size: int | None = None,
        seed: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> animation.Report:
        """Write a film of the pictured face speaking.

        Args:
          image: a portrait: a file, or RGB pixels. audio: a sound or video file, or mono samples at 16 kHz.
          output: .mp4, .mov or .mkv; appears only when it is whole.
          phonemes: a .json of the released format or a Praat TextGrid, instead of recognising them; or one of
            the 41 symbols' indices a frame.
          transcript: what is said, in English.
          poses: .npy (t, 6), OpenFace csv or an array (rad, mm), instead of predicted head motion; `still`
            keeps it at rest.
          cropped: the picture is a head's square already and is taken whole, as a clip of `avct preprocess`
            must be to compare with the film of it. With poses, no face is looked for.
          size: of the film, px: these networks have one only. seed: without effect, nothing is drawn by lot.
          progress: called with frames done and frames in all.
        Raises:
          UserError: something cannot be read, used or written; nothing is left behind.
        """
        clock = animation.Clock()
        notes: list[str] = []
        video.check_writable(output)
        if size not in (None, self.config.image_size):
            only = self.config.image_size
            raise errors.UserError(f"this checkpoint draws {only} px, not {size}; leave --size out")
        del seed
        with clock("picture"):
            looked_for = not (cropped and poses is not None)
            portrait, first_pose = self._read_portrait(image, notes, cropped=cropped, with_pose=looked_for)
        with clock("sound"):
            wav = sound.read_audio(audio) if isinstance(audio, (str, os.PathLike)) else audio
            features = self._features(wav, notes)
        with clock("phonemes"):
            labels = _labels(wav, len(features), phonemes, transcript, recogniser)
        with clock("head motion"):
            head = self._poses(features, first_pose, poses, still, notes)
        track = Track(labels, features, head)
        seconds, count = len(wav) / sound.SAMPLE_RATE, len(features)
        del wav
        writer = video.VideoWriter(output, size=self.config.image_size, audio=audio)
        with writer, contextlib.closing(self.draw(portrait, track, clock)) as frames:
            for block in frames:
                with clock("encode"):
                    writer.write(block)
                if progress:
                    progress(writer.frames, count)
        return animation.Report(count, seconds, notes, clock.seconds)

    def frames(
        self,
        image: animation.Picture,
        audio: animation.Sound,
        *,
        still: bool = False,
        transcript: str | None = None,
    ) -> Iterator[UInt8[np.ndarray, "n s s 3"]]:
        """Yield the film's frames in blocks, without writing a file; arguments as for `animate`."""
        notes: list[str] = []
        portrait, first_pose = self._read_portrait(image, notes)
        wav = sound.read_audio(audio) if isinstance(audio, (str, os.PathLike)) else audio
        features = self._features(wav, notes)
        labels = _labels(wav, len(features), None, transcript, "auto")
        track = Track(labels, features, self._poses(features, first_pose, None, still, notes))
        yield from self.draw(portrait, track)

    def draw(
        self, portrait: UInt8[np.ndarray, "s s 3"], track: Track, clock: animation.Clock | None = None
    ) -> Iterator[UInt8[np.ndarray, "n s s 3"]]:
        """Yield the frames that `track` makes of a cropped portrait, in blocks of at most `chunk`.

        While the caller handles one block the next is computed.
        """
        clock = clock or animation.Clock()
        radius, count = self.config.avct.window_radius, len(track.phonemes)
        outside = _slice(track, -1, 0)
        with clock("compile and first frames"):
            image = jnp.asarray(portrait, jnp.float32) / 255
            begun = self._start(self.variables, image, outside, _slice(track, 0, 2 * radius))
            carry, ahead = self._animate_chunk(
                self.variables, begun, begun.carry, _slice(track, radius, self.chunk)
            )
            jax.block_until_ready(ahead)
        for done in range(0, count, self.chunk):
            ready = ahead
            if done + self.chunk < count:
                inputs = _slice(track, done + self.chunk + radius, self.chunk)
                carry, ahead = self._animate_chunk(self.variables, begun, carry, inputs)
            with clock("draw"):
                block = np.asarray(ready)
            yield block[: count - done]

    def _read_portrait(self, image: animation.Picture, notes: list[str], *, cropped=False, with_pose=True):
        pixels = picture.read_image(image) if isinstance(image, (str, os.PathLike)) else image
        name = repr(os.fspath(image)) if isinstance(image, (str, os.PathLike)) else "the picture"
        height, width = pixels.shape[:2]
        if cropped and height != width:
            raise errors.UserError(f"{name} is {width}x{height} px; a cropped picture must be square")
        whole = crop.Square(0, 0, width)
        if not with_pose:
            return crop.crop(pixels, whole, self.config.image_size), None
        faces = self._landmarker.detect(pixels)
        found = self._landmarker.landmarks(pixels, faces[0]) if faces else None
        if found is None:
            raise errors.UserError(f"no face was found in {name}; use a portrait seen from the front")
        if len(faces) > 1:
            notes.append(f"{len(faces)} faces in {name}: animating the largest")
        square = whole if cropped else crop.face_square(found.points, pixels.shape)
        if square.size < self.config.image_size / 2:
            notes.append(
                f"the face is small ({square.size} px with its surroundings): the film will look soft"
            )
        return (
            crop.crop(pixels, square, self.config.image_size),
            pose.from_landmarks(crop.to_crop(found.points, square)),
        )

    def _features(self, wav, notes):
        count = sound.frame_count(len(wav))
        if sound.silent_frames(wav).all():
            notes.append("the sound is silent: the mouth stays shut")
        return sound.frame_features(sound.audio_features(wav, f0=self.config.pitch), frames=count)

    def _poses(self, features, first_pose, path, still, notes):
        count = len(features)
        if path is not None and still:
            raise errors.UserError("poses are given and --still is too; leave one of them out")
        if path is not None:
            is_file = isinstance(path, (str, os.PathLike))
            found = pose.read_poses(path) if is_file else path
            return animation.fit_poses(found, count, repr(os.fspath(path)) if is_file else "the array", notes)
        if still:
            return np.repeat(first_pose[None], count, axis=0)
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
        if self.config.sway:
            return pose.sway(np.concatenate(predicted[1:]), first_pose, gain=self.config.sway_gain)
        # One more than frames is predicted; the last has no frame.
        return np.concatenate(predicted)[: len(features)]


def _slice(track: Track, begin: int, count: int) -> inference.Inputs:
    """Inputs of frames begin .. begin + count - 1; outside the clip silence, and the pose at its edge.

    A count of 0 gives one frame, which lies outside.
    """
    total = len(track.phonemes)
    index = np.arange(begin, begin + max(count, 1))
    inside = (index >= 0) & (index < total)
    kept = np.clip(index, 0, total - 1)
    return inference.Inputs(
        np.where(inside, track.phonemes[kept], phonemes.SIL).astype(np.int32),
        np.where(inside[:, None, None], track.audio[kept], 0).astype(np.float32),
        pose_image.project_box(track.poses[kept]),
    )


def _labels(wav, count, path, transcript, recogniser):
    if path is not None and transcript is not None:
        raise errors.UserError("phonemes and a transcript are given; leave one of them out")
    if path is not None and not isinstance(path, (str, os.PathLike)):
        return phonemes.fit_to_frames(path.astype(np.int32), count)
    if path is not None:
        segments = phonemes.read_segments(path)
        return phonemes.fit_to_frames(phonemes.labels_from_segments(segments), count)
    segments = phoneme_recognition.recognise(wav, method=recogniser, transcript=transcript)
    return phonemes.labels_from_segments(segments, count)
