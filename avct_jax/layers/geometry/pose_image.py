"""Head poses drawn as wire boxes: the images by which the networks are told where the head is."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

SIZE = 256  # pixels, the image that the released networks were trained on
FOCAL = 233.333  # pixels, both axes; the optical axis meets the image's middle, 128
REAR, FRONT = (75.0, 0.0), (100.0, 100.0)  # half-size and depth of the two faces, mm
LIMIT = 16000  # pixels from the origin; farther corners are moved here, so that all sums fit 32 bits
WIDTH = 2  # pixels, of the lines
ONE, HALF = 1 << 16, 1 << 15  # a pixel and half of it in the rasteriser's fixed point

# All twelve edges: around each face, and between the faces.
EDGES = np.asarray(
    [(0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7)]
)
CORNERS = np.asarray(
    [(x * s, y * s, z) for s, z in (REAR, FRONT) for x, y in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
)


def draw_pose_boxes(
    poses: Float[Array, "*b 6"] | Float[np.ndarray, "*b 6"], size: int = SIZE
) -> Float[Array, "*b {size} {size}"]:
    """Draw the box of each head pose, 255 on 0, pixel for pixel as OpenCV 5 draws lines of width 2.

    Poses traced by JAX are projected in float32, which moves about one corner in 10^4 by a pixel; a numpy
    array is projected in float64, as the reference did, and its boxes are the reference's exactly.

    Args:
      poses: rotation vector (rad) and translation (mm), as OpenFace gives them.
      size: side of the image, pixels; the camera is scaled with it.
    """
    return draw_corners(jnp.asarray(project_box(poses, size)), size)


# Compiled even where the caller isn't: some hundred small operations would otherwise run one by one.
@functools.partial(jax.jit, static_argnums=1)
def draw_corners(
    corners: Int[Array, "*b 8 2"] | Int[np.ndarray, "*b 8 2"], size: int = SIZE
) -> Float[Array, "*b {size} {size}"]:
    """Draw boxes whose corners are at these pixels (x, y)."""
    draw = jax.vmap(lambda c: _draw_box(c, size))
    return draw(jnp.asarray(corners).reshape(-1, 8, 2)).reshape(*corners.shape[:-2], size, size)


def project_box(
    poses: Float[Array, "*b 6"] | Float[np.ndarray, "*b 6"], size: int = SIZE
) -> Int[Array, "*b 8 2"] | Int[np.ndarray, "*b 8 2"]:
    """Pixel (x, y) of each corner, truncated towards zero; numpy in, numpy out, in float64.

    A corner in the camera's plane is taken to be 1 mm deep, as OpenCV does.
    """
    xp = np if isinstance(poses, np.ndarray) else jnp
    poses = poses.astype(np.float64) if xp is np else poses
    points = xp.einsum("...ij,kj->...ki", _rotation(poses[..., :3], xp), xp.asarray(CORNERS, poses.dtype))
    points = points + poses[..., None, 3:]
    depth = points[..., 2:]
    scale = 1.0 / xp.where(depth == 0, 1.0, depth)
    pixels = (points[..., :2] * scale * FOCAL + 128.0) * (size / SIZE)
    return xp.clip(pixels, -LIMIT, LIMIT).astype(np.int32)


def _rotation(vector, xp):
    """Rodrigues' formula, (*b, 3) -> (*b, 3, 3)."""
    angle = xp.sqrt((vector**2).sum(-1))
    axis = vector / xp.where(angle == 0, 1.0, angle)[..., None]
    x, y, z = axis[..., 0], axis[..., 1], axis[..., 2]
    zero = xp.zeros_like(x)
    cross = xp.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*x.shape, 3, 3)
    outer = axis[..., :, None] * axis[..., None, :]
    eye = xp.broadcast_to(xp.eye(3, dtype=vector.dtype), outer.shape)
    cos, sin = (f(angle)[..., None, None] for f in (xp.cos, xp.sin))
    return cos * eye + (1 - cos) * outer + sin * cross


