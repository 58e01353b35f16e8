"""A portrait taken apart for models/mesh/face_mesh.py: mesh, way of the mouth to rest, skin without teeth."""

from typing import NamedTuple

import cv2
import numpy as np
import threadpoolctl
from jaxtyping import Float, Int, UInt8
from scipy import spatial

from avct_jax import face_topology as topology
from avct_jax.data.faces import face_basis, lip_snap
from avct_jax.data.portrait import matte, person_mask

GRID = 128  # nodes along each side, at which the mesh's motion is interpolated
OPEN = 0.06  # eye distances between the inner lips from which teeth show
REST_GAP = 0.03  # eye distances that lips of a shut mouth are apart by their landmarks
REST_WIDTH = 0.66  # eye distances; a wider open mouth is a smile, whose corners come in
UPPER_SHARE = 0.35  # of the gap that the upper lip covers; the lower one covers the rest
# Half heights of the face above its middle, from the chin's -1 to the forehead's 1: below the first a neck
# is beside the face, above the second hair that moves as the head.
HAIR = (-0.8, -0.2)
# Of the neck's way to a side that shoulders go: unseen people reenacted: L1 0.040 at 0, 0.038 at 0.7 and 1.
SWAY = 0.8
NEAR = 0.01  # of the image's side: so far from its edge a person may come to be carried over it
# Greatest slope of depth across the image: steeper parts, the far cheek's edge of a turned face above all,
# would be folded over their neighbours by a turn of a few degrees.
STEEPEST = 2.5
CHIN_SHARE = 0.45  # of the lower lip's way that the chin follows


class PortraitLayers(NamedTuple):
    """What face_mesh.MeshPortrait is made of; places in [-1, 1], RGB in [0, 1]. See there."""

    skin: Float[np.ndarray, "h w 3"]
    image: Float[np.ndarray, "h w 3"]
    vertices: Float[np.ndarray, "n 3"]
    closed: Float[np.ndarray, "478 3"]
    upper: Int[np.ndarray, "g g 3"]
    lower: Int[np.ndarray, "g g 3"]
    head: Float[np.ndarray, "3 3"]
    origin: Float[np.ndarray, " 3"]
    anchor: Float[np.ndarray, " 3"]
    cavity: Float[np.ndarray, " 3"]
    seam: Float[np.ndarray, ""]
    cover: Float[np.ndarray, "h w"]
    background: Float[np.ndarray, "h w 3"]
    shares: Float[np.ndarray, "r 3"]
    sway: Float[np.ndarray, " r"]


def make(
    image: UInt8[np.ndarray, "s s 3"],
    points: Float[np.ndarray, "478 3"],
    canonical: Float[np.ndarray, "478 3"],
) -> PortraitLayers:
    """Take a portrait apart.

    Args:
      image: a square that shows the head.
      points: its landmarks in [-1, 1], z in the same scale.
    """
    points = lip_snap.snap(image, points.astype(np.float64))
    vertices = np.concatenate([even_depth(points), rings(points), border()])
    fit = face_basis.align(points[None], canonical)
    head, origin = (x[0] for x in face_basis.heads(fit))
    closed = closing(points)
    at_rest = face_basis.align((points + closed)[None], canonical).points[0]
    anchor = at_rest[[13, 14]].mean(0)
    pixels = image.astype(np.float32) / 255
    skin = pixels
    if bared := opening(points) > OPEN:
        skin = cover_teeth(image, to_pixels(points, len(image))).astype(np.float32) / 255
    cover = person_mask.find(image, to_pixels(points, len(image)))
    triangles = [locate(vertices[:, :2], left_out) for left_out in (topology.NOT_UPPER, topology.NOT_LOWER)]
    floats = (np.asarray(x, np.float32) for x in (vertices, closed))
    cavity = cavity_colour(pixels, points)
    others = (np.asarray(x, np.float32) for x in (head, origin, anchor, cavity, float(bared)))
    layer = matte.whole(skin) if cover is None else matte.separate(skin, cover)
    share, sway = shares(vertices, cover)
    return PortraitLayers(
        denser(layer.person),
        denser(pixels),
        *floats,
        *triangles,
        *others,
        cover=denser(layer.cover),
        background=layer.background,
        shares=share.astype(np.float32),
        sway=sway.astype(np.float32),
    )


