"""Warping an image by the vertices of a mesh: FOMM's local affine motions, one for every triangle.

A triangle is a keypoint with a Jacobian: T(z) = p_d + J_d J_s^-1 (z - p_s) of Siarohin et al., NeurIPS 2019,
equation 4, whose mask is the triangle itself. Triangles are looked up in the source image, once; the field
they carry forward is turned around by Newton's method. Everything is a pure function of the vertices and
the image. Places are x, y in [-1, 1], the centres of the corner pixels at +-1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from avct_jax.layers.geometry import grid

ITERATIONS = 4  # of Newton's method
SAME = 1e-6  # squared: where head and background both come to a place, the head is in front
FOLD = 0.3  # least share of its size to which a step of the inversion takes a part of the face to be shrunk


def barycentric(
    vertices: Float[Array, "n 2"], triangles: Int[Array, "g g 3"], *, epsilon: float = 1e-9
) -> Float[Array, "g g 3"]:
    """Return the weights of the three vertices around each node of a grid over the image.

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
    """Interpolate the vertices' displacements over a grid of the source image."""
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
    known: Float[Array, "b h w 2"] | None = None,
    iterations: int = ITERATIONS,
) -> Float[Array, "b h w 2"]:
    """Return where places of the target image come from: p with p + field(p) = place, by Newton's method.

    Between four nodes the field is bilinear and its slopes are exact, so few steps do. Where the mesh folds
    there is no answer, and steps are kept short instead.

    Args:
      guess: where they come from if the head moves as one piece; taken where it is no farther off than no
        motion is.
      known: the field at `places`, where it is known: at its own nodes.
    """
    read = _reader(field)
    place = places - (read(jnp.broadcast_to(places, guess.shape)).value if known is None else known)
    found = [read(p) for p in (place, guess)]
    misses = [p + r.value - places for p, r in zip((place, guess), found, strict=True)]
    lengths = [(miss**2).sum(-1, keepdims=True) for miss in misses]
    ahead = lengths[1] <= lengths[0] + SAME
    choose = lambda a, b: jnp.where(ahead, b, a)
    last, length = choose(place, guess), choose(*lengths)
    place = last - _solve(_Read(*map(choose, *found)), choose(*misses))

    def closer(_, state):
        place, last, length = state
        now = read(place)
        miss = place + now.value - places
        after = (miss**2).sum(-1, keepdims=True)
        # A step that came no nearer went over a crease: half of it does not.
        helped = after <= length
        step = jnp.where(helped, _solve(now, miss), (place - last) / 2)
        last, length = jnp.where(helped, place, last), jnp.where(helped, after, length)
        return place - step, last, length

    # A loop, not its steps one after the other: they take three times as long to compile.
    return jax.lax.fori_loop(0, iterations - 1, closer, (place, last, length))[0]


class _Read(NamedTuple):
    """A field at some places, and its derivatives by x and y."""

    value: Float[Array, "b h w 2"]
    by_x: Float[Array, "b h w 2"]
    by_y: Float[Array, "b h w 2"]


def _reader(field):
    """What reads a field bilinearly with its slopes, the edge's cells going on outside as their border is."""
    b, g, _, _ = field.shape
    # Three numbers a node: XLA's CPU code gathers two, or rows of all four corners, several times slower.
    nodes = jnp.concatenate([field, jnp.zeros_like(field[..., :1])], -1).reshape(-1, 3)
    frames, half = (jnp.arange(b) * g * g).reshape(b, 1, 1), (g - 1) / 2

    def read(place):
        x, y = (jnp.clip((place[..., i] + 1) * half, 0, g - 1) for i in (0, 1))
        left, top = (jnp.minimum(jnp.floor(z), g - 2) for z in (x, y))
        first = (top * g + left).astype(jnp.int32) + frames
        at = lambda step: jnp.take(nodes, (first + step).reshape(-1), axis=0, mode="clip").reshape(
            *first.shape, 3
        )
        across, down = (x - left)[..., None], (y - top)[..., None]
        upper, lower = (at(step) for step in (0, g))
        upper_rise, lower_rise = (at(step + 1) - row for step, row in ((0, upper), (g, lower)))
        above, below = upper + across * upper_rise, lower + across * lower_rise
        by_x, by_y = upper_rise + down * (lower_rise - upper_rise), below - above
        return _Read(*(z[..., :2] for z in (above + down * by_y, by_x * half, by_y * half)))

    return read