def _draw_box(corners: Int[Array, "8 2"], size: int) -> Float[Array, "{size} {size}"]:
    ends = corners[EDGES]
    quads = jax.vmap(lambda e: _line_quad(e[0], e[1], size))(ends)
    left, right = jax.vmap(lambda q: _row_spans(q, size))(quads)
    column = jnp.arange(size).reshape(1, 1, size)
    inside = ((column >= left[:, :, None]) & (column <= right[:, :, None])).any(0)
    sides = jnp.stack([quads, jnp.roll(quads, -1, 1)], 2).reshape(-1, 2, 2)
    rows, columns = jax.vmap(lambda s: _thin_line(s[0], s[1], size))(sides)
    # Round ends: a disc of radius 1 has five pixels.
    disc = jnp.asarray([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)])
    caps = (corners[:, None] + disc[None]).reshape(-1, 2)
    rows = jnp.concatenate([rows.reshape(-1), caps[:, 1]])
    columns = jnp.concatenate([columns.reshape(-1), caps[:, 0]])
    seen = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
    index = jnp.where(seen, rows * size + columns, size * size)
    image = jnp.where(inside, 255.0, 0.0).astype(jnp.float32)
    return image.reshape(-1).at[index].set(255.0, mode="drop").reshape(size, size)


def _line_quad(p0, p1, size):
    """Corners of a line of width 2 in fixed point, in order around it (OpenCV's ThickLine).

    OpenCV 5 first cuts lines, in whole pixels, to the image and a line's width around it; OpenCV 4 did not.
    A line that isn't seen becomes a point outside of the image.
    """
    p0, p1, visible = _clip(p0 + WIDTH, p1 + WIDTH, size - 1 + 2 * WIDTH)
    p0, p1 = (jnp.where(visible, p - WIDTH, -1000) for p in (p0, p1))
    dx, dy = p0[0] - p1[0], p1[1] - p0[1]
    square = (dx * dx + dy * dy).astype(jnp.uint32)
    normal = jnp.stack([_unit(dy, square), _unit(dx, square)])
    p0, p1 = p0 * ONE, p1 * ONE
    return jnp.stack([p0 + normal, p0 - normal, p1 - normal, p1 + normal])


def _unit(part, square):
    """round(ONE * part / sqrt(square)), exactly.

    float32 gives q within 1; (2 q - 1)^2 square <= (2 ONE part)^2 < (2 q + 1)^2 square decides in 64 bits.
    """
    size = jnp.abs(part).astype(jnp.uint32)
    root = jnp.sqrt(jnp.maximum(square, 1).astype(jnp.float32))
    q = jnp.round(ONE * size.astype(jnp.float32) / root).astype(jnp.uint32)
    high, low = (size * size) << 2, jnp.uint32(0)  # (2 ONE part)^2 = 2^34 part^2

    def at_most(odd):
        h, l = _multiply(odd, odd)
        hh, ll = _multiply(l, square)
        hh = hh + h * square
        return (hh < high) | ((hh == high) & (ll <= low))

    down = (q > 0) & ~at_most(jnp.where(q > 0, 2 * q - 1, 0))
    up = at_most(2 * q + 1) & (size > 0)
    q = q - down.astype(jnp.uint32) + up.astype(jnp.uint32)
    return jnp.sign(part) * q.astype(jnp.int32)


def _multiply(a, b):
    """Product of two uint32 as (high, low)."""
    a1, a0, b1, b0 = a >> 16, a & 0xFFFF, b >> 16, b & 0xFFFF
    middle = a1 * b0 + ((a0 * b0) >> 16)
    cross = a0 * b1 + (middle & 0xFFFF)
    return a1 * b1 + (middle >> 16) + (cross >> 16), a * b


