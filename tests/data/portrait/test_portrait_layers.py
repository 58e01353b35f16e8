"""A portrait taken apart: mouths shut, teeth covered, every pixel in a triangle."""

import itertools

import numpy as np
import pytest
from skimage import color

from avct_jax import face_topology as topology
from avct_jax.data.faces import face_basis
from avct_jax.data.portrait import portrait_layers
from tests import portraits

SIZE = 256


@pytest.fixture(scope="module")
def astronaut():
    """Her image, and her landmarks in [-1, 1]."""
    return portraits.astronaut(SIZE)


def shut(points):
    """The same face with lips that touch."""
    return points + portrait_layers.closing(points)


def test_closing_shuts_a_smile_and_brings_its_corners_in(astronaut):
    _, points = astronaut
    unit = portrait_layers.eye_distance(points)
    after = shut(points)
    assert portrait_layers.opening(points) > portrait_layers.OPEN > 0.03 > portrait_layers.opening(after)
    width = lambda p: np.linalg.norm(p[291] - p[61]) / unit
    assert width(after) < width(points) - 0.02
    still = [*topology.LEFT_UPPER_LID, *topology.RIGHT_UPPER_LID, topology.FOREHEAD]
    assert np.abs(after - points)[still].max() < 0.01 * unit


def test_skin_below_a_closing_mouth_passes_nothing_beside_it(astronaut):
    """What is carried along fades so slowly that no two points below her lips change places."""
    points = astronaut[1]
    unit = portrait_layers.eye_distance(points)
    moves = portrait_layers.closing(points)
    lips = {*topology.UPPER_OUTER_LIP, *topology.LOWER_OUTER_LIP, *topology.UPPER_INNER_LIP}
    lips |= {*topology.LOWER_INNER_LIP, *topology.UPPER_LIP_BODY, *topology.LOWER_LIP_BODY}
    below = [i for i in range(topology.POINTS) if points[i, 1] > points[61, 1] and i not in lips]
    share = portrait_layers._under_lip(points, unit)[below, 0]
    apart = np.linalg.norm(points[below][:, None, :2] - points[below][None, :, :2], axis=-1) / unit
    steep = np.abs(share[:, None] - share[None]) / np.maximum(apart, 1e-6)
    np.fill_diagonal(steep, 0)
    assert steep.max() < 10 and np.abs(moves[below]).max() > 0.01 * unit


def test_depth_is_nowhere_steeper_than_a_turn_bears(astronaut):
    points = astronaut[1].copy()
    points[topology.FACE_OVAL[8], 2] += 1.0
    even = portrait_layers.even_depth(points)
    np.testing.assert_array_equal(even[:, :2], points[:, :2])
    assert (even[:, 2] <= points[:, 2] + 1e-9).all() and (even != points).any()
    apart = np.linalg.norm(points[:, None, :2] - points[None, :, :2], axis=-1)
    off = even[:, None, 2] - even[None, :, 2]
    assert (off <= portrait_layers.STEEPEST * apart + 1e-9).all()


def test_closing_leaves_a_shut_mouth_alone(astronaut):
    once = shut(shut(astronaut[1]))
    assert np.abs(portrait_layers.closing(once)).max() < 0.01 * portrait_layers.eye_distance(once)


def test_shapes_are_those_of_what_is_made(astronaut):
    image, points = astronaut
    made = portrait_layers.make(image, points, face_basis.embedded().canonical)
    told = portrait_layers.shapes(len(image))
    assert [(x.shape, x.dtype) for x in told] == [(np.shape(x), np.asarray(x).dtype) for x in made]


def test_teeth_are_covered_by_lip(astronaut):
    image, points = astronaut
    pixels = portrait_layers.to_pixels(points, SIZE)
    covered = portrait_layers.cover_teeth(image, pixels)
    row = [*topology.UPPER_INNER_LIP, *topology.LOWER_INNER_LIP[::-1]]
    inside = portrait_layers.polygon(pixels[row, :2], image.shape)
    redness = lambda x: (x[..., 0].astype(float) - x[..., 1])[inside].mean()
    assert redness(covered) > redness(image) + 15
    far = np.ones(image.shape[:2], bool)
    x, y = pixels[[61, 291, 0, 17], 0], pixels[[61, 291, 0, 17], 1]
    far[int(y.min()) - 3 : int(y.max()) + 4, int(x.min()) - 3 : int(x.max()) + 4] = False
    np.testing.assert_array_equal(covered[far], image[far])


def test_every_node_lies_in_a_triangle_without_the_other_side(astronaut):
    layers = portrait_layers.make(*astronaut, face_basis.embedded().canonical)
    assert layers.upper.shape == (portrait_layers.GRID, portrait_layers.GRID, 3)
    assert not set(np.unique(layers.upper)) & topology.NOT_UPPER
    assert not set(np.unique(layers.lower)) & topology.NOT_LOWER
    assert layers.seam == 1 and layers.skin.max() <= 1


def test_head_brings_the_canonical_face_to_the_image(astronaut):
    canonical = face_basis.embedded().canonical
    layers = portrait_layers.make(*astronaut, canonical)
    rigid = list(topology.RIGID)
    placed = canonical[rigid] @ layers.head.T + layers.origin
    unit = portrait_layers.eye_distance(astronaut[1])
    assert np.abs(placed - astronaut[1][rigid])[:, :2].max() < 0.12 * unit


def test_rings_lie_outside_of_the_oval_one_outside_the_other(astronaut):
    points = astronaut[1]
    rings = portrait_layers.rings(points).reshape(len(topology.RING_SCALES), -1, 3)[..., :2]
    oval = points[list(topology.FACE_OVAL), :2]
    away = [np.linalg.norm(ring - oval.mean(0), axis=1) for ring in (oval, *rings)]
    assert all((outer > inner).all() for inner, outer in itertools.pairwise(away))


def test_denser_images_keep_their_pixels_and_have_true_ones_between():
    y, x = np.mgrid[:33, :33] / 32
    wave = lambda x, y: 0.5 + 0.4 * np.sin(9 * x + 5 * y)
    pixels = np.repeat(wave(x, y)[..., None], 3, -1).astype(np.float32)
    made = portrait_layers.denser(pixels)
    assert made.shape == (65, 65, 3)
    np.testing.assert_array_equal(made[::2, ::2], pixels)
    fine = np.mgrid[:65, :65] / 64
    np.testing.assert_allclose(made[8:-8, 8:-8, 0], wave(fine[1], fine[0])[8:-8, 8:-8], atol=2e-3)


def test_redness_is_that_of_the_lab_colour_space():
    pixels = np.random.default_rng(0).integers(0, 256, (500, 3), np.uint8)
    np.testing.assert_allclose(portrait_layers.redness(pixels), color.rgb2lab(pixels)[:, 1], atol=0.01)
