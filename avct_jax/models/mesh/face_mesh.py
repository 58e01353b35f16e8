"""The mesh of a portrait and how it is drawn: keypoint detector, dense motion and renderer of the default.

A face is 478 landmarks, rings of hair and neck around it, and the image's edge. Speech, lids, gaze and pose
move these vertices; the portrait's own pixels are warped along, at any resolution. What it does not show is
laid beneath: eyeballs that stay while lids pass over them, and the inside of the mouth (mouth_painter.py).
Equation 3 of Wang et al. (AAAI 2022) holds: motion since rest is added to the portrait's own. Places
are in [-1, 1] of the image, depth in the same scale.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from avct_jax import face_topology as topology
from avct_jax.layers import barrier
from avct_jax.layers.convolution import box
from avct_jax.layers.geometry import grid, inverse, mesh_warp
from avct_jax.models.mesh import expression, eyeballs, surroundings

MOUTH_BOX, EYE_BOX = (0.44, 0.56), (0.2, 0.3)  # height and width of parts of the image, share of its side
EDGE = 0.7  # px, half of the width over which lips and lids are blended
LIP_REST = 0.022  # of eye distances: how far apart lips that touch are by their landmarks
SEAM, SEAM_SHARE = 0.010, 0.5  # half height in eye distances, and darkness, of the line where drawn lips meet

FaceExpression = expression.FaceExpression  # a field below bears the module's name, which would hide it


class Field(NamedTuple):
    """Where the nodes of a grid over the portrait lie in its triangles."""

    triangles: Int[Array, "g g 3"]
    weights: Float[Array, "g g 3"]


class MeshPortrait(NamedTuple):
    """A portrait that can be moved; data/portrait/portrait_layers.py makes it.

    Attributes:
      skin: RGB in [0, 1], bared teeth covered with lip.
      image: as it is.
      vertices: x, y, z.
      closed: how they move to bring the mouth to rest.
      head: canonical displacements (eye distances) to the image's.
      anchor: of the mouth at rest, in the canonical frame.
      origin: the image's place of the canonical frame's origin.
      cavity: colour of a mouth's inside.
      seam: 1 where lips must be drawn to meet, for the portrait shows teeth; 0.
      cover: how far the person, not what is behind, is seen; colours of skin go on beyond it.
      background: what is behind, the person's place filled.
      shares: of the head's motion along x, y, z that each point of the rings and of the image's edge takes.
      sway: of the neck's way to a side.
      irises: x, y and radius of the image's left and right one, where eyes may look anywhere: their balls are
        whole in `image` then (data/portrait/eyeballs.py); None: they hardly move.
    """

    skin: Float[Array, "h w 3"]
    image: Float[Array, "h w 3"]
    vertices: Float[Array, "n 3"]
    closed: Float[Array, "478 3"]
    upper: Field
    lower: Field
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


class Controls(NamedTuple):
    """What moves a face in each of b frames, arrays of JAX or numpy.

    Attributes:
      speech: coefficients of the face basis, standard deviations.
      blink: of the image's left and right eye, 0 as open as in the portrait, 1 shut.
      gaze: right and down, eye distances.
      rotation: of the head against the portrait's, rotation vector, rad.
      shift: of the head, eye distances.
      brow: how far brows are raised, eye distances.
      expression: that is added to speech; None: none.
    """

    speech: Float[Any, "b k"]
    blink: Float[Any, "b 2"]
    gaze: Float[Any, "b 2"]
    rotation: Float[Any, "b 3"]
    shift: Float[Any, "b 3"]
    brow: Float[Any, " b"]
    expression: FaceExpression | None = None


class Moved(NamedTuple):
    """A mesh in b frames.

    Attributes:
      vertices: x, y, z.
      head, origin: as the portrait's, of each frame's head.
      gaze: shift of the eyeballs.
    """

    vertices: Float[Array, "b n 3"]
    head: Float[Array, "b 3 3"]
    origin: Float[Array, "b 3"]
    gaze: Float[Array, "b 2"]


def move(
    portrait: MeshPortrait,
    components: Float[Array, "k 478 3"],
    scales: Float[Array, " k"],
    controls: Controls,
) -> Moved:
    """Move the portrait's vertices: mouth to rest, speech, brows, lids, then the head as a whole.

    Args:
      components, scales: of the face basis.
    """
    spoken = jnp.einsum("bk,k,knd->bnd", controls.speech, scales, components)
    rest = portrait.vertices[: topology.POINTS] + portrait.closed
    face = rest[None] + spoken @ portrait.head.T
    if controls.expression is not None:
        face = expression.express(face, controls.expression, portrait.head)
    face = expression.raise_brows(face, -controls.brow[:, None] * portrait.head[None, :, 1])
    face = expression.blink(face, controls.blink)
    around = _around(portrait.vertices, face)
    turn = rotation_matrix(controls.rotation)
    unit = jnp.linalg.norm(portrait.head[:, 0])
    shift = controls.shift * unit
    pivot = portrait.origin + portrait.head @ jnp.asarray(topology.NECK)
    pivot = pivot[None, None]
    swing = lambda x: jnp.einsum("bij,bnj->bni", turn, x - pivot) + pivot + shift[:, None]
    origin = swing(jnp.broadcast_to(portrait.origin, (len(face), 1, 3)))[:, 0]
    head = jnp.einsum("bij,jk->bik", turn, portrait.head)
    carried = _carry_around(portrait, around, swing(face), head, origin)
    return Moved(jnp.concatenate([swing(face), carried], 1), head, origin, controls.gaze * unit)


def _carry_around(portrait, around, face, head, origin):
    rest = surroundings.Rest(*(getattr(portrait, name) for name in surroundings.Rest._fields))
    return surroundings.carry(rest, around, face, head, origin)


def _around(vertices, face):
    """Rings around the oval follow the jaw; then the image's edge."""
    oval = jnp.asarray(topology.FACE_OVAL)
    own = face[:, oval] - vertices[oval][None]
    rings = vertices[topology.POINTS : surroundings.RING_END].reshape(len(topology.RING_SCALES), -1, 3)
    shares = jnp.asarray(topology.JAW_SHARES)[None, :, None, None]
    rings = (rings[None] + shares * own[:, None]).reshape(len(face), -1, 3)
    edge = jnp.broadcast_to(vertices[surroundings.RING_END :], (len(face), 4 * (topology.BORDER - 1), 3))
    return jnp.concatenate([rings, edge], 1)