def _solve(read, miss):
    """Solve (1 + slopes) step = miss; the matrix is kept away from folding."""
    a, d = (jnp.maximum(1 + slope, FOLD) for slope in (read.by_x[..., 0], read.by_y[..., 1]))
    b, c = read.by_y[..., 0], read.by_x[..., 1]
    determinant = jnp.maximum(a * d - b * c, FOLD**2)
    x, y = miss[..., 0], miss[..., 1]
    return jnp.stack([d * x - b * y, a * y - c * x], -1) / determinant[..., None]


def enlarge(
    field: Float[Array, "b g f c"], y: Float[Array, " h"], x: Float[Array, " w"]
) -> Float[Array, "b h w c"]:
    """Interpolate a grid bilinearly at rows y and columns x of an image, in [-1, 1], the corners at +-1."""
    rows, columns = (_interpolation(n, along) for n, along in zip(field.shape[1:3], (y, x), strict=True))
    return jnp.einsum("hg,bgfc,wf->bhwc", rows, field, columns, optimize=[(0, 1), (0, 1)])


def _interpolation(count, places):
    place = (places + 1) / 2 * (count - 1)
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
    return curve_heights(u, Curve(knots, heights))[0]


class Curve(NamedTuple):
    """A rim along an opening, in units of its width."""

    knots: Float[Array, "b k"]
    heights: Float[Array, "b k"]


def curve_heights(u: Float[Array, "b h w"], *curves: Curve) -> tuple[Float[Array, "b h w"], ...]:
    """Read several curves of as many knots, as `curve_height` does one."""
    at = lambda x: x[:, None, None]
    steps = [jnp.maximum(jnp.diff(curve.knots), 1e-4) for curve in curves]
    slopes = [jnp.diff(curve.heights) / step for curve, step in zip(curves, steps, strict=True)]

    def add(i, heights):
        pick = lambda x: at(jax.lax.dynamic_index_in_dim(x, i, 1, keepdims=False))
        ramp = lambda curve, step: jnp.clip(u - pick(curve.knots), 0, pick(step))
        known = zip(heights, slopes, curves, steps, strict=True)
        return tuple(height + pick(slope) * ramp(curve, step) for height, slope, curve, step in known)

    levels = tuple(jnp.broadcast_to(at(curve.heights[:, 0]), u.shape) for curve in curves)
    # A loop, not its steps one after the other: XLA would compile each of them.
    return jax.lax.fori_loop(0, slopes[0].shape[1], add, levels)


class Opening(NamedTuple):
    """Mouth or eye of b faces in the target image;

    Attributes:
      left and right: its corners.
    """

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
        return u, v, *curve_heights(u, self.upper, self.lower)


def opening_of(upper: Float[Array, "b k 2"], lower: Float[Array, "b k 2"]) -> Opening:
    """Take two rows of vertices, from left to right, that share their ends."""
    left, right = (upper[:, 0] + lower[:, 0]) / 2, (upper[:, -1] + lower[:, -1]) / 2
    rows = jnp.stack([upper, lower])
    u, v = opening_coordinates(rows, left[None, :, None], right[None, :, None])
    u = jax.lax.cummax(u, axis=2)  # knots do not run back, as those of a face turned far away might
    return Opening(left, right, Curve(u[0], v[0]), Curve(u[1], v[1]))
