"""The mouth's surroundings as a patch fixed to the skull: what the painter sees, at any portrait's size."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax import face_topology as topology
from avct_jax.layers import barrier
from avct_jax.layers.geometry import mesh_warp
from avct_jax.models.mesh import face_mesh

# The mouth's patch: pixels, and what they show around the mouth at rest, eye distances of the canonical face.
PATCH = (64, 96)
PATCH_LEFT, PATCH_RIGHT, PATCH_TOP, PATCH_BOTTOM = -0.5, 0.5, -0.26, 0.41


class Patch(NamedTuple):
    """The mouth's surroundings, fixed to the skull: what a painter sees of b frames.

    Attributes:
      skin: RGB in [0, 1], warped; what lies between the lips is no skin.
      inside: 1 between the lips.
      below, above: how far below the upper and above the lower lip, eye distances.
    """

    skin: Float[Array, "b h w 3"]
    inside: Float[Array, "b h w"]
    below: Float[Array, "b h w"]
    above: Float[Array, "b h w"]


def patch_places(
    head: Float[Array, "b 3 3"],
    origin: Float[Array, "b 3"],
    anchor: Float[Array, " 3"],
    shape: tuple[int, int] = PATCH,
) -> Float[Array, "b h w 2"]:
    """Return where the pixels of the mouth's patch lie in the image: upper teeth keep their place in it."""
    y = jnp.linspace(PATCH_TOP, PATCH_BOTTOM, shape[0])
    x = jnp.linspace(PATCH_LEFT, PATCH_RIGHT, shape[1])
    middle = jnp.einsum("bij,j->bi", head, anchor) + origin
    right, down = head[:, None, None, :2, 0], head[:, None, None, :2, 1]
    return middle[:, None, None, :2] + x[None, None, :, None] * right + y[None, :, None, None] * down


def draw_patch(portrait: face_mesh.MeshPortrait, moved: face_mesh.Moved) -> Patch:
    """Warp only the mouth's patch: what `draw` would show there, at the patch's resolution."""
    places = patch_places(moved.head, moved.origin, portrait.anchor)
    guess = face_mesh.head_at_rest(portrait, moved, places)
    steps = moved.vertices[..., :2] - portrait.vertices[None, :, :2]
    fields = (portrait.upper, portrait.lower)
    both = jnp.concatenate([mesh_warp.displacement(steps, f.triangles, f.weights) for f in fields])
    twice = [jnp.concatenate([x, x]) for x in (places, guess)]
    upper, lower = jnp.split(mesh_warp.invert(both, *twice), 2)
    rows = (moved.vertices[:, jnp.asarray(row), :2] for row in topology.APERTURES[0])
    mouth = mesh_warp.opening_of(*rows)
    curves = mouth.curves(places)
    _, v, top, bottom = curves
    # Along [-1, 1] the patch's pixels are as many as the image would have at their resolution.
    unit = jnp.linalg.norm(portrait.head[:, 0])
    size = 2 * (PATCH[1] - 1) / ((PATCH_RIGHT - PATCH_LEFT) * unit)
    side = face_mesh.lip_edge((top + bottom) / 2 - v, mouth, size)[..., None]
    skin = face_mesh.two_sided(portrait, upper, lower, side)
    return Patch(
        skin, *map(barrier.once, face_mesh.mouth_inside(portrait, mouth, places, size=size, curves=curves))
    )
