"""A portrait, ready to be drawn in chunks of one length."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from avct_jax import arguments, errors
from avct_jax.animator import base, factory, inputs, mesh_animator
from avct_jax.animator import portrait as portraits
from avct_jax.animator.framing import scene, whole_picture
from avct_jax.data.direction import eased
from avct_jax.data.faces import crop, head_pose
from avct_jax.data.media import image_io
from avct_jax.data.portrait import inset
from avct_jax.inference import mesh_inference
from avct_jax.models import mesh_system
from avct_jax.models.mesh import face_mesh

MOST_PIXELS = 1280 * 720  # of a whole picture: what two cores put together and code in real time


class LivePicture(NamedTuple):
    """A picture in which a head speaks.

    Attributes:
      pixels: of it.
      inset: puts what is drawn into it.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    inset: inset.Inset


class LivePortrait(NamedTuple):
    """A portrait as it is drawn.

    Attributes:
      drawn: its mesh and pixels.
      turned: rotation vector (rad) of its head.
      seed: that its pixels make.
      notes: what was decided on the way, a line each.
      face: that is directed.
      whole: makes it anew with eyes that may look anywhere.
      picture: that is shown whole; None: the head's square alone.
    """

    drawn: mesh_inference.PreparedPortrait
    turned: Float[np.ndarray, " 3"]
    seed: int
    notes: tuple[str, ...]
    face: eased.LiveFace
    whole: Callable[[], mesh_inference.PreparedPortrait]
    picture: LivePicture | None = None


def animator(checkpoint: base.Path | None, given: base.Animator | None = None) -> mesh_animator.MeshAnimator:
    """Return what has the networks: an animator, or that of a checkpoint.

    Raises:
      UserError: both are given, or it is of the keypoint family, or cannot be read.
    """
    if checkpoint is not None and given is not None:
        raise errors.UserError("an animator and a checkpoint are given; leave one of them out")
    found = factory.load(checkpoint) if given is None else given
    if not isinstance(found, mesh_animator.MeshAnimator):
        raise errors.UserError(
            "a stream needs a checkpoint of the mesh family, this one has learned keypoints; leave it out"
        )
    return found


def read(
    found: mesh_animator.MeshAnimator, image: base.Image, size: int, face: base.Face | None = None
) -> LivePortrait:
    """Read an image and ready the head in it, `size` px.

    Args:
      face: which of several, see `Animator.animate`.

    Raises:
      UserError: it cannot be read, or has no such face.
    """
    notes: list[str] = []
    seen = portraits.read_portrait(
        image, portraits.landmarker("mediapipe"), notes, least=inputs.SIZES[0] // 2, face=face
    )
    pixels = crop.crop(seen.pixels, seen.square, size)
    points = crop.to_unit(seen.points, seen.square, size)
    drawn = found.prepare_portrait(pixels, points)
    turned = head_pose.head_turn(np.asarray(drawn.portrait.head))
    seed = portraits.seed_of(pixels)
    directed = eased.LiveFace(mesh_animator.own_eyes(drawn), turned)
    whole = functools.partial(found.prepare_portrait, pixels, points, whole_eyes=True)
    return LivePortrait(drawn, turned, seed, tuple(notes), directed, whole)


def read_whole(
    found: mesh_animator.MeshAnimator, image: base.Image, size: int, face: base.Face | None = None
) -> LivePortrait:
    """Read a picture that is shown whole, and ready one head in it, drawn at `size` px.

    Raises:
      UserError: it cannot be read, or has no such face.
    """
    notes: list[str] = []
    given = image_io.read_image(image) if arguments.is_path(image) else image_io.from_pixels(image)
    shown = _scaled(given)
    scale = shown.shape[1] / given.shape[1]
    if scale < 1:
        notes.append(f"the picture is scaled to {shown.shape[1]}x{shown.shape[0]} px, so that it keeps pace")
    if isinstance(face, tuple | list):
        face = (face[0] * scale, face[1] * scale)
    seen = whole_picture.read(shown, portraits.landmarker("mediapipe"), notes, face=face, size=size)
    ready, cuts = scene.prepare(found, seen, size)
    head = ready.heads[0]
    turned = head_pose.head_turn(np.asarray(head.portrait.portrait.head))
    directed = eased.LiveFace(mesh_animator.own_eyes(head.portrait), turned)
    whole = lambda: scene.prepare(found, seen, size, whole_eyes=True)[0].heads[0].portrait
    picture = LivePicture(seen.pixels, head.inset)
    seed = portraits.seed_of(cuts[0])
    return LivePortrait(head.portrait, turned, seed, tuple(notes), directed, whole, picture)


