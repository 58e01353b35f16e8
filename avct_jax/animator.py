"""From files to a film: the front ends, the jitted networks and the encoder, one after another."""

import contextlib
import functools
import logging
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from avct_jax import checkpoint_file, errors, inference
from avct_jax.data import audio as sound
from avct_jax.data import crop, face, phoneme_recognition, phonemes, pose, video
from avct_jax.data import image as picture
from avct_jax.layers import pose_image
from avct_jax.models import sizes

CHUNK = 16  # frames drawn by one call: enough to fill two cores, and little memory
POSE_CHUNK = 256  # frames of head motion predicted by one call
LENGTH_SLACK = (25, 0.1)  # frames, or share, by which given poses may differ from the sound in length

Path = str | os.PathLike
Picture = Path | UInt8[np.ndarray, "h w 3"]
Sound = Path | Float[np.ndarray, "n"]
Poses = Path | Float[np.ndarray, "t 6"]
Phonemes = Path | Int[np.ndarray, "t"]
log = logging.getLogger(__name__)


class Report(NamedTuple):
    """What came of an animation.

    frames: pictures written. seconds: length of the sound. notes: what was decided on the way, a line each.
    timings: seconds of wall clock by part.
    """

    frames: int
    seconds: float
    notes: list[str]
    timings: dict[str, float]


class Track(NamedTuple):
    """Everything that drives the face, one row a frame: see inference.Inputs; poses in rad and mm."""

    phonemes: Int[np.ndarray, "t"]
    audio: Float[np.ndarray, "t 4 41"]
    poses: Float[np.ndarray, "t 6"]


def load(checkpoint: Path | None = None, *, landmarks: str = "mediapipe") -> "Animator":
    """Make an animator.

    Args:
      checkpoint: a .safetensors file of training or `avct convert`; None takes the one in the package.
      landmarks: "mediapipe" (built in) or "face-alignment" (an extra).
    Raises:
      UserError: no such checkpoint, or it is damaged or incomplete; unknown or missing landmarks.
    """
    needed = checkpoint_file.PARTS
    if checkpoint is not None:
        return Animator(checkpoint_file.load(checkpoint, required=needed), landmarks=landmarks)
    with checkpoint_file.embedded() as path:
        return Animator(checkpoint_file.load(path, required=needed), landmarks=landmarks)


class Animator:
    """Networks ready to animate any number of portraits; compiles once, at first use."""

    def __init__(self, system: checkpoint_file.System, *, landmarks: str = "mediapipe", chunk: int = CHUNK):
        """Take a system.

        Args:
          chunk: frames drawn by one call of the jitted function.
        """
        self.config: sizes.SystemConfig = system.config
        self.variables: Any = jax.device_put(jax.tree.map(jnp.asarray, dict(system.variables)))
        self.chunk = max(chunk, 2 * self.config.avct.window_radius)
        self._landmarker = _landmarker(landmarks)
        bind = functools.partial
        self._start = jax.jit(bind(inference.start, self.config))
        self._animate_chunk = jax.jit(bind(inference.animate_chunk, self.config))
        self._begin_head_motion = jax.jit(bind(inference.begin_head_motion, self.config))
        self._predict_poses = jax.jit(bind(inference.predict_poses, self.config))

    def animate(
        self,
        image: Picture,
        audio: Sound,
        output: Path,
        *,
        phonemes: Phonemes | None = None,
        transcript: str | None = None,
        recogniser: phoneme_recognition.Method = "auto",
        poses: Poses | None = None,
        still: bool = False,
        cropped: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Report:
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
          progress: called with frames done and frames in all.
        Raises:
          UserError: something cannot be read, used or written; nothing is left behind.
        """
        clock = Clock()
        notes: list[str] = []
        video.check_writable(output)
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
        return Report(count, seconds, notes, clock.seconds)

    def frames(
        self, image: Picture, audio: Sound, *, still: bool = False, transcript: str | None = None
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
        self, portrait: UInt8[np.ndarray, "s s 3"], track: Track, clock: "Clock | None" = None
    ) -> Iterator[UInt8[np.ndarray, "n s s 3"]]:
        """Yield the frames that `track` makes of a cropped portrait, in blocks of at most `chunk`.

        While the caller handles one block the next is computed.
        """
        clock = clock or Clock()
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

    def _read_portrait(self, image: Picture, notes: list[str], *, cropped=False, with_pose=True):
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
            return _fit_poses(found, count, repr(os.fspath(path)) if is_file else "the array", notes)
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


class Clock:
    """Adds up wall-clock seconds by name: `with clock("encode"): ...`."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin


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


def _landmarker(name: str):
    if name == "mediapipe":
        return face.FaceLandmarker()
    if name != "face-alignment":
        raise errors.UserError(f"landmarks {name!r} are not known; choose mediapipe or face-alignment")
    from avct_jax.data import face_alignment_backend

    return face_alignment_backend.FaceAlignmentLandmarker()


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


def _fit_poses(poses, count, name, notes):
    """Cut poses to the sound, or hold the last one."""
    difference = abs(len(poses) - count)
    if difference > max(LENGTH_SLACK[0], LENGTH_SLACK[1] * count):
        raise errors.UserError(
            f"{name} holds {len(poses)} poses, the sound {count} frames; give 25 poses a second"
        )
    if difference:
        notes.append(
            f"{len(poses)} poses, {count} frames: the last pose is {'held' if len(poses) < count else 'cut'}"
        )
    return poses[np.minimum(np.arange(count), len(poses) - 1)].astype(np.float32)
