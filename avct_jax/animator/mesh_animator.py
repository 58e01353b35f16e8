"""From files to a video by the face mesh: LITE, the system that comes with the package."""

import functools
import hashlib
from collections.abc import Generator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage
from scipy.spatial import transform

from avct_jax import compile_cache, speech_format, weights_file
from avct_jax.animator import background, base, inputs, stopwatch
from avct_jax.animator import portrait as portraits
from avct_jax.data.faces import crop, head_motion_bank
from avct_jax.data.portrait import portrait_layers
from avct_jax.data.speech import mesh_features, voice
from avct_jax.inference import kept_program, mesh_inference
from avct_jax.models import mesh_system
from avct_jax.models.mesh import (
    face_mesh,
    mouth_painter,
    mouth_patch,
    phoneme_net,
    portrait_teeth,
    speech_motion,
)

CHUNK = 8  # frames drawn by one call: enough to fill two cores, and little memory
WIDTHS = {"blink": 2, "gaze": 2, "rotation": 3, "shift": 3}  # of face_mesh.Controls, beside speech and brow
SPEECH_CHUNK = 128  # frames whose mouths are predicted by one call
DEFAULT_SIZE = 512  # px, where the portrait is that large
SIZE_STEP = 64  # px; one compiled program for each size
LIVELINESS = (0.7, 1.7)  # least and most factor on a mouth's motion
SURE = 12  # frames of speech by which a mouth's usual opening is half known
POSE_SMOOTHING = 1.0  # frames, standard deviation: tracked heads tremble twice as much as they move
EYES_MM = 90.0  # between the outer eye corners of the mean head of data/faces/head_pose.py


kept_program.named(
    mesh_inference.PreparedPortrait,
    face_mesh.MeshPortrait,
    face_mesh.Field,
    mouth_painter.Own,
    portrait_teeth.Teeth,
    mesh_inference.PaintedMouths,
    face_mesh.Moved,
    mouth_patch.Patch,
    mouth_painter.Painting,
)


class MeshTrack(NamedTuple):
    """What drives a face, one row a frame: speech in standard deviations, the rest as face_mesh.Controls."""

    speech: Float[np.ndarray, "t k"]
    behaviour: head_motion_bank.Behaviour