def _scaled(pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "g v 3"]:
    """Bring a picture to what is put together in real time; sides are even."""
    scale = min(1.0, math.sqrt(MOST_PIXELS / (pixels.shape[0] * pixels.shape[1])))
    if scale == 1:
        return whole_picture.fitted(pixels)
    height, width = (max(2, int(x * scale) // 2 * 2) for x in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


@functools.cache
def _program(config: mesh_system.MeshSystemConfig, *, with_fields: bool = False) -> Any:
    """Compiled once for all streams of a system, a size and a chunk."""
    draw = mesh_inference.draw_fields if with_fields else mesh_inference.draw_bytes
    return jax.jit(functools.partial(draw, config))


class Drawer:
    """Draws frames, as many at once as it was made for."""

    def __init__(self, found: mesh_animator.MeshAnimator, read: LivePortrait, chunk: int):
        """Take a portrait; compiles at the first call."""
        self._chunk, self._read = chunk, read
        program = _program(found.config, with_fields=read.picture is not None)
        self._draw = functools.partial(program, found.variables)
        self._directed: mesh_inference.PreparedPortrait | None = None

    def direct(self, controls: face_mesh.Controls) -> None:
        """Get ready for an expression and a gaze: the program of them is another one.

        Args:
          controls: of any frame.
        """
        if self._directed is None:
            whole = self._read.whole()
            self._draw(whole, self._stacked([controls], with_expression=True))
            self._directed = whole

    def __call__(self, controls: Sequence[face_mesh.Controls]) -> UInt8[np.ndarray, "n h w 3"]:
        """Draw at most a chunk of frames, one row of controls each."""
        told = self._directed is not None and any(row.expression is not None for row in controls)
        drawn = self._directed if told else self._read.drawn
        made = self._draw(drawn, self._stacked(controls, with_expression=told))
        if self._read.picture is None:
            return np.asarray(made)[: len(controls)]
        return _put(self._read.picture, *(np.asarray(x)[: len(controls)] for x in made))

    def _stacked(self, controls, *, with_expression: bool) -> face_mesh.Controls:
        rows = [*controls, *[controls[-1]] * (self._chunk - len(controls))]
        plain = zip(*(row[:-1] for row in rows), strict=True)
        stacked: Any = (jnp.asarray(np.stack(x), jnp.float32) for x in plain)
        found = face_mesh.Controls(*stacked)
        if not with_expression:
            return found
        shown = zip(*(row.expression or _blank() for row in rows), strict=True)
        expression = face_mesh.FaceExpression(*(jnp.asarray(np.stack(x), jnp.float32) for x in shown))
        return found._replace(expression=expression)


def _put(
    picture: LivePicture, drawn: UInt8[np.ndarray, "n s s 3"], fields: Float[np.ndarray, "n g g 2"]
) -> UInt8[np.ndarray, "n h w 3"]:
    """Put drawn heads into copies of their picture."""
    shown = np.repeat(picture.pixels[None], len(drawn), 0)
    for canvas, head, field in zip(shown, drawn, fields, strict=True):
        picture.inset.lay(canvas, head, field)
    return shown


@functools.cache
def _blank() -> face_mesh.FaceExpression:
    """Nothing, of one frame."""
    return face_mesh.FaceExpression(jnp.zeros((face_mesh.topology.POINTS, 3)), jnp.zeros(2))
