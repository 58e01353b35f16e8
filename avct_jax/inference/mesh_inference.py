"""From audio to frames by the mesh: pure functions of fixed shape, to be jitted once.

`prepare` is run once a portrait, `predict` for stretches of audio, `draw` for chunks of frames; `animate` is
the last two for whole examples, many at once, of what `make_inputs` makes. All of them take jax.grad,
jax.vmap and jax.export. There are gradients with respect to everything that is a float: weights, audio, head
pose, blinks, gaze, and a portrait's colours and vertices; which triangle covers a pixel has none.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped, UInt8

from avct_jax import speech_format
from avct_jax.layers import applied
from avct_jax.layers.geometry import mesh_warp
from avct_jax.models import mesh_system
from avct_jax.models.mesh import face_mesh, mouth_painter, mouth_patch, portrait_teeth, speech_motion

Variables = Mapping[str, Any]


class Layers(NamedTuple):
    """A portrait taken apart: data/portrait/portrait_layers.py, as arrays of JAX.

    The fields are those of `face_mesh.MeshPortrait`; `upper` and `lower` are the triangles of its fields.
    """

    skin: Float[Array, "h w 3"]
    image: Float[Array, "h w 3"]
    vertices: Float[Array, "n 3"]
    closed: Float[Array, "478 3"]
    upper: Int[Array, "g g 3"]
    lower: Int[Array, "g g 3"]
    head: Float[Array, "3 3"]
    origin: Float[Array, " 3"]
    anchor: Float[Array, " 3"]
    cavity: Float[Array, " 3"]
    seam: Float[Array, ""]
    cover: Float[Array, "h w"]
    background: Float[Array, "h w 3"]
    shares: Float[Array, "r 3"]
    sway: Float[Array, " r"]
    irises: Float[Array, "2 3"] | None = None


class PreparedPortrait(NamedTuple):
    """A portrait ready to be drawn.

    Attributes:
      portrait: its mesh and pixels.
      own: what the mouth painter sees of it.
      teeth: that it shows.
    """

    portrait: face_mesh.MeshPortrait
    own: mouth_painter.Own
    teeth: portrait_teeth.Teeth


class SpeechWindow(NamedTuple):
    """What drives the mouth, n frames and their neighbours: m = n + 2 radius.

    Attributes:
      posteriors: natural logarithms over phoneme symbols, two a frame.
      audio: normalised features, 4 rows of 41 a frame.
      poses: rotation vector (rad) and shift (eye distances) of the head.
    """

    posteriors: Float[Any, "m 2 s"]
    audio: Float[Any, "m 4 columns"]
    poses: Float[Any, "m 6"]


class MeshInputs(NamedTuple):
    """What drives n frames; `animate` takes them with an axis of examples in front.

    Attributes:
      heard: the n frames and their neighbours.
      controls: of the n frames; `speech` is added to what is predicted.
    """

    heard: SpeechWindow
    controls: face_mesh.Controls


def make_inputs(
    config: mesh_system.MeshSystemConfig,
    posteriors: Float[Any, "n 2 s"],
    audio: Float[Any, "n 4 columns"],
    **controls: Shaped[Any, "n ..."],
) -> MeshInputs:
    """Make the inputs of a whole recording: outside of it there is silence, and the head keeps still.

    Args:
      config: sizes of the networks.
      posteriors: natural logarithms over phoneme symbols; `mesh_features.listen` finds both.
      audio: normalised features.
      **controls: fields of face_mesh.Controls; what is not given rests.
    """
    n = len(audio)
    widths = {"speech": config.speech_motion.components, "blink": 2, "gaze": 2, "rotation": 3, "shift": 3}
    rest = {name: jnp.zeros((n, width)) for name, width in widths.items()} | {"brow": jnp.zeros(n)}
    floats = lambda x: jnp.asarray(x, jnp.float32)
    told: Any = {
        name: face_mesh.FaceExpression(*map(floats, x)) if name == "expression" else floats(x)
        for name, x in controls.items()
    }
    asked = face_mesh.Controls(**rest | told)
    poses = jnp.concatenate([asked.rotation, asked.shift], 1)
    radius = config.speech_motion.window_radius
    return MeshInputs(stretch(SpeechWindow(posteriors, audio, poses), -radius, n + 2 * radius), asked)


def stretch(heard: SpeechWindow, begin: int, count: int) -> SpeechWindow:
    """Return frames begin .. begin + count - 1; outside of the audio is silence, the head still.

    Of numpy's arrays come such.
    """
    xp: Any = np if all(isinstance(x, np.ndarray) for x in heard) else jnp
    index = np.arange(begin, begin + count)
    inside = ((index >= 0) & (index < len(heard.audio)))[:, None, None]
    kept = np.clip(index, 0, len(heard.audio) - 1)
    blank = np.arange(heard.posteriors.shape[2]) == speech_format.BLANK
    quiet = np.where(blank, 0, speech_format.LEAST_LOG).astype(np.float32)
    return SpeechWindow(
        xp.where(inside, xp.asarray(heard.posteriors[kept], xp.float32), quiet[None, None]),
        xp.where(inside, xp.asarray(heard.audio[kept], xp.float32), xp.float32(0)),
        xp.asarray(heard.poses[kept], xp.float32),
    )


def animate(
    config: mesh_system.MeshSystemConfig, variables: Variables, portraits: Any, inputs: Any
) -> Float[Array, "b n h w 3"]:
    """Draw b examples of n frames, RGB in [0, 1], all at once; `draw` does long recordings in less memory.

    Lips move as they are predicted: the gain that `Animator` takes from the whole audio (`mouth_amplitude`)
    is not applied.

    Args:
      config: sizes of the networks.
      variables: weights of the networks, by part.
      portraits: Prepared, of one person, or of b with that axis in front of every array.
      inputs: Inputs of b examples, with that axis in front of every array.
    """

    def one(prepared: PreparedPortrait, inputs: MeshInputs) -> Array:
        style = jnp.asarray(config.style, jnp.float32)
        speech = inputs.controls.speech + predict(config, variables, inputs.heard, style)
        return draw(config, variables, prepared, inputs.controls._replace(speech=speech))

    shared = portraits.portrait.image.ndim == 3
    return jax.vmap(one, in_axes=(None if shared else 0, 0))(portraits, inputs)


def prepare(layers: Layers) -> PreparedPortrait:
    """Ready a portrait; differentiable in its image and vertices."""
    field = lambda triangles: face_mesh.Field(
        triangles, mesh_warp.barycentric(layers.vertices[:, :2], triangles)
    )
    portrait = face_mesh.MeshPortrait(
        layers.skin, layers.image, layers.vertices, layers.closed,
        field(layers.upper), field(layers.lower),
        layers.head, layers.origin, layers.anchor, layers.cavity, layers.seam,
        layers.cover, layers.background, layers.shares, layers.sway, layers.irises,
    )  # fmt: skip
    return PreparedPortrait(portrait, mouth_painter.own_patch(portrait), portrait_teeth.find(portrait))


def predict(
    config: mesh_system.MeshSystemConfig, variables: Variables, heard: SpeechWindow, style: Float[Array, ""]
) -> Float[Array, "n k"]:
    """Predict the coefficients of speech of the n = m - 2 radius frames that have all their neighbours.

    Args:
      config: sizes of the networks.
      variables: weights of the networks, by part.
      heard: n frames and `radius` more on both sides.
      style: how lively the mouth is, natural logarithm; 0 is usual.

    Returns:
      Coefficients of the face basis, in standard deviations of speech.
    """
    network = speech_motion.SpeechMotion(config.speech_motion)
    batch = (heard.posteriors[None], heard.poses[None], heard.audio[None], style[None])
    speak = applied.function(speech_motion.SpeechMotion.__call__, network, variables["speech_motion"])
    spoken = speak(*batch)[0]
    return speech_motion.amplify(spoken, config.motion_scale, centre(config), opening(variables))


def centre(config: mesh_system.MeshSystemConfig) -> Float[Array, " k"]:
    """Return the coefficients from which lips are moved further."""
    return jnp.asarray(config.mean_motion or (0.0,) * config.speech_motion.components, jnp.float32)


def opening(variables: Variables) -> Float[Array, " k"]:
    """Return by how much each coefficient parts the lips, eye distances."""
    basis = variables["face_basis"]["params"]
    return speech_motion.opening(basis["components"], basis["scales"])


def draw(
    config: mesh_system.MeshSystemConfig,
    variables: Variables,
    prepared: PreparedPortrait,
    controls: face_mesh.Controls,
) -> Float[Array, "n h w 3"]:
    """Draw the portrait as `controls` move it, RGB in [0, 1]."""
    return render(config, variables, prepared, _moved(variables, prepared, controls))


def _moved(variables, prepared, controls):
    basis = variables["face_basis"]["params"]
    return face_mesh.move(prepared.portrait, basis["components"], basis["scales"], controls)


def render(
    config: mesh_system.MeshSystemConfig,
    variables: Variables,
    prepared: PreparedPortrait,
    moved: face_mesh.Moved,
    finish: Callable[[Array], Array] = lambda frames: frames,
) -> Shaped[Array, "n h w 3"]:
    """Draw a moved mesh, the inside of the mouth painted.

    Args:
      config: sizes of the networks.
      variables: weights of the networks, by part.
      prepared: the portrait.
      moved: its mesh in n frames.
      finish: what is done to the frames, as in `mouth_painter.paint_frames`.
    """
    return lay(prepared, _paint(config, variables, prepared, moved), finish)


class PaintedMouths(NamedTuple):
    """Mouths of n frames, to be laid into them.

    Attributes:
      moved: the portrait's mesh.
      patch: the skin around the mouth, and its shape.
      painting: what is seen inside.
    """

    moved: face_mesh.Moved
    patch: mouth_patch.Patch
    painting: mouth_painter.Painting


def _paint(config, variables, prepared, moved) -> PaintedMouths:
    patch = mouth_patch.draw_patch(prepared.portrait, moved)
    painting = mouth_painter.paint(config.mouth_painter, variables["mouth_painter"], patch, prepared.own)
    return PaintedMouths(moved, patch, painting)


def paint_mouths(
    config: mesh_system.MeshSystemConfig,
    variables: Variables,
    prepared: PreparedPortrait,
    controls: face_mesh.Controls,
) -> PaintedMouths:
    """Do the first half of `draw`: two programs are compiled side by side, one is not."""
    return _paint(config, variables, prepared, _moved(variables, prepared, controls))


def lay(
    prepared: PreparedPortrait,
    mouths: PaintedMouths,
    finish: Callable[[Array], Array] = lambda frames: frames,
) -> Shaped[Array, "n h w 3"]:
    """Do the other half: draw the frames, and lay the mouths into them.

    Args:
      finish: what is done to the frames, as in `mouth_painter.paint_frames`.
    """
    portrait, (moved, patch, painting) = prepared.portrait, mouths
    made = (portrait, moved, face_mesh.draw(portrait, moved), patch, painting, prepared.teeth)
    return mouth_painter.paint_frames(*made, finish)


def lay_bytes(prepared: PreparedPortrait, mouths: PaintedMouths) -> UInt8[Array, "n h w 3"]:
    """As `lay`, in 8 bits."""
    return lay(prepared, mouths, to_bytes)


def draw_bytes(
    config: mesh_system.MeshSystemConfig,
    variables: Variables,
    prepared: PreparedPortrait,
    controls: face_mesh.Controls,
) -> UInt8[Array, "n h w 3"]:
    """As `draw`, in 8 bits."""
    return render(config, variables, prepared, _moved(variables, prepared, controls), to_bytes)


def draw_fields(
    config: mesh_system.MeshSystemConfig,
    variables: Variables,
    prepared: PreparedPortrait,
    controls: face_mesh.Controls,
) -> tuple[UInt8[Array, "n h w 3"], Float[Array, "n g g 2"]]:
    """As `draw_bytes`, and where the nodes of a grid over the frames lie in the portrait, [-1, 1]."""
    moved = _moved(variables, prepared, controls)
    place, _ = face_mesh.places(prepared.portrait, moved)
    return render(config, variables, prepared, moved, to_bytes), place


def draw_filmed(
    config: mesh_system.MeshSystemConfig,
    variables: Variables,
    layers: Layers,
    own: mouth_painter.Own,
    teeth: portrait_teeth.Teeth,
    speech: Float[Array, "1 k"],
) -> tuple[UInt8[Array, "1 h w 3"], Float[Array, "1 g g 2"]]:
    """Draw a frame of a film with another mouth; nothing else moves.

    Args:
      config: sizes of the networks.
      variables: weights of the networks, by part.
      layers: of the frame.
      own: what the mouth painter sees of this person.
      teeth: of this person.
      speech: coefficients of the face basis, standard deviations.

    Returns:
      As `draw_fields`.
    """
    prepared = prepare(layers)._replace(own=own, teeth=teeth)
    two, three = jnp.zeros((1, 2)), jnp.zeros((1, 3))
    still = face_mesh.Controls(speech, two, two, three, three, jnp.zeros(1))
    return draw_fields(config, variables, prepared, still)


def reenact(
    config: mesh_system.MeshSystemConfig,
    variables: Variables,
    prepared: PreparedPortrait,
    points: Float[Array, "n 478 3"],
    head: Float[Array, "n 3 3"],
    origin: Float[Array, "n 3"],
) -> UInt8[Array, "n h w 3"]:
    """Draw the portrait by the landmarks of another video of the same person, motions as they are.

    Args:
      config: sizes of the networks.
      variables: weights of the networks, by part.
      prepared: the portrait.
      points: in [-1, 1] of the same square.
      head: of each frame, as `face_basis.heads` gives it.
      origin: the same.
    """
    moved = face_mesh.follow(prepared.portrait, points, head, origin)
    return render(config, variables, prepared, moved, to_bytes)


def to_bytes(frames: Float[Array, "*b 3"]) -> UInt8[Array, "*b 3"]:
    """Round to 8 bits."""
    return (frames * 255 + 0.5).clip(0, 255).astype(jnp.uint8)