class MeshAnimator(base.Animator, family="mesh"):
    """Networks ready to animate any number of portraits; compiles once a size, at first use."""

    def __init__(self, system: weights_file.System, *, landmarks: str = "mediapipe", chunk: int = CHUNK):
        """Take a system.

        Args:
          chunk: frames drawn by one call of the jitted function.
        """
        inputs.check_landmarks(landmarks, mesh=True)
        assert isinstance(system.config, mesh_system.MeshSystemConfig)
        self.config = system.config
        self.variables: Any = jax.device_put(dict(system.variables))  # jnp.asarray compiles for each shape
        self.chunk = chunk
        self._landmarker = portraits.landmarker(landmarks)
        program = lambda function, name: kept_program.KeptProgram(
            functools.partial(function, self.config), name, self.config
        )
        self._prepare = kept_program.KeptProgram(mesh_inference.prepare, "prepare")
        self._predict = program(mesh_inference.predict, "predict")
        # Two halves of drawing, so that two cores compile it in half the time.
        self._paint_mouths = program(mesh_inference.paint_mouths, "paint_mouths")
        self._lay_mouths = kept_program.KeptProgram(mesh_inference.lay_bytes, "lay_mouths")
        hears = self.config.phoneme_source == "network"
        self._recognise = self._recogniser() if hears else None
        window, style = self._window_shapes(), np.zeros((), np.float32)
        self._predict.begin(self.variables, window, style)
        basis = self.variables["face_basis"]["params"]
        self._opening = speech_motion.opening(*(np.asarray(basis[x]) for x in ("components", "scales")))

    def _recogniser(self):
        """What hears phonemes; begun to be compiled."""
        config = self.config.phoneme_net
        hear = kept_program.KeptProgram(functools.partial(phoneme_net.hear, config), "hear", config)
        params = self.variables[mesh_system.HEARING]["params"]
        hear.begin(params, jax.ShapeDtypeStruct(phoneme_net.chunk_shape(config), jnp.float32))
        return functools.partial(phoneme_net.recognise, config, functools.partial(hear, params))

    def _window_shapes(self) -> mesh_inference.SpeechWindow:
        c = self.config.speech_motion
        count = SPEECH_CHUNK + 2 * c.window_radius
        shape = lambda *sizes: jax.ShapeDtypeStruct((count, *sizes), jnp.float32)
        rows = (speech_format.ROWS, speech_format.COLUMNS)
        symbols = len(mesh_features.TOKENS)
        return mesh_inference.SpeechWindow(shape(speech_format.STEPS, symbols), shape(*rows), shape(6))

    def _begin_drawing(self, layers: mesh_inference.Layers) -> None:
        """Begin to compile what draws a portrait, while its audio is heard."""
        if compile_cache.in_use() is None:
            return
        sizes = {"speech": self.config.speech_motion.components} | WIDTHS
        shape = lambda *sizes: jax.ShapeDtypeStruct((self.chunk, *sizes), jnp.float32)
        controls = face_mesh.Controls(brow=shape(), **{name: shape(width) for name, width in sizes.items()})
        portrait = self._prepare.shapes(layers)
        self._lay_mouths.begin(portrait, self._paint_mouths.shapes(self.variables, portrait, controls))
        self._paint_mouths.begin(self.variables, portrait, controls)

    def _ready(self, image, audio, request, notes, clock) -> base.PreparedAnimation:
        inputs.check_size(request.size)
        listen = functools.partial(mesh_features.listen, recognise=self._recognise)
        hearing = background.Background(lambda heard: base.hear(audio, listen, heard, request.audio_track))
        with clock("image"):
            portrait, pixels = self._read_portrait(
                image, notes, cropped=request.cropped, size=request.size, face=request.face
            )
        with clock("sound"):  # what is left of it
            speech, heard = hearing.result(notes)
        with clock("phonemes"):
            if request.phonemes is not None or request.transcript is not None:
                labels = base.labels(speech, request, notes)
                speech = mesh_features.told(speech, labels)
        if request.recogniser != "auto" and request.transcript is None and request.phonemes is None:
            notes.append(
                f"the recogniser {request.recogniser} is not asked: this checkpoint hears by itself, "
                "and needs one for a transcript only"
            )
        with clock("motion"):
            seed = _seed_of(pixels) if request.seed is None else request.seed
            turned = head_turn(np.asarray(portrait.portrait.head))
            track = self._track(speech, seed, request.poses, request.scales, notes, turned)
        ready = (portrait, track, len(pixels), len(track.speech), speech.seconds, heard)
        return base.PreparedAnimation(*ready, seed=seed)

    def draw(
        self,
        portrait: mesh_inference.PreparedPortrait,
        track: MeshTrack,
        clock: stopwatch.Stopwatch | None = None,
    ) -> Generator[UInt8[np.ndarray, "n s s 3"], None, None]:
        """Yield the frames that `track` makes of a portrait, in blocks of at most `chunk`.

        While the caller handles one block the next is computed.
        """
        clock = clock or stopwatch.Stopwatch()
        count = len(track.speech)
        with clock("compile and first frames"):
            ahead = self._draw_chunk(portrait, controls_of(track, 0, self.chunk))
            jax.block_until_ready(ahead)
        for done in range(0, count, self.chunk):
            ready = ahead
            if done + self.chunk < count:
                controls = controls_of(track, done + self.chunk, self.chunk)
                ahead = self._draw_chunk(portrait, controls)
            with clock("draw"):
                block = np.asarray(ready)
            yield block[: count - done]

    def _draw_chunk(self, portrait, controls):
        return self._lay_mouths(portrait, self._paint_mouths(self.variables, portrait, controls))

    def prepare_portrait(
        self, pixels: UInt8[np.ndarray, "s s 3"], points: Float[np.ndarray, "478 3"]
    ) -> mesh_inference.PreparedPortrait:
        """Ready a square portrait.

        Args:
          points: its landmarks in [-1, 1], z in the same scale.
        """
        return self._prepare(self._layers(pixels, points))

    def _layers(self, pixels, points) -> mesh_inference.Layers:
        canonical = np.asarray(self.variables["face_basis"]["params"]["canonical"])
        return mesh_inference.Layers(*jax.device_put(tuple(portrait_layers.make(pixels, points, canonical))))

    def _read_portrait(self, image, notes, *, cropped=False, size=None, face=None):
        found = portraits.read_portrait(
            image, self._landmarker, notes, least=inputs.SIZES[0] // 2, cropped=cropped, face=face
        )
        side = size or size_for(found.square.size)
        cut = crop.crop(found.pixels, found.square, side)
        layers = self._layers(cut, to_unit(found.points, found.square, side))
        self._begin_drawing(layers)
        return self._prepare(layers), cut

    def _track(self, speech, seed, poses, scales, notes, turned=None) -> MeshTrack:
        behaviour = head_motion_bank.behave(
            speech.loudness,
            speech.silent,
            seed=seed,
            scale=scales.head_motion if poses is None else 0.0,
            blink_rate=scales.blink,
            turned=turned,
        )
        if poses is not None:
            rotation, shift = since_first(base.read_poses(poses, len(speech.silent), notes))
            behaviour = behaviour._replace(rotation=rotation, shift=shift)
        return MeshTrack(self.predict(speech, behaviour, scales.mouth), behaviour)

    def predict(
        self, speech: voice.Speech, behaviour: head_motion_bank.Behaviour, scale: float = 1.0
    ) -> Float[np.ndarray, "t k"]:
        """Predict how the mouth moves, in calls of one fixed shape.

        Args:
          scale: factor on its motion, 0 to 2.
        """
        count, radius = len(speech.silent), self.config.speech_motion.window_radius
        poses = np.concatenate([behaviour.rotation, behaviour.shift], 1)
        whole = mesh_inference.SpeechWindow(speech.posteriors, speech.audio, poses)
        style = np.asarray(self.config.style, np.float32)
        predicted = []
        for begin in range(0, count, SPEECH_CHUNK):
            heard = mesh_inference.stretch(whole, begin - radius, SPEECH_CHUNK + 2 * radius)
            predicted.append(np.asarray(self._predict(self.variables, heard, style)))
        moved = np.concatenate(predicted)[:count]
        gain = self._liveliness(moved, speech.silent)
        mean = self.config.mean_motion or (0.0,) * self.config.speech_motion.components
        centre = np.asarray(mean, np.float32)
        livelier = speech_motion.amplify(moved, gain * max(scale, 1.0), centre, self._opening)
        return speech_motion.rescale(livelier, moved, gain, scale, self._opening)

    def _liveliness(self, moved, silent) -> float:
        """The factor that brings lips to people's usual opening; less sure of it for a short recording."""
        opening = moved[~silent] @ self._opening
        if not self.config.mouth_amplitude or len(opening) < 2:
            return 1.0
        wanted = np.clip(self.config.mouth_amplitude / max(float(opening.std()), 1e-6), *LIVELINESS)
        return float(wanted ** (len(opening) / (len(opening) + SURE)))