def shapes(side: int) -> PortraitLayers:
    """Return what `make` gives for a square of `side` px, as arrays that say no more than shape and type."""
    floats = lambda *sizes: np.broadcast_to(np.float32(0), sizes)
    dense, triangles = (2 * side - 1,) * 2, np.broadcast_to(np.int32(0), (GRID, GRID, 3))
    around = len(topology.RING_SCALES) * len(topology.FACE_OVAL) + len(border())
    return PortraitLayers(
        skin=floats(*dense, 3),
        image=floats(*dense, 3),
        vertices=floats(topology.POINTS + around, 3),
        closed=floats(topology.POINTS, 3),
        upper=triangles,
        lower=triangles,
        head=floats(3, 3),
        origin=floats(3),
        anchor=floats(3),
        cavity=floats(3),
        seam=floats(),
        cover=floats(*dense),
        background=floats(side, side, 3),
        shares=floats(around, 3),
        sway=floats(around),
    )


def denser(pixels: Float[np.ndarray, "s s *c"]) -> Float[np.ndarray, "d d *c"]:
    """Put a pixel between each two (d = 2 s - 1): read bilinearly between these, an image stays sharp.

    Pixels that were there stay as they are, so that a face at rest is the image itself.
    """
    s = len(pixels)
    between = np.array([[0.5, 0, 0], [0, 0.5, 0]])
    options = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
    made = cv2.warpAffine(
        pixels, between, (2 * s - 1, 2 * s - 1), flags=options, borderMode=cv2.BORDER_REPLICATE
    )
    return made.clip(0, 1)


def eye_distance(points: Float[np.ndarray, "n 3"]) -> float:
    """Return the distance of the outer eye corners, depth included."""
    left, right = topology.EYE_CORNERS
    return float(np.linalg.norm(points[left] - points[right]))


def opening(points: Float[np.ndarray, "n 3"]) -> float:
    """Return the distance of the inner lips, eye distances."""
    return float(np.linalg.norm(points[14] - points[13]) / eye_distance(points))


def to_pixels(points: Float[np.ndarray, "*n d"], size: int) -> Float[np.ndarray, "*n d"]:
    """Bring places in [-1, 1] to pixel indices, the first pixel's centre at 0."""
    return (points + 1) / 2 * (size - 1)


def rings(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "m 3"]:
    """Return points around the face: its oval, enlarged, more so where hair is; as deep as the ears."""
    oval = points[list(topology.FACE_OVAL)]
    centre = oval[:, :2].mean(0)
    axis = points[topology.FOREHEAD, :2] - points[topology.CHIN, :2]
    length = np.linalg.norm(axis)
    offset = oval[:, :2] - centre
    above = np.clip(offset @ (axis / length) / length * 2, 0, 1)
    depth = np.full((len(oval), 1), np.percentile(points[:, 2], 90))
    scaled = [centre + (1 + (s - 1) * (1 + 0.5 * above))[:, None] * offset for s in topology.RING_SCALES]
    return np.concatenate([np.concatenate([xy, depth], 1) for xy in scaled])


def shares(
    vertices: Float[np.ndarray, "n 3"], cover: Float[np.ndarray, "h w"] | None
) -> tuple[Float[np.ndarray, "r 3"], Float[np.ndarray, " r"]]:
    """Return how much of the head's motion along x, y, z, and of the neck's to a side, each point takes.

    Where the background is not moved along, hair is rigid to its silhouette, and only neck and collar give;
    shoulders follow to the side. At the image's edge the person may slide along, but what lies outside is
    not drawn in.

    Args:
      cover: of the person in each pixel, where that is known.
    """
    around = vertices[topology.POINTS :]
    rings, oval = len(topology.RING_SCALES), len(topology.FACE_OVAL)
    still = np.zeros((len(around), 3))
    still[: rings * oval] = np.repeat(topology.RING_SHARES, oval)[:, None]
    if cover is None:
        return still, np.zeros(len(still))
    axis = vertices[topology.FOREHEAD, :2] - vertices[topology.CHIN, :2]
    middle = vertices[list(topology.FACE_OVAL), :2].mean(0)
    low, high = HAIR
    above = np.clip(((around[:, :2] - middle) @ axis / (axis @ axis) * 2 - low) / (high - low), 0, 1)
    taken = still + (above**2 * (3 - 2 * above))[:, None] * (1 - still)
    near = cv2.dilate(cover, _disc(NEAR * len(cover)))
    x, y = np.clip(np.round(to_pixels(around[:, :2], len(cover))).astype(int), 0, len(cover) - 1).T
    edge = (np.abs(around[:, :2]) > 1) & (near[y, x] > 0.1)[:, None]
    edge[: rings * oval] = False
    taken[:, :2][edge] = 0
    return taken, SWAY * (1 - taken[:, 0]) * ~edge[:, 0]


