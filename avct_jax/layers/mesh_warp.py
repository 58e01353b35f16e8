"""Warping a picture by the vertices of a mesh: FOMM's local affine motions, one for every triangle.

A triangle is a keypoint with a Jacobian: T(z) = p_d + J_d J_s^-1 (z - p_s) of Siarohin et al., NeurIPS 2019,
equation 4, whose mask is the triangle itself. Triangles are looked up in the source picture, once; the field
they carry forward is turned around by Newton's method. Everything is a pure function of the vertices and
the picture. Places are x, y in [-1, 1], the centres of the corner pixels at +-1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from avct_jax.layers import grid

ITERATIONS = 2  # of Newton's method
SAME = 1e-6  # squared: where head and background both come to a place, the head is in front
FOLD = 0.3  # least share of its size to which a step of the inversion takes a part of the face to be shrunk


def barycentric(
    vertices: Float[Array, "n 2"], triangles: Int[Array, "g g 3"], *, epsilon: float = 1e-9
) -> Float[Array, "g g 3"]:
    """Return the weights of the three vertices around each node of a grid over the picture.

    Args:
      triangles: vertices of the triangle in which each node of the (g, g) grid lies.
    """
    nodes = jnp.asarray(grid.coordinate_grid(*triangles.shape[:2]))
    a, b, c = (vertices[triangles[..., i]] for i in range(3))
    cross = lambda u, v: u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    area = cross(b - a, c - a)
    area = jnp.where(jnp.abs(area) < epsilon, epsilon, area)
    second, third = cross(nodes - a, c - a) / area, cross(b - a, nodes - a) / area
    return jnp.stack([1 - second - third, second, third], -1)


def displacement(
    moved: Float[Array, "b n 2"], triangles: Int[Array, "g g 3"], weights: Float[Array, "g g 3"]
) -> Float[Array, "b g g 2"]:
    """Interpolate the vertices' displacements over a grid of the source picture."""
    size = triangles.shape[0]
    # The vertices last: one gather serves every frame.
    table = jnp.moveaxis(moved, 1, 0).reshape(moved.shape[1], -1)
    picked = jnp.take(table, triangles.reshape(-1, 3), axis=0, mode="clip")
    summed = (picked * weights.reshape(-1, 3, 1)).sum(1)
    return jnp.moveaxis(summed.reshape(size, size, moved.shape[0], 2), 2, 0)


def invert(
    field: Float[Array, "b g g 2"],
    places: Float[Array, "#b h w 2"],
    guess: Float[Array, "b h w 2"],
    *,
    iterations: int = ITERATIONS,
) -> Float[Array, "b h w 2"]:
    """Return where places of the target picture come from: p with p + field(p) = place, by Newton's method.

    Inside a triangle the field is linear, so a step is exact there. Where the mesh folds there is no answer,
    and steps are kept short instead.

    Args:
      guess: where they come from if the head moves as one piece; taken where it is no farther off than no
        motion is.
    """
    table = grid.neighbour_table(jnp.concatenate([field, _slopes(field)], -1))
    read = lambda place: grid.sample_table(table, place)
    place = places - read(jnp.broadcast_to(places, guess.shape))[..., :2]
    found = [read(p) for p in (place, guess)]
    misses = [p + r[..., :2] - places for p, r in zip((place, guess), found, strict=True)]
    lengths = [(miss**2).sum(-1, keepdims=True) for miss in misses]
    ahead = lengths[1] <= lengths[0] + SAME
    place, now, miss = (jnp.where(ahead, b, a) for a, b in ((place, guess), found, misses))
    place = place - _solve(now[..., 2:], miss)
    for _ in range(iterations - 1):
        now = read(place)
        place = place - _solve(now[..., 2:], place + now[..., :2] - places)
    return place


def _slopes(field):
    """Derivatives of a field by central differences: of x by x, x by y, y by x, y by y."""
    step = 2.0 / (field.shape[1] - 1)
    along = lambda axis: jnp.gradient(field, axis=axis) / step
    by_x, by_y = along(2), along(1)
    return jnp.stack([by_x[..., 0], by_y[..., 0], by_x[..., 1], by_y[..., 1]], -1)