def size_for(side: int) -> int:
    """Return the side of a video (px) for a head whose square has so many px in the image."""
    return int(np.clip(side // SIZE_STEP * SIZE_STEP, inputs.SIZES[0], DEFAULT_SIZE))


def to_unit(points: Float[np.ndarray, "478 3"], square: crop.Square, size: int) -> Float[np.ndarray, "478 3"]:
    """Express landmarks (px of the image) in [-1, 1] of a square of it that is drawn with `size` px."""
    scaled = crop.to_crop(points, square, size)
    scaled[:, 2] = points[:, 2] * size / square.size
    return (scaled - np.array([0.5, 0.5, 0])) / (size - 1) * 2 - np.array([1, 1, 0])


def head_turn(head: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, " 3"]:
    """Return the rotation vector (rad) of a head's matrix, canonical frame to image."""
    return transform.Rotation.from_matrix(head / np.cbrt(np.linalg.det(head))).as_rotvec()


def since_first(poses: Float[np.ndarray, "t 6"]) -> tuple[Float[np.ndarray, "t 3"], Float[np.ndarray, "t 3"]]:
    """Return how a head has turned (rotation vector, rad) and moved (eye distances) since its first pose,
    without the tracker's trembling.

    Args:
      poses: rotation vector (rad) and translation (mm) in the camera's frame.
    """
    turns = transform.Rotation.from_rotvec(poses[:, :3])
    moved = (poses[:, 3:] - poses[:1, 3:]) / EYES_MM
    moved[:, 2] = 0
    since = np.concatenate([(turns * turns[0].inv()).as_rotvec(), moved], 1)
    calm = ndimage.gaussian_filter1d(since, POSE_SMOOTHING, axis=0, mode="nearest")
    calm -= calm[:1]
    return calm[:, :3].astype(np.float32), calm[:, 3:].astype(np.float32)


def _seed_of(pixels):
    return int.from_bytes(hashlib.sha256(pixels.tobytes()).digest()[:4], "little")


def controls_of(track: MeshTrack, begin: int, count: int) -> face_mesh.Controls:
    """Controls of frames begin .. begin + count - 1, the last one repeated beyond the end."""
    index = np.minimum(np.arange(begin, begin + count), len(track.speech) - 1)
    behaviour = track.behaviour
    pick = lambda rows: np.asarray(rows[index], np.float32)
    return face_mesh.Controls(
        pick(track.speech), **{name: pick(r) for name, r in behaviour._asdict().items()}
    )
