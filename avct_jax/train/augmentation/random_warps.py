"""Random affine and thin-plate warps, whose effect on points is known exactly (FOMM's Transform)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray

from avct_jax.layers.geometry import grid

AFFINE_SIGMA = 0.05  # FOMM vox-256
THIN_PLATE_SIGMA = 0.005
CONTROL_POINTS = 5  # per side


class Warp(NamedTuple):
    """Maps places in a warped image to places in the original, both in [-1, 1].

    theta: affine part.
    control_points, control_params: centres and strengths of the thin-plate bumps; a bump moves
      x and y by the same amount, and its distance is |dx| + |dy|, as in FOMM.
    """

    theta: Float[Array, "b 2 3"]
    control_points: Float[Array, "n 2"]
    control_params: Float[Array, "b n"]


def random_warp(
    key: Key[Array, ""] | PRNGKeyArray,
    batch: int,
    *,
    sigma_affine: float = AFFINE_SIGMA,
    sigma_tps: float = THIN_PLATE_SIGMA,
    points: int = CONTROL_POINTS,
) -> Warp:
    """Draw one warp per image: normal noise on the identity and on `points` x `points` bumps."""
    affine_key, bump_key = jax.random.split(key)
    theta = jnp.eye(2, 3)[None] + sigma_affine * jax.random.normal(affine_key, (batch, 2, 3))
    params = sigma_tps * jax.random.normal(bump_key, (batch, points * points))
    # The barrier keeps the compiler from evaluating every pixel's logarithms while it compiles.
    centres = jax.lax.optimization_barrier(jnp.asarray(grid.coordinate_grid(points, points)).reshape(-1, 2))
    return Warp(theta, centres, params)


def random_warps(keys: Key[Array, " b"], n: int) -> Warp:
    """Draw n warps for each key, laid end to end: what an example gets does not hang on the others."""
    flat = lambda x: x.reshape(-1, *x.shape[2:])
    axes: Any = Warp(0, None, 0)  # type: ignore[arg-type]  # the centres are the same for all
    warp = jax.vmap(lambda key: random_warp(key, n), out_axes=axes)(keys)
    return Warp(flat(warp.theta), warp.control_points, flat(warp.control_params))


def warp_points(warp: Warp, points: Float[Array, "b k 2"]) -> Float[Array, "b k 2"]:
    """Move points of the warped image to where they lie in the original."""
    moved = jnp.einsum("bij,bkj->bki", warp.theta[:, :, :2], points) + warp.theta[:, None, :, 2]
    bump = jnp.einsum("bkn,bn->bk", _bumps(points, warp.control_points), warp.control_params)
    return moved + bump[..., None]


def warp_jacobian(warp: Warp, points: Float[Array, "b k 2"]) -> Float[Array, "b k 2 2"]:
    """Derivative of `warp_points` at each point: output axis, then input axis. In closed form."""
    offset = points[:, :, None] - warp.control_points[None, None]
    r = jnp.abs(offset).sum(-1)
    slope = 2 * r * jnp.log(r + 1e-6) + r * r / (r + 1e-6)
    gradient = jnp.einsum("bkn,bknj,bn->bkj", slope, jnp.sign(offset), warp.control_params)
    return warp.theta[:, None, :, :2] + gradient[:, :, None]


def warp_frames(
    warp: Warp, frames: Float[Array, "b h w c"], *, align_corners: bool = False
) -> Float[Array, "b h w c"]:
    """Warp images; what comes from outside is reflected at the border.

    Args:
      align_corners: True: images agree with `warp_points` exactly. False: FOMM's sampling, which
        stretches them by w / (w - 1), half a pixel at the border.
    """
    _, height, width, _ = frames.shape
    places = jnp.asarray(grid.coordinate_grid(height, width)).reshape(-1, 2)
    # All images share the pixel grid: its bumps are computed once, not once per image.
    bump = jnp.einsum("kn,bn->bk", _bumps(places, warp.control_points), warp.control_params)
    moved = jnp.einsum("bij,kj->bki", warp.theta[:, :, :2], places) + warp.theta[:, None, :, 2]
    sampling = _reflected(moved + bump[..., None]).reshape(-1, height, width, 2)
    return grid.grid_sample(frames, sampling, align_corners=align_corners, padding_mode="border")


def _reflected(coordinates):
    """Fold at +-1: the outer edges, or with aligned corners the outermost pixel centres, as torch does."""
    return 1 - jnp.abs(jnp.mod(coordinates + 1, 4) - 2)


def _bumps(points, centres):
    """r^2 log r of every point and centre, r = |dx| + |dy|; 1e-6 keeps the logarithm finite."""
    offset = points[..., None, :] - centres.reshape((1,) * (points.ndim - 1) + centres.shape)
    r = jnp.abs(offset).sum(-1)
    return r * r * jnp.log(r + 1e-6)