def rotation_matrix(vector: Float[Array, "b 3"]) -> Float[Array, "b 3 3"]:
    """Rodrigues' formula; smooth at 0."""
    square = (vector**2).sum(-1)[:, None, None]
    angle = jnp.sqrt(square + 1e-12)
    zero = jnp.zeros_like(vector[:, 0])
    x, y, z = vector.T
    cross = jnp.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    return jnp.eye(3)[None] + jnp.sin(angle) / angle * cross + (1 - jnp.cos(angle)) / angle**2 * cross @ cross


def follow(
    portrait: MeshPortrait,
    points: Float[Array, "b 478 3"],
    head: Float[Array, "b 3 3"],
    origin: Float[Array, "b 3"],
) -> Moved:
    """Move the portrait's vertices to another video's landmarks, as they are: FOMM's absolute motion.

    Args:
      points: of the same person in the same square.
      head, origin: canonical frame to image, of each frame.
    """
    back = inverse.inverse(portrait.head)
    carried = (
        jnp.einsum("bij,jk,nk->bni", head, back, portrait.vertices - portrait.origin[None]) + origin[:, None]
    )
    rest = portrait.vertices[None, topology.POINTS :]
    around = jnp.broadcast_to(rest, (len(points), *rest.shape[1:]))
    around = _carry_around(portrait, around, points, head, origin)
    eyes = [_iris(points, side) - _iris(carried, side) for side in (0, 1)]
    return Moved(jnp.concatenate([points, around], 1), head, origin, (eyes[0] + eyes[1]) / 2)


def _iris(points, side):
    """An iris' centre against the corners of its eye."""
    upper, _ = topology.APERTURES[1 + side]
    centre = (topology.LEFT_IRIS, topology.RIGHT_IRIS)[side][0]
    return (points[:, centre] - (points[:, upper[0]] + points[:, upper[-1]]) / 2)[:, :2]


class Drawing(NamedTuple):
    """Frames without the inside of the mouth, and the mouth's opening.

    Attributes:
      frame: RGB in [0, 1], the mouth's inside filled with `cavity`.
      mouth: of the target's inner lips.
    """

    frame: Float[Array, "b h w 3"]
    mouth: mesh_warp.Opening


def frame_side(portrait: MeshPortrait) -> int:
    """Return the side of the frames drawn of a portrait, px; its images have pixels between these."""
    return (portrait.skin.shape[0] + 1) // 2


