"""From files to a video by the face mesh: LITE, the system that comes with the package."""

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial import transform

from avct_jax import animation, checkpoint_file, errors, mesh_inference
from avct_jax.data import audio as sound
from avct_jax.data import (
    crop,
    head_motion_bank,
    phoneme_recognition,
    phonemes,
    portrait_layers,
    pose,
    speech_features,
    video,
)
from avct_jax.data import image as picture
from avct_jax.models import face_mesh, mesh_system, phoneme_net

CHUNK = 8  # frames drawn by one call: enough to fill two cores, and little memory
SPEECH_CHUNK = 128  # frames whose mouths are predicted by one call
SIZES = (256, 1024)  # px, least and most
DEFAULT_SIZE = 512  # px, where the portrait is that large
SIZE_STEP = 64  # px; one compiled program for each size
LEAST_LOUDNESS = 1e-4  # of full scale
EYES_MM = 90.0  # between the outer eye corners of the mean head of data/pose.py


class Track(NamedTuple):
    """What drives a face, one row a frame: speech in standard deviations, the rest as face_mesh.Controls."""

    speech: Float[np.ndarray, "t k"]
    behaviour: head_motion_bank.Behaviour


class MeshAnimator:
    """Networks ready to animate any number of portraits; compiles once a size, at first use."""

    def __init__(self, system: checkpoint_file.System, *, landmarks: str = "mediapipe", chunk: int = CHUNK):
        """Take a system.

        Args:
          chunk: frames drawn by one call of the jitted function.
        """
        if landmarks != "mediapipe":
            raise errors.UserError(
                f"--landmarks {landmarks} has 68 points, this checkpoint needs the mesh; leave the option out"
            )
        self.config: mesh_system.MeshSystemConfig = system.config
        self.variables: Any = jax.device_put(jax.tree.map(jnp.asarray, dict(system.variables)))
        self.chunk = chunk
        self._landmarker = animation.landmarker(landmarks)
        self._prepare = jax.jit(mesh_inference.prepare)
        self._predict = jax.jit(functools.partial(mesh_inference.predict, self.config))
        self._draw = jax.jit(functools.partial(mesh_inference.draw_bytes, self.config))
        hears = self.config.hearing == "network"
        recogniser = lambda: phoneme_net.recogniser(
            self.config.phoneme_net, self.variables[mesh_system.HEARING]
        )
        self._recognise = recogniser() if hears else None

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
        """Write a video of the pictured face speaking.

        Args:
          image: a portrait: a file, or RGB pixels. audio: a sound or video file, or mono samples at 16 kHz.
          output: .mp4, .mov or .mkv; appears only when it is whole.
          phonemes: a .json of the released format or a Praat TextGrid, or one of the 41 symbols' indices a
            frame, beside what is heard. transcript: what is said, in English; `recogniser` aligns it.
          poses: .npy (t, 6), OpenFace csv or an array (rad, mm), instead of drawn head motion; the first is
            the portrait's own. still: the head keeps its pose; eyes still blink.
          cropped: the picture is a head's square already and is taken whole.
          size: side of the video, px, 256 to 1024; by default the head's size in the picture, 512 at most.
          seed: decides blinks, gaze and head motion; by default the picture does, so two faces differ.
          progress: called with frames done and frames in all.
        Raises:
          UserError: something cannot be read, used or written; nothing is left behind.
        """
        clock = animation.Clock()
        notes: list[str] = []
        video.check_writable(output)
        check_size(size)
        with clock("picture"):
            portrait, pixels = self._read_portrait(image, notes, cropped=cropped, size=size)
        with clock("sound"):
            wav = sound.read_audio(audio) if isinstance(audio, (str, os.PathLike)) else audio
            speech = self._hear(wav, notes)
        with clock("phonemes"):
            speech = _told(speech, wav, phonemes, transcript, recogniser)
        with clock("motion"):
            seed = _seed_of(pixels) if seed is None else seed
            track = self._track(speech, loudness(wav), seed, poses, still, notes)
        seconds, count = len(wav) / sound.SAMPLE_RATE, len(track.speech)
        writer = video.VideoWriter(output, size=len(pixels), audio=audio)
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
        size: int | None = None,
        seed: int | None = None,
    ) -> Iterator[UInt8[np.ndarray, "n s s 3"]]:
        """Yield the video's frames in blocks, without writing a file; arguments as for `animate`."""
        notes: list[str] = []
        check_size(size)
        portrait, pixels = self._read_portrait(image, notes, size=size)
        wav = sound.read_audio(audio) if isinstance(audio, (str, os.PathLike)) else audio
        speech = _told(self._hear(wav, notes), wav, None, transcript, "auto")
        seed = _seed_of(pixels) if seed is None else seed
        yield from self.draw(portrait, self._track(speech, loudness(wav), seed, None, still, notes))

    def draw(
        self, portrait: mesh_inference.Prepared, track: Track, clock: animation.Clock | None = None
    ) -> Iterator[UInt8[np.ndarray, "n s s 3"]]:
        """Yield the frames that `track` makes of a portrait, in blocks of at most `chunk`.

        While the caller handles one block the next is computed.
        """
        clock = clock or animation.Clock()
        count = len(track.speech)
        with clock("compile and first frames"):
            ahead = self._draw(self.variables, portrait, _controls(track, 0, self.chunk))
            jax.block_until_ready(ahead)
        for done in range(0, count, self.chunk):
            ready = ahead
            if done + self.chunk < count:
                controls = _controls(track, done + self.chunk, self.chunk)
                ahead = self._draw(self.variables, portrait, controls)
            with clock("draw"):
                block = np.asarray(ready)
            yield block[: count - done]

    def prepare(
        self, pixels: UInt8[np.ndarray, "s s 3"], points: Float[np.ndarray, "478 3"]
    ) -> mesh_inference.Prepared:
        """Ready a square portrait.

        Args:
          points: its landmarks in [-1, 1], z in the same scale.
        """
        canonical = np.asarray(self.variables["face_basis"]["params"]["canonical"])
        layers = portrait_layers.make(pixels, points, canonical)
        return self._prepare(mesh_inference.Layers(*map(jnp.asarray, layers)))

    def _read_portrait(self, image, notes, *, cropped=False, size=None):
        pixels = picture.read_image(image) if isinstance(image, (str, os.PathLike)) else image
        name = repr(os.fspath(image)) if isinstance(image, (str, os.PathLike)) else "the picture"
        height, width = pixels.shape[:2]
        if cropped and height != width:
            raise errors.UserError(f"{name} is {width}x{height} px; a cropped picture must be square")
        faces = self._landmarker.detect(pixels)
        found = self._landmarker.landmarks(pixels, faces[0]) if faces else None
        if found is None:
            raise errors.UserError(f"no face was found in {name}; use a portrait seen from the front")
        if len(faces) > 1:
            notes.append(f"{len(faces)} faces in {name}: animating the largest")
        square = crop.Square(0, 0, width) if cropped else crop.face_square(found.points, pixels.shape)
        if square.size < SIZES[0] / 2:
            notes.append(
                f"the face is small ({square.size} px with its surroundings): the video will look soft"
            )
        side = size or size_for(square.size)
        cut = crop.crop(pixels, square, side)
        return self.prepare(cut, to_unit(found.points, square, side)), cut

    def _hear(self, wav, notes) -> speech_features.Speech:
        if sound.silent_frames(wav).all():
            notes.append("the sound is silent: the mouth stays shut")
        return speech_features.listen(wav, self._recognise)

    def _track(self, speech, loud, seed, path, still, notes) -> Track:
        count = len(speech.silent)
        if path is not None and still:
            raise errors.UserError("poses are given and --still is too; leave one of them out")
        behaviour = head_motion_bank.behave(
            loud, speech.silent, seed=seed, scale=0.0 if still or path is not None else 1.0
        )
        if path is not None:
            is_file = isinstance(path, (str, os.PathLike))
            found = pose.read_poses(path) if is_file else path
            fitted = animation.fit_poses(
                found, count, repr(os.fspath(path)) if is_file else "the array", notes
            )
            rotation, shift = since_first(fitted)
            behaviour = behaviour._replace(rotation=rotation, shift=shift)
        return Track(self.predict(speech, behaviour), behaviour)

    def predict(
        self, speech: speech_features.Speech, behaviour: head_motion_bank.Behaviour
    ) -> Float[np.ndarray, "t k"]:
        """Predict how the mouth moves, in calls of one fixed shape."""
        count, radius = len(speech.silent), self.config.speech_motion.window_radius
        poses = np.concatenate([behaviour.rotation, behaviour.shift], 1)
        style = jnp.asarray(self.config.style, jnp.float32)
        predicted = []
        for begin in range(0, count, SPEECH_CHUNK):
            heard = outside_silence(speech, poses, begin - radius, SPEECH_CHUNK + 2 * radius)
            predicted.append(np.asarray(self._predict(self.variables, heard, style)))
        return np.concatenate(predicted)[:count]