def _solve(slopes, miss):
    """Solve (1 + slopes) step = miss; the matrix is kept away from folding."""
    a, d = (jnp.maximum(1 + slopes[..., i], FOLD) for i in (0, 3))
    b, c = slopes[..., 1], slopes[..., 2]
    determinant = jnp.maximum(a * d - b * c, FOLD**2)
    x, y = miss[..., 0], miss[..., 1]
    return jnp.stack([d * x - b * y, a * y - c * x], -1) / determinant[..., None]


def enlarge(field: Float[Array, "b g g c"], height: int, width: int) -> Float[Array, "b h w c"]:
    """Interpolate a grid bilinearly to more nodes, the corners staying corners."""
    rows, columns = (_interpolation(field.shape[1], n) for n in (height, width))
    return jnp.einsum("hg,bgfc,wf->bhwc", rows, field, columns, optimize=[(0, 1), (0, 1)])


def _interpolation(count, wanted):
    place = jnp.linspace(0, count - 1, wanted)
    return jnp.maximum(0, 1 - jnp.abs(place[:, None] - jnp.arange(count)[None]))


def opening_coordinates(
    place: Float[Array, "*b 2"], left: Float[Array, "*#b 2"], right: Float[Array, "*#b 2"]
) -> tuple[Float[Array, "*b"], Float[Array, "*b"]]:
    """Express places along an opening of the face: u from its left corner (0) to its right (1), v down."""
    axis = right - left
    square = jnp.maximum((axis**2).sum(-1), 1e-9)
    offset = place - left
    u = (offset * axis).sum(-1) / square
    v = (offset[..., 1] * axis[..., 0] - offset[..., 0] * axis[..., 1]) / square
    return u, v


def curve_height(
    u: Float[Array, "b h w"], knots: Float[Array, "b k"], heights: Float[Array, "b k"]
) -> Float[Array, "b h w"]:
    """Read a curve through knots, linear between them and level outside; knots must increase.

    Written as a sum of clipped ramps: no search, and gradients to knots and heights.
    """
    step = jnp.maximum(jnp.diff(knots), 1e-4)
    slope = jnp.diff(heights) / step
    at = lambda x: x[:, None, None]
    height = at(heights[:, 0])
    for i in range(slope.shape[1]):
        height = height + at(slope[:, i]) * jnp.clip(u - at(knots[:, i]), 0, at(step[:, i]))
    return height


class Curve(NamedTuple):
    """A rim along an opening, in units of its width."""

    knots: Float[Array, "b k"]
    heights: Float[Array, "b k"]


class Opening(NamedTuple):
    """Mouth or eye of b faces in the target picture; left and right: its corners."""

    left: Float[Array, "b 2"]
    right: Float[Array, "b 2"]
    upper: Curve
    lower: Curve

    @property
    def width(self) -> Float[Array, " b"]:
        """Distance of the corners."""
        return jnp.linalg.norm(self.right - self.left, axis=-1)

    def curves(self, place: Float[Array, "b h w 2"]) -> tuple[Float[Array, "b h w"], ...]:
        """Return u, v, upper height, lower height of places, in units of the opening's width."""
        at = lambda x: x[:, None, None]
        u, v = opening_coordinates(place, at(self.left), at(self.right))
        return u, v, curve_height(u, *self.upper), curve_height(u, *self.lower)


def opening_of(upper: Float[Array, "b k 2"], lower: Float[Array, "b k 2"]) -> Opening:
    """Take two rows of vertices, from left to right, that share their ends."""
    left, right = (upper[:, 0] + lower[:, 0]) / 2, (upper[:, -1] + lower[:, -1]) / 2
    curves = []
    for row in (upper, lower):
        u, v = opening_coordinates(row, left[:, None], right[:, None])
        # Knots do not run back, as those of a face turned far away might.
        curves.append(Curve(jax.lax.cummax(u, axis=1), v))
    return Opening(left, right, *curves)