def _row_spans(quad, size):
    """First and last column inside the quad in each row (OpenCV's FillConvexPoly); first > last if none."""
    ends = jnp.stack([quad, jnp.roll(quad, -1, 0)], 1)
    swap = ends[:, 0, 1] > ends[:, 1, 1]
    ends = jnp.where(swap[:, None, None], ends[:, ::-1], ends)
    top, bottom = ((ends[:, i, 1] + HALF) >> 16 for i in (0, 1))
    rows = bottom - top
    # Rounded as OpenCV does: half is added, then the quotient truncated.
    slope = jax.lax.div((ends[:, 1, 0] - ends[:, 0, 0]) * 2 + rows, jnp.maximum(2 * rows, 1))
    y = jnp.arange(size)[:, None]
    x = (ends[None, :, 0, 0] + slope[None] * (y - top[None]) + HALF) >> 16
    active = (y >= top[None]) & (y < bottom[None])
    return jnp.where(active, x, 2**30).min(1), jnp.where(active, x, -(2**30)).max(1)


def _thin_line(p0, p1, size):
    """Rows and columns of a line one pixel wide between fixed-point ends (OpenCV's Line2); -1 beyond it."""
    p0, p1, visible = _clip(p0, p1, size * ONE - 1)
    ax, ay = jnp.abs(p1[0] - p0[0]), jnp.abs(p1[1] - p0[1])
    steep = ay >= ax
    # Exchange the axes of steep lines, then walk towards larger coordinates.
    p0, p1 = (jnp.where(steep, p[::-1], p) for p in (p0, p1))
    backward = p1[0] < p0[0]
    p0, p1 = jnp.where(backward, p1, p0), jnp.where(backward, p0, p1)
    length = p1[0] - p0[0]
    step = _multiply_divide(p1[1] - p0[1], jnp.int32(ONE), length | 1)
    n = jnp.arange(size)
    along = ((p0[0] + HALF) >> 16) + n
    across = (p0[1] + HALF + step * n) >> 16
    drawn = visible & (n <= (length >> 16))
    along, across = (jnp.where(drawn, v, -1) for v in (along, across))
    last = jnp.where(visible, (p1 + HALF) >> 16, -1)
    along, across = jnp.append(along, last[0]), jnp.append(across, last[1])
    return jnp.where(steep, along, across), jnp.where(steep, across, along)


def _clip(p0, p1, last):
    """Cut a line to 0 .. last along y, then along x (OpenCV's clipLine); and say if any of it is left."""
    for axis in (1, 0):
        side0, side1 = _side(p0, last), _side(p1, last)
        # A line wholly beyond one border stays as it is, and is found invisible below.
        mixed = ~((side0 == side1) & (side0 != 0)).any()
        p0 = jnp.where(mixed & (side0[axis] != 0), _cut(p0, p0, p1, axis, side0, last), p0)
        p1 = jnp.where(mixed & (side1[axis] != 0), _cut(p1, p0, p1, axis, side1, last), p1)
    inside = (_side(p0, last) == 0).all() & (_side(p1, last) == 0).all()
    return p0, p1, inside


def _side(p, last):
    return jnp.where(p < 0, -1, jnp.where(p > last, 1, 0))


def _cut(p, p0, p1, axis, side, last):
    """Where the line meets the border that `p` is beyond."""
    border = jnp.where(side[axis] < 0, 0, last)
    d = p1 - p0
    other = p[1 - axis] + _multiply_divide(border - p[axis], d[1 - axis], d[axis])
    return jnp.stack([other, border] if axis == 1 else [border, other])


def _multiply_divide(a, b, c):
    """a * b / c truncated towards zero, through 62 bits; 0 where c is 0."""
    sign = jnp.sign(a) * jnp.sign(b) * jnp.sign(c)
    a, b, c = (jnp.abs(v).astype(jnp.uint32) for v in (a, b, jnp.where(c == 0, 1, c)))
    whole, rest = b // c, b % c

    def digit(i, state):
        quotient, remainder = state
        bit = (a >> (30 - i).astype(jnp.uint32)) & 1
        remainder = 2 * remainder + bit * rest
        return 2 * quotient + bit * whole + remainder // c, remainder % c

    zero = jnp.zeros_like(a)
    quotient, _ = jax.lax.fori_loop(0, 31, digit, (zero, zero))
    return sign * quotient.astype(jnp.int32)
