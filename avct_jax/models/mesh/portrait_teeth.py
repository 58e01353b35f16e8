"""Teeth that the portrait itself shows: kept where they are in the skull, and seen again when lips part.

Nothing learned knows a stranger's teeth; where he smiles, his own are there to be used.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from avct_jax import face_topology as topology
from avct_jax.layers.geometry import grid, mesh_warp
from avct_jax.models.mesh import face_mesh, mouth_patch

FINER = 2  # pixels a pixel of the mouth's patch: faces are drawn larger than the painter's patch
# Eye distances below the upper lip within which teeth are upper ones: the others move with the jaw.
UPPER = (0.11, 0.17)
BRIGHT = (0.65, 0.85)  # brightness over that of the skin around, from where to where a pixel becomes a tooth
PALE = 0.5  # how much redder than skin, as a share of it, tongue and gums are
PARTED = (0.02, 0.05)  # eye distances between lips, from where to where teeth become visible


class Teeth(NamedTuple):
    """A patch as mouth_patch.patch_places lays it.

    Attributes:
      colour: RGB in [0, 1] times share.
      share: 1 on a tooth.
    """

    colour: Float[Array, "1 h w 3"]
    share: Float[Array, "1 h w 1"]


def find(portrait: face_mesh.MeshPortrait) -> Teeth:
    """Cut the upper teeth out of a portrait: bright, and no redder than skin, between its lips."""
    shape = (FINER * mouth_patch.PATCH[0], FINER * mouth_patch.PATCH[1])
    places = mouth_patch.patch_places(portrait.head[None], portrait.origin[None], portrait.anchor, shape)
    image = grid.grid_sample(portrait.image[None], places, align_corners=True, padding_mode="border")
    size = 2 * (shape[1] - 1) / jnp.linalg.norm(portrait.head[:, 0])
    lips = mesh_warp.opening_of(
        *(portrait.vertices[None, jnp.asarray(row), :2] for row in topology.APERTURES[0])
    )
    plain = portrait._replace(seam=jnp.zeros(()))
    inside, below, _ = face_mesh.mouth_inside(plain, lips, places, size=size)
    share = jnp.clip(2 * inside - 1, 0, 1) * _likeness(image, inside) * _falling(below, *UPPER)
    share = _soften(share)[..., None]
    return Teeth(image * share, share)


def _likeness(image, inside):
    """How much like a tooth each pixel is, beside the skin of the same image."""
    light = image.mean(-1)
    red = (image[..., 0] - image[..., 1]) / jnp.maximum(light, 0.05)
    skin = 1 - inside
    mean = lambda x: (x * skin).sum((1, 2), keepdims=True) / jnp.maximum(skin.sum((1, 2), keepdims=True), 1)
    usual = jnp.abs(mean(red))
    bright = 1 - _falling(light / jnp.maximum(mean(light), 0.02), *BRIGHT)
    return bright * _falling(red - usual, 0.0, PALE * usual + 0.02)


def _falling(x, begin, end):
    """1 up to `begin`, 0 from `end` on."""
    return jnp.clip((end - x) / (end - begin), 0, 1)


def _soften(x):
    """Binomial means of 3 x 3 pixels."""
    for axis in (1, 2):
        padded = jnp.pad(x, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        ends = [slice(None)] * axis
        at = lambda begin, ends=ends, padded=padded, n=x.shape[axis]: padded[(*ends, slice(begin, begin + n))]
        x = (at(0) + 2 * at(1) + at(2)) / 4
    return x


def lay(
    teeth: Teeth,
    painted: Float[Array, "b h w 3"],
    where: Float[Array, "b h w 2"],
    gap: Float[Array, "b h w"],
) -> Float[Array, "b h w 3"]:
    """Lay teeth over what is painted between the lips.

    Args:
      where: places in the patch, [-1, 1].
      gap: how far the lips are apart there, eye distances.
    """
    known = jnp.concatenate(teeth, -1)
    known = jnp.broadcast_to(known, (len(where), *known.shape[1:]))
    read = grid.grid_sample(known, where, align_corners=True, padding_mode="zeros")
    read = read * (1 - _falling(gap, *PARTED))[..., None]
    return painted * (1 - read[..., 3:]) + read[..., :3]