def outside_silence(
    speech: speech_features.Speech, poses: Float[np.ndarray, "t 6"], begin: int, count: int
) -> mesh_inference.Heard:
    """Return frames begin .. begin + count - 1; outside of the sound there is silence, and the head keeps
    still.
    """
    index = np.arange(begin, begin + count)
    inside = (index >= 0) & (index < len(poses))
    kept = np.clip(index, 0, len(poses) - 1)
    quiet = speech_features.silence(1)
    pick = lambda known, outside: np.where(inside[:, None, None], known[kept], outside).astype(np.float32)
    heard = (pick(speech.posteriors, quiet.posteriors), pick(speech.audio, quiet.audio))
    return mesh_inference.Heard(*heard, poses[kept].astype(np.float32))


def check_size(size: int | None) -> None:
    """Refuse a size that cannot be drawn.

    Raises:
      UserError: it is out of range or odd.
    """
    if size is not None and not (SIZES[0] <= size <= SIZES[1] and size % 2 == 0):
        raise errors.UserError(f"size {size} px must be even and from {SIZES[0]} to {SIZES[1]}; 512 is usual")


def size_for(side: int) -> int:
    """Return the side of a video (px) for a head whose square has so many px in the picture."""
    return int(np.clip(side // SIZE_STEP * SIZE_STEP, SIZES[0], DEFAULT_SIZE))


def to_unit(points: Float[np.ndarray, "478 3"], square: crop.Square, size: int) -> Float[np.ndarray, "478 3"]:
    """Express landmarks (px of the picture) in [-1, 1] of a square of it that is drawn with `size` px."""
    scaled = crop.to_crop(points, square, size)
    scaled[:, 2] = points[:, 2] * size / square.size
    return (scaled - np.array([0.5, 0.5, 0])) / (size - 1) * 2 - np.array([1, 1, 0])


def loudness(wav: Float[np.ndarray, " m"]) -> Float[np.ndarray, " t"]:
    """Return the logarithm of each frame's amplitude."""
    frames = sound.frame_count(len(wav))
    padded = np.pad(wav, (0, frames * sound.FRAME_SAMPLES - len(wav))).reshape(frames, -1)
    return np.log(np.sqrt((padded.astype(np.float64) ** 2).mean(1)) + LEAST_LOUDNESS)


def since_first(poses: Float[np.ndarray, "t 6"]) -> tuple[Float[np.ndarray, "t 3"], Float[np.ndarray, "t 3"]]:
    """Return how a head has turned (rotation vector, rad) and moved (eye distances) since its first pose.

    Args:
      poses: rotation vector (rad) and translation (mm) in the camera's frame.
    """
    turns = transform.Rotation.from_rotvec(poses[:, :3])
    moved = (poses[:, 3:] - poses[:1, 3:]) / EYES_MM
    moved[:, 2] = 0
    return (turns * turns[0].inv()).as_rotvec().astype(np.float32), moved.astype(np.float32)


def _seed_of(pixels):
    return int.from_bytes(hashlib.sha256(pixels.tobytes()).digest()[:4], "little")


def _told(speech, wav, path, transcript, recogniser) -> speech_features.Speech:
    """Take what is told of the phonemes beside what is heard."""
    if path is not None and transcript is not None:
        raise errors.UserError("phonemes and a transcript are given; leave one of them out")
    count = len(speech.silent)
    if path is None and transcript is None:
        return speech
    if path is not None and not isinstance(path, (str, os.PathLike)):
        labels = phonemes.fit_to_frames(path.astype(np.int32), count)
    elif path is not None:
        segments = phonemes.read_segments(path)
        labels = phonemes.fit_to_frames(phonemes.labels_from_segments(segments), count)
    else:
        segments = phoneme_recognition.recognise(wav, method=recogniser, transcript=transcript)
        labels = phonemes.labels_from_segments(segments, count)
    return speech_features.told(speech, labels)


def _controls(track: Track, begin: int, count: int) -> face_mesh.Controls:
    """Controls of frames begin .. begin + count - 1, the last one repeated beyond the end."""
    index = np.minimum(np.arange(begin, begin + count), len(track.speech) - 1)
    behaviour = track.behaviour
    rows = (track.speech, behaviour.blink, behaviour.gaze, behaviour.rotation, behaviour.shift)
    return face_mesh.Controls(*(jnp.asarray(row[index], jnp.float32) for row in rows))