def draw(portrait: MeshPortrait, moved: Moved) -> Drawing:
    """Warp the person to moved vertices, skin, eyeballs and a dark mouth, before the background at rest."""
    size = frame_side(portrait)
    steps = moved.vertices[..., :2] - portrait.vertices[None, :, :2]
    upper, lower = places(portrait, moved)
    along = jnp.linspace(-1, 1, size)
    place = mesh_warp.enlarge(upper, along, along)
    frame, cover = _sample_each(portrait, place)
    row = lambda indices: moved.vertices[:, jnp.asarray(indices), :2]
    openings = [mesh_warp.opening_of(row(a), row(b)) for a, b in topology.APERTURES]
    eyes = topology.APERTURES[1:]
    shifts = [_eyeball_shift(steps, rows) for rows in eyes]
    if portrait.irises is None:
        shifts, irises = [shift + moved.gaze for shift in shifts], None
    else:
        ends = [portrait.vertices[jnp.asarray((upper[0], upper[-1])), :2] for upper, _ in eyes]
        irises = jnp.stack(ends), portrait.irises
    parts = [_box(portrait, rows, EYE_BOX) for rows in eyes]
    corners = [(part.top, part.left) for part in parts]  # a loop, below: one program for both eyes
    given = jax.tree.map(lambda *x: jnp.stack(x), *zip(openings[1:], shifts, corners, strict=True))

    def draw_eye(frame, eye):
        (opening, shift, corner), iris = eye
        part = parts[0]._replace(top=corner[0], left=corner[1])
        look = functools.partial(eyeballs.look_back, eye=iris, gaze=moved.gaze)
        return _draw_eye(frame, portrait, (upper, lower), opening, shift, part, look), None

    frame, _ = jax.lax.scan(draw_eye, frame, (given, irises))
    frame = _draw_mouth(frame, portrait, (upper, lower), openings[0])
    back = portrait.background[None]
    return Drawing(back + cover * (frame - back), openings[0])


def places(portrait: MeshPortrait, moved: Moved) -> tuple[Float[Array, "b g g 2"], Float[Array, "b g g 2"]]:
    """Return where the nodes of a grid over moved frames lie in the portrait: upper field, lower field."""
    steps = moved.vertices[..., :2] - portrait.vertices[None, :, :2]
    nodes = jnp.asarray(grid.coordinate_grid(*portrait.upper.triangles.shape[:2]))[None]
    guess = head_at_rest(portrait, moved, nodes)
    moved_nodes = (
        mesh_warp.displacement(steps, f.triangles, f.weights) for f in (portrait.upper, portrait.lower)
    )
    both = jnp.concatenate(list(moved_nodes))  # one program for two halves of the face
    found = mesh_warp.invert(both, nodes, jnp.concatenate([guess, guess]), known=both)
    upper, lower = jnp.split(found, 2)
    return upper, lower


def head_at_rest(portrait, moved, places):
    """Where places of the target lie in the portrait if the head moves as one piece, seen from the front."""
    back = jnp.einsum("ij,bjk->bik", portrait.head[:2, :2], inverse.inverse(moved.head[:, :2, :2]))
    offset = places - moved.origin[:, None, None, :2]
    turned = jnp.einsum("bij,bhwj->bhwi", back, jnp.broadcast_to(offset, (len(back), *offset.shape[1:])))
    return turned + portrait.origin[None, None, None, :2]


def sample(image, place):
    """Read one image at the places of b frames."""
    b, h, w, _ = place.shape
    flat = grid.grid_sample(
        image[None], place.reshape(1, b * h, w, 2), align_corners=True, padding_mode="border"
    )
    return flat.reshape(b, h, w, -1)


def _sample_each(portrait, place):
    """Skin and cover of whole frames, one after the other: two frames are more than a CPU's cache holds."""
    # Three channels of cover: XLA's CPU code gathers one, or four that are split again, many times slower.
    cover = jnp.repeat(portrait.cover[..., None], 3, -1)
    read = lambda one: (sample(portrait.skin, one[None])[0], sample(cover, one[None])[0])
    return jax.lax.map(read, place)


def _eyeball_shift(steps, rows):
    """Eyeballs move with the head, as the corners of the eye do."""
    upper, _ = rows
    return (steps[:, upper[0]] + steps[:, upper[-1]]) / 2


def mouth_box(portrait: MeshPortrait) -> box.Box:
    """Return the part of the image that holds the mouth."""
    return _box(portrait, topology.APERTURES[0], MOUTH_BOX)


def _box(portrait: MeshPortrait, rows, share) -> box.Box:
    """The part of the image around an opening of the portrait."""
    size = frame_side(portrait)
    height, width = (min(size, round(s * size)) for s in share)
    upper, lower = rows
    centre = portrait.vertices[jnp.asarray((*upper, *lower)), :2].mean(0)
    return box.box_around(centre, height, width, size)


