"""From files to a video by the face mesh: LITE, the system that comes with the package."""

import functools
from collections.abc import Generator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from avct_jax import compile_cache, speech_format, weights_file
from avct_jax.animator import background, base, head_start, inputs, stopwatch
from avct_jax.animator import portrait as portraits
from avct_jax.animator.framing import preparation, scene
from avct_jax.animator.redubbing import redub
from avct_jax.data.direction import driving_video, expressions, gaze, timeline
from avct_jax.data.faces import face_basis, head_motion_bank, head_pose
from avct_jax.data.portrait import eyeballs, portrait_layers
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
LIVELINESS = (0.7, 1.7)  # least and most factor on a mouth's motion
SURE = 12  # frames of speech by which a mouth's usual opening is half known

NOTHING = timeline.FaceDirection()  # is told


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
    """What drives a face, one row a frame: speech in standard deviations, the rest as face_mesh.Controls.

    Attributes:
      shown: an expression; None: none is ever told.
    """

    speech: Float[np.ndarray, "t k"]
    behaviour: head_motion_bank.Behaviour
    shown: expressions.ShownExpression | None = None


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
        self.landmarker = portraits.landmarker(landmarks)
        self.head_start: head_start.HeadStart | None = None
        program = lambda function, name: kept_program.KeptProgram(
            functools.partial(function, self.config), name, self.config
        )
        self._prepare = kept_program.KeptProgram(mesh_inference.prepare, "prepare")
        self._predict = program(mesh_inference.predict, "predict")
        # Two halves of drawing, so that two cores compile it in half the time.
        self._paint_mouths = program(mesh_inference.paint_mouths, "paint_mouths")
        self._lay_mouths = kept_program.KeptProgram(mesh_inference.lay_bytes, "lay_mouths")
        self._draw_fields = program(mesh_inference.draw_fields, "draw_fields")
        self._draw_filmed = program(mesh_inference.draw_filmed, "draw_filmed")
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

    def _begin_drawing(self, side: int) -> None:
        """Begin to compile what draws a portrait, while it is taken apart and its audio is heard."""
        if compile_cache.in_use() is None:
            return
        shapes: Any = portrait_layers.shapes(side)
        layers = mesh_inference.Layers(*shapes)
        sizes = {"speech": self.config.speech_motion.components} | WIDTHS
        shape: Any = lambda *sizes: jax.ShapeDtypeStruct((self.chunk, *sizes), jnp.float32)
        controls = face_mesh.Controls(brow=shape(), **{name: shape(width) for name, width in sizes.items()})
        portrait = self._prepare.shapes(layers)
        self._prepare.begin(layers)
        self._lay_mouths.begin(portrait, self._paint_mouths.shapes(self.variables, portrait, controls))
        self._paint_mouths.begin(self.variables, portrait, controls)

    def _ready(self, image, audio, request, notes, clock) -> base.PreparedAnimation:
        inputs.check_size(request.size)
        if request.redub:
            return redub.prepare(self, image, audio, request, notes, clock)
        if request.framing == "full":
            return preparation.prepare(self, image, audio, request, notes, clock)
        told, hearing = request.told, self.begin_hearing(audio, request)
        with clock("image"):
            portrait, pixels = self._read_portrait(
                image,
                notes,
                cropped=request.cropped,
                size=request.size,
                face=request.face,
                whole_eyes=told.shows,
            )
        speech, heard = self.hear(audio, request, notes, clock, hearing)
        with clock("motion"):
            seed = portraits.seed_of(pixels) if request.seed is None else request.seed
            track = self.move(speech, portrait, request, notes, seed)
        ready = (portrait, track, len(pixels), len(track.speech), speech.seconds, heard)
        return base.PreparedAnimation(*ready, seed=seed)

    def begin_hearing(self, audio: base.Audio, request: base.Request) -> background.Background:
        """Begin to listen to a sound, in a thread of its own; or go on with what was begun."""
        start = self.head_start
        if start and start.hearing and not self._recognise and start.is_of_sound(audio, request):
            return start.hearing
        listen = functools.partial(mesh_features.listen, recognise=self._recognise)
        return background.Background(lambda heard: base.hear(audio, listen, heard, request.audio_track))

    def hear(
        self,
        audio: base.Audio,
        request: base.Request,
        notes: list[str],
        clock: stopwatch.Stopwatch,
        begun: background.Background | None = None,
    ) -> tuple[voice.Speech, Any]:
        """Listen to a sound, and take what is known of its phonemes; as `base.hear`.

        Args:
          begun: `begin_hearing` of the same.
        """
        with clock("sound"):  # what is left of it
            speech, heard = (begun or self.begin_hearing(audio, request)).result(notes)
        with clock("phonemes"):
            if request.phonemes is not None or request.transcript is not None:
                labels = base.labels(speech, request, notes)
                speech = mesh_features.told(speech, labels)
        if request.recogniser != "auto" and request.transcript is None and request.phonemes is None:
            notes.append(
                f"the recogniser {request.recogniser} is not asked: this checkpoint hears by itself, "
                "and needs one for a transcript only"
            )
        return speech, heard

    def move(
        self,
        speech: voice.Speech,
        portrait: mesh_inference.PreparedPortrait,
        request: base.Request,
        notes: list[str],
        seed: int,
    ) -> MeshTrack:
        """Find out how a face moves."""
        told = request.told
        turned = head_pose.head_turn(np.asarray(portrait.portrait.head))
        eyes = own_eyes(portrait) if told.shows else None
        return self._track(speech, seed, request.poses, request.scales, notes, turned, told, eyes)

    def draw(
        self,
        portrait: mesh_inference.PreparedPortrait | scene.Scene | redub.Redub,
        track: MeshTrack | list[MeshTrack] | Float[np.ndarray, "t k"],
        clock: stopwatch.Stopwatch | None = None,
    ) -> Generator[UInt8[np.ndarray, "n h w 3"], None, None]:
        """Yield the frames that `track` makes of a portrait, in blocks of at most `chunk`.

        While the caller handles one block the next is computed.

        Args:
          portrait: of a head; or a picture with heads, and a track for each; or a film, and its mouths.
        """
        clock = clock or stopwatch.Stopwatch()
        if isinstance(portrait, scene.Scene):
            assert isinstance(track, list)
            yield from scene.draw(self, portrait, track, clock)
            return
        if isinstance(portrait, redub.Redub):
            yield from redub.draw(self, portrait, track, clock)
            return
        assert isinstance(track, MeshTrack)
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

    def draw_frame(
        self, layers: mesh_inference.Layers, own: Any, teeth: Any, speech: Float[np.ndarray, " k"]
    ) -> tuple[Any, Any]:
        """Begin to draw a frame of a film, as draw_filmed."""
        return self._draw_filmed(self.variables, layers, own, teeth, jnp.asarray(speech[None], jnp.float32))

    def _draw_chunk(self, portrait, controls):
        return self._lay_mouths(portrait, self._paint_mouths(self.variables, portrait, controls))

    def prepare_portrait(
        self,
        pixels: UInt8[np.ndarray, "s s 3"],
        points: Float[np.ndarray, "478 3"],
        *,
        whole_eyes: bool = False,
    ) -> mesh_inference.PreparedPortrait:
        """Ready a square portrait.

        Args:
          points: its landmarks in [-1, 1], z in the same scale.
          whole_eyes: eyes may look anywhere and open wide.
        """
        return self.ready_layers(self.take_apart(pixels, points), self._eyes(pixels, points, whole_eyes))

    def _eyes(self, pixels, points, whole) -> eyeballs.WholeEyes | None:
        return eyeballs.complete(pixels, points) if whole else None

    def take_apart(
        self, pixels: UInt8[np.ndarray, "s s 3"], points: Float[np.ndarray, "478 3"]
    ) -> portrait_layers.PortraitLayers:
        """The first half of `prepare_portrait`."""
        return portrait_layers.make(pixels, points, self._canonical())

    def _canonical(self) -> Float[np.ndarray, "478 3"]:
        return np.asarray(self.variables["face_basis"]["params"]["canonical"])

    def ready_layers(
        self, layers: portrait_layers.PortraitLayers, eyes: eyeballs.WholeEyes | None = None
    ) -> mesh_inference.PreparedPortrait:
        """The second half of it.

        Args:
          eyes: `eyeballs.complete`, where they may look anywhere and open wide.
        """
        return self._prepare(self._put(layers, eyes))

    def _put(self, layers, eyes) -> mesh_inference.Layers:
        """Layers on the device."""
        found = mesh_inference.Layers(*layers)
        if eyes is not None:
            image = portrait_layers.denser(eyes.image.astype(np.float32) / 255)
            found = found._replace(image=image, irises=eyes.irises)
        return jax.device_put(found)

    def draw_chunk(
        self, portrait: mesh_inference.PreparedPortrait, track: MeshTrack, begin: int
    ) -> tuple[Any, Any]:
        """Begin to draw frames from `begin` on, and where each grid's nodes lie at rest, as draw_fields."""
        return self._draw_fields(self.variables, portrait, controls_of(track, begin, self.chunk))

    def _read_portrait(self, image, notes, *, cropped=False, size=None, face=None, whole_eyes=False):
        told = {"size": size, "cropped": cropped, "face": face}
        start = self.head_start if self.head_start and self.head_start.is_of_image(image, **told) else None
        cut, points = (
            start.square.result(notes)
            if start and start.square
            else portraits.read_square(image, self.landmarker, notes, **told)
        )
        if not whole_eyes:
            self._begin_drawing(len(cut))
        mean, apart = start.layers.result(notes) if start and start.layers else (None, None)
        if mean is None or not np.array_equal(mean, self._canonical()):
            apart = self.take_apart(cut, points)
        layers = self._put(apart, self._eyes(cut, points, whole_eyes))
        return self._prepare(layers), cut

    def _track(self, speech, seed, poses, scales, notes, turned=None, told=NOTHING, eyes=None) -> MeshTrack:
        laid = timeline.make(told, scales._asdict(), len(speech.silent))
        behaviour = head_motion_bank.behave(
            speech.loudness,
            speech.silent,
            seed=seed,
            scale=laid.head_motion if poses is None else 0.0,
            blink_rate=scales.blink,
            turned=turned,
        )
        if poses is not None:
            rotation, shift = head_pose.since_first(base.read_poses(poses, len(speech.silent), notes))
            if driving_video.is_video(poses):
                rotation = driving_video.bounded(rotation)
            behaviour = behaviour._replace(rotation=rotation, shift=shift)
        facing = np.zeros(3) if turned is None else turned
        behaviour = timeline.apply(laid, behaviour, eyes, facing, speech.silent, seed)
        return MeshTrack(self.predict(speech, behaviour, laid.mouth), behaviour, laid.shown)

    @property
    def recogniser(self) -> mesh_features.Recogniser | None:
        """What hears phonemes, for `mesh_features.listen`; None: hama."""
        return self._recognise

    def predict(
        self,
        speech: voice.Speech,
        behaviour: head_motion_bank.Behaviour,
        scale: float | Float[np.ndarray, " t"] = 1.0,
    ) -> Float[np.ndarray, "t k"]:
        """Predict how the mouth moves, in calls of one fixed shape.

        Args:
          scale: factor on its motion, 0 to 2; one, or one a frame.
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
        gain, found = self._liveliness(moved, speech.silent), np.empty_like(moved)
        steps = np.round(np.broadcast_to(scale, count), 2)
        for step in np.unique(steps):
            found[steps == step] = self._rescaled(moved[steps == step], gain, float(step))
        return speech_motion.rest_in_pauses(found, speech.silent)

    def _rescaled(self, moved, gain, scale):
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


def own_eyes(portrait: mesh_inference.PreparedPortrait) -> gaze.OwnEyes:
    """Return where a portrait's eyes look."""
    head, origin = (np.asarray(x, np.float64) for x in (portrait.portrait.head, portrait.portrait.origin))
    points = np.asarray(portrait.portrait.vertices, np.float64)[: face_mesh.topology.POINTS]
    canonical = face_basis.embedded().canonical
    return gaze.own((points - origin) @ np.linalg.inv(head).T, canonical, head_pose.head_turn(head))


def controls_of(track: MeshTrack, begin: int, count: int) -> face_mesh.Controls:
    """Controls of frames begin .. begin + count - 1, the last one repeated beyond the end."""
    index = np.minimum(np.arange(begin, begin + count), len(track.speech) - 1)
    behaviour = track.behaviour
    pick: Any = lambda rows: np.asarray(rows[index], np.float32)
    shown = None
    if track.shown is not None:
        part = expressions.ShownExpression(*(rows[index] for rows in track.shown))
        asked: Any = part.offset(), part.raised
        shown = face_mesh.FaceExpression(*asked)
    return face_mesh.Controls(
        pick(track.speech), **{name: pick(r) for name, r in behaviour._asdict().items()}, expression=shown
    )