def even_depth(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Bring points nearer to the viewer where the face falls away more steeply than STEEPEST."""
    apart = np.linalg.norm(points[:, None, :2] - points[None, :, :2], axis=-1)
    depth = (points[None, :, 2] + STEEPEST * apart).min(1)
    return np.concatenate([points[:, :2], depth[:, None]], 1)


def border() -> Float[np.ndarray, "m 3"]:
    """Return points just outside of the image, which never move."""
    along = np.linspace(-1.02, 1.02, topology.BORDER)
    ends = along[[0, -1]]
    places = [(x, y, 0.0) for x in along for y in ends] + [(x, y, 0.0) for y in along[1:-1] for x in ends]
    return np.array(places)


def locate(vertices: Float[np.ndarray, "n 2"], left_out: frozenset[int]) -> Int[np.ndarray, "g g 3"]:
    """Return the vertices of the triangle in which each node of a grid over the image lies."""
    kept = np.array([i for i in range(len(vertices)) if i not in left_out])
    mesh = spatial.Delaunay(vertices[kept])
    along = np.linspace(-1, 1, GRID)
    nodes = np.stack(np.meshgrid(along, along), -1).reshape(-1, 2)
    # A small LAPACK call a triangle: on a busy machine each would wait for BLAS's other threads, 8 s in all.
    with threadpoolctl.threadpool_limits(1, "blas"):
        inside = mesh.find_simplex(nodes)
    if (inside < 0).any():
        raise ValueError("the mesh does not cover the image")
    return kept[mesh.simplices[inside]].reshape(GRID, GRID, 3).astype(np.int32)


def closing(points: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "478 3"]:
    """Return how an open mouth's points move to shut it.

    The rims meet a third of the way down, the chin follows the lower lip, and the corners of a bared smile
    come together with the skin around them.
    """
    unit = eye_distance(points)
    moves = np.zeros((topology.POINTS, 3))
    upper, lower = (points[list(row)] for row in (topology.UPPER_INNER_LIP, topology.LOWER_INNER_LIP))
    gap = lower - upper
    allowed = REST_GAP * unit * np.sin(np.linspace(0, np.pi, len(gap)))
    part = np.clip(1 - allowed / np.maximum(np.linalg.norm(gap, axis=1), 1e-6), 0, 1)
    if wide := opening(points) > OPEN:
        part[:] = 1
        moves += _relax_corners(points, unit)
    rows = zip(
        topology.UPPER_INNER_LIP, topology.LOWER_INNER_LIP, topology.UPPER_OUTER_LIP,
        topology.LOWER_OUTER_LIP, strict=True,
    )  # fmt: skip
    for i, (inner_up, inner_low, outer_up, outer_low) in enumerate(rows):
        if 0 < i < len(gap) - 1:
            down, up = UPPER_SHARE * part[i] * gap[i], (UPPER_SHARE - 1) * part[i] * gap[i]
            moves[inner_up] += down
            moves[inner_low] += up
            moves[outer_up] += 0.75 * down
            moves[outer_low] += 0.85 * up
    _carry_bodies(points, moves)
    if wide:
        middle = len(gap) // 2
        chin = CHIN_SHARE * (UPPER_SHARE - 1) * _under_lip(points, unit) * gap[middle]
        lips = [*topology.UPPER_INNER_LIP, *topology.LOWER_INNER_LIP, *topology.UPPER_OUTER_LIP]
        chin[[*lips, *topology.LOWER_OUTER_LIP, *topology.UPPER_LIP_BODY, *topology.LOWER_LIP_BODY]] = 0
        moves += chin
    return moves


def _relax_corners(points, unit):
    """Corners of a smile come together; the skin around follows."""
    left, right = points[61], points[291]
    width = np.linalg.norm(right - left)
    excess = max(0.0, width / unit - REST_WIDTH) / (width / unit) * 0.8
    down = points[topology.CHIN] - points[topology.FOREHEAD]
    down = down / np.linalg.norm(down)
    moves = np.zeros((topology.POINTS, 3))
    for corner in (left, right):
        way = excess * ((left + right) / 2 - corner) + down * 0.1 * excess * unit
        square = ((points[:, :2] - corner[:2]) ** 2).sum(1)
        moves += np.exp(-square / (2 * (0.22 * unit) ** 2))[:, None] * way
    return moves


def _carry_bodies(points, moves):
    """The rows between the rims of a lip move as the rims beside them do."""
    pairs = (
        (topology.UPPER_LIP_BODY, topology.UPPER_INNER_LIP, topology.UPPER_OUTER_LIP),
        (topology.LOWER_LIP_BODY, topology.LOWER_INNER_LIP, topology.LOWER_OUTER_LIP),
    )
    for body, inner, outer in pairs:
        rims = points[list(inner[1:-1] + outer[1:-1]), :2]
        known = moves[list(inner[1:-1] + outer[1:-1])]
        for index in body:
            distance = np.linalg.norm(rims - points[index, :2], axis=1)
            weight = 1 / (distance + 1e-4) ** 2
            moves[index] = (weight[:, None] * known).sum(0) / weight.sum()


def _under_lip(points, unit):
    """Share in the lower lip's movement: the chin and the skin below the lip, none at the corners' height.

    A step there would carry skin over what lies beside it and stays.
    """
    lip, corners = points[topology.UNDER_LIP], (points[61, 1] + points[291, 1]) / 2
    square = ((points[:, :2] - lip[:2]) ** 2).sum(1)
    below = np.clip((points[:, 1] - corners) / max(lip[1] - corners, 0.02 * unit), 0, 1)
    return (np.exp(-square / (2 * (0.3 * unit) ** 2)) * below * below * (3 - 2 * below))[:, None]


def cavity_colour(pixels: Float[np.ndarray, "h w 3"], points: Float[np.ndarray, "478 3"]) -> np.ndarray:
    """Return the colour of a mouth's dark inside, as bright as the cheek's light makes it."""
    x, y = np.clip(np.round(to_pixels(points[50, :2], len(pixels))).astype(int), 2, len(pixels) - 3)
    cheek = pixels[y - 2 : y + 3, x - 2 : x + 3].mean()
    return np.array([0.20, 0.07, 0.06]) * np.clip(cheek * 1.02 + 0.06, 0.25, 0.98)


def cover_teeth(
    image: UInt8[np.ndarray, "s s 3"], points: Float[np.ndarray, "478 3"]
) -> UInt8[np.ndarray, "s s 3"]:
    """Paint the lips' colour over what shows between them.

    Teeth are what lies between the inner rims, and what is less red than the lips beside them.

    Args:
      points: px.
    """
    unit = eye_distance(points)
    rows = (
        topology.UPPER_OUTER_LIP,
        topology.LOWER_OUTER_LIP,
        topology.UPPER_INNER_LIP,
        topology.LOWER_INNER_LIP,
    )
    outer_up, outer_low, inner_up, inner_low = (points[list(row), :2] for row in rows)
    lips = polygon(np.concatenate([outer_up, outer_low[::-1]]), image.shape)
    inside = polygon(np.concatenate([inner_up, inner_low[::-1]]), image.shape)
    if not inside.any() or not (lips & ~inside).any():
        return image
    red = np.zeros(inside.shape)
    red[lips | inside] = redness(image[lips | inside]).round()  # in whole levels, as thresholds were chosen
    threshold = (np.median(red[inside]) + np.percentile(red[lips & ~inside], 60)) / 2
    near = cv2.dilate(inside.astype(np.uint8), _disc(0.05 * unit)) > 0
    teeth = inside | (near & lips & (red < threshold))
    teeth = cv2.morphologyEx(teeth.astype(np.uint8), cv2.MORPH_CLOSE, _disc(0.02 * unit))
    hole = cv2.dilate(teeth, _disc(0.02 * unit)) > 0
    filled = cv2.inpaint(image, hole.astype(np.uint8), max(3, round(0.05 * unit)), cv2.INPAINT_TELEA)
    lip = lips & ~hole & (red >= threshold)
    colour = np.median(image[lip], 0) if lip.sum() > 20 else image[lips].mean(0) * [1, 0.7, 0.7]
    light = cv2.GaussianBlur(filled.mean(-1), (0, 0), 0.025 * unit)[..., None]
    light = np.clip(light / max(float(light[lips].mean()), 1.0), 0.85, 1.1)
    share = (
        0.85 * cv2.GaussianBlur((hole & lips).astype(np.float32), (0, 0), max(0.5, 0.008 * unit))[..., None]
    )
    return np.clip(filled * (1 - share) + share * colour * light * 0.97, 0, 255).astype(np.uint8)


def redness(pixels: UInt8[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Return a* of CIE L*a*b* (D65) of sRGB pixels; OpenCV's would first make tables, for 0.1 s."""
    value = np.arange(256) / 255
    linear = np.where(value > 0.04045, ((value + 0.055) / 1.055) ** 2.4, value / 12.92)[pixels]
    ratio = linear @ np.array([[0.433953, 0.212671], [0.376219, 0.715160], [0.189828, 0.072169]])
    x, y = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116).T
    return 500 * (x - y)


def polygon(corners: Float[np.ndarray, "n 2"], shape: tuple[int, ...]) -> np.ndarray:
    """Return the pixels inside a polygon of px."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(corners * 16).astype(np.int32)], 1, shift=4)
    return mask > 0


def _disc(radius):
    side = 2 * max(1, round(radius)) + 1
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