def _two_sided(portrait, fields, part, side):
    """Skin around an opening: from the upper field above its middle, from the lower one below.

    Args:
      side: 1 above, 0 below, blended over the edge.
    """
    upper, lower = (mesh_warp.enlarge(f, *part.axes(frame_side(portrait))) for f in fields)
    return two_sided(portrait, upper, lower, barrier.once(side)[..., None])


def two_sided(
    portrait: MeshPortrait,
    upper: Float[Array, "b h w 2"],
    lower: Float[Array, "b h w 2"],
    side: Float[Array, "b h w 1"],
) -> Float[Array, "b h w 3"]:
    """Read the skin where `upper` says, and where `lower` says, and blend them: 1 is the upper."""
    skin = sample(portrait.skin, jnp.concatenate([upper, lower]))
    above, below = jnp.split(skin, 2)
    return side * above + (1 - side) * below


def lip_edge(distance, opening, size):
    """0 to 1 across a line, over EDGE px on both sides.

    Args:
      distance: below the line, in units of the opening's width.
    """
    pixels = distance * opening.width[:, None, None] * ((size - 1) / 2)
    return jnp.clip(0.5 + pixels / (2 * EDGE), 0, 1)


def _draw_eye(frame, portrait, fields, opening, shift, part, look):
    size = frame_side(portrait)
    places = jnp.broadcast_to(part.places(size)[None], (len(frame), part.height, part.width, 2))
    u, v, top, bottom = opening.curves(places)
    between = (u > 0) & (u < 1)
    inside = between * lip_edge(v - top, opening, size) * lip_edge(bottom - v, opening, size)
    skin = _two_sided(portrait, fields, part, lip_edge((top + bottom) / 2 - v, opening, size))
    inside = barrier.once(inside)
    ball = sample(portrait.image, look(places - shift[:, None, None]))
    eye = skin + inside[..., None] * (ball - skin)
    soft = part.window()[None]
    return part.paste(frame, barrier.once(soft * eye + (1 - soft) * part.cut(frame)))


def mouth_inside(
    portrait: MeshPortrait,
    mouth: mesh_warp.Opening,
    places: Float[Array, "b h w 2"],
    *,
    size: Any,
    curves: tuple[Float[Array, "b h w"], ...] | None = None,
) -> tuple[Float[Array, "b h w"], Float[Array, "b h w"], Float[Array, "b h w"]]:
    """Return how far each place lies inside the lips (0 to 1), and below the upper and above the lower lip.

    Args:
      size: pixels along [-1, 1], a number or scalar array: the edge is blended over EDGE of them.
      curves: of the mouth at these places, where they are known.

    Returns:
      Also distances in eye distances.
    """
    u, v, top, bottom = curves or mouth.curves(places)
    unit = jnp.linalg.norm(portrait.head[:, 0])
    scale = mouth.width[:, None, None] / unit
    # Lips that touch have some distance by their landmarks.
    rest = LIP_REST * jnp.sin(jnp.pi * jnp.clip(u, 0, 1)) / scale
    cut = jnp.minimum(rest, jnp.maximum(bottom - top, 0)) / 2
    below, above = v - top - cut, bottom - cut - v
    between = (u > 0) & (u < 1)
    inside = between * lip_edge(below, mouth, size) * lip_edge(above, mouth, size)
    # A slit thinner than the edge is not there.
    opened = jnp.clip((bottom - top - 2 * cut) * scale / 0.012, 0, 1)
    line = (v - (top + bottom) / 2) * scale / SEAM
    seam = portrait.seam * between * SEAM_SHARE * jnp.exp(-(line**2)) * jnp.sin(jnp.pi * jnp.clip(u, 0, 1))
    return jnp.maximum(inside * opened, seam), below * scale, above * scale


def _draw_mouth(frame, portrait, fields, opening):
    size = frame_side(portrait)
    part = mouth_box(portrait)
    places = jnp.broadcast_to(part.places(size)[None], (len(frame), part.height, part.width, 2))
    curves = opening.curves(places)
    _, v, top, bottom = curves
    skin = _two_sided(portrait, fields, part, lip_edge((top + bottom) / 2 - v, opening, size))
    inside, _, _ = mouth_inside(portrait, opening, places, size=size, curves=curves)
    inside = barrier.once(inside)
    mouth = skin + inside[..., None] * (portrait.cavity[None, None, None] - skin)
    soft = part.window()[None]
    return part.paste(frame, barrier.once(soft * mouth + (1 - soft) * part.cut(frame)))
