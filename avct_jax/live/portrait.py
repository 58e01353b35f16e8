"""A portrait, ready to be drawn in chunks of one length."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from avct_jax import errors
from avct_jax.animator import base, factory, inputs, mesh_animator
from avct_jax.animator import portrait as portraits
from avct_jax.data.direction import eased
from avct_jax.data.faces import crop, head_pose
from avct_jax.inference import mesh_inference
from avct_jax.models import mesh_system
from avct_jax.models.mesh import face_mesh


class LivePortrait(NamedTuple):
    """A portrait as it is drawn.

    Attributes:
      drawn: its mesh and pixels.
      turned: rotation vector (rad) of its head.
      seed: that its pixels make.
      notes: what was decided on the way, a line each.
      face: that is directed.
      whole: makes it anew with eyes that may look anywhere.
    """

    drawn: mesh_inference.PreparedPortrait
    turned: Float[np.ndarray, " 3"]
    seed: int
    notes: tuple[str, ...]
    face: eased.LiveFace
    whole: Callable[[], mesh_inference.PreparedPortrait]


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


@functools.cache
def _program(config: mesh_system.MeshSystemConfig) -> Any:
    """Compiled once for all streams of a system, a size and a chunk."""
    return jax.jit(functools.partial(mesh_inference.draw_bytes, config))


class Drawer:
    """Draws frames, as many at once as it was made for."""

    def __init__(self, found: mesh_animator.MeshAnimator, read: LivePortrait, chunk: int):
        """Take a portrait; compiles at the first call."""
        self._chunk, self._read = chunk, read
        self._draw = functools.partial(_program(found.config), found.variables)
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

    def __call__(self, controls: Sequence[face_mesh.Controls]) -> UInt8[np.ndarray, "n s s 3"]:
        """Draw at most a chunk of frames, one row of controls each."""
        told = self._directed is not None and any(row.expression is not None for row in controls)
        drawn = self._directed if told else self._read.drawn
        return np.asarray(self._draw(drawn, self._stacked(controls, with_expression=told)))[: len(controls)]

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


@functools.cache
def _blank() -> face_mesh.FaceExpression:
    """Nothing, of one frame."""
    return face_mesh.FaceExpression(jnp.zeros((face_mesh.topology.POINTS, 3)), jnp.zeros(2))
