"""A portrait's own teeth are told from tongue and lips, and seen where its lips part again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax import face_topology as topology
from avct_jax.data.faces import face_basis
from avct_jax.data.portrait import portrait_layers
from avct_jax.models.mesh import face_mesh, mouth_painter, mouth_patch, portrait_teeth
from avct_jax.train.mesh_stages import mouth_patches
from tests import quick

SIZE = 160
SKIN, LIP, TOOTH, TONGUE = (190, 140, 120), (160, 80, 85), (225, 215, 205), (170, 70, 80)
OPEN = 0.2  # eye distances that the lower lip is down


def points_of(drop):
    points = np.array(face_basis.embedded().canonical) * 0.8
    low = [*topology.LOWER_INNER_LIP[1:-1], *topology.LOWER_OUTER_LIP[1:-1]]
    points[low, 1] += drop * 0.8
    return points


def made_portrait(between=TOOTH, below=TONGUE, drop=OPEN):
    """A face of plain skin; between the lips teeth down to half of the opening, then tongue."""
    points = points_of(drop)
    image = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    place = lambda i: (points[i, :2] + 1) / 2 * (SIZE - 1)
    upper, lower = (np.array([place(i) for i in row]) for row in topology.APERTURES[0])
    left, right = upper[:, 0].min(), upper[:, 0].max()
    for x in range(int(left) - 5, int(right) + 6):
        top, bottom = (np.interp(x, row[:, 0], row[:, 1]) for row in (upper, lower))
        image[int(top) - 5 : int(bottom) + 6, x] = LIP
        if left < x < right and bottom > top + 1:
            rows = slice(int(np.ceil(top)), int(bottom) + 1)
            image[rows, x] = below
            image[int(np.ceil(top)) : int((top + bottom) / 2), x] = between
    layers = portrait_layers.make(image, points, face_basis.embedded().canonical)
    return mouth_patches.portrait_of(layers), image


find = jax.jit(portrait_teeth.find)


@pytest.fixture(scope="module")
def smiling():
    return made_portrait()[0]


def test_teeth_are_bright_pale_and_between_the_lips(smiling):
    teeth = find(smiling)
    h, w = mouth_patch.PATCH
    assert teeth.share.shape == (1, 2 * h, 2 * w, 1)
    share = np.asarray(teeth.share)[0, ..., 0]
    sure = share > 0.99
    assert sure.sum() > 100 and share.min() >= 0 and share.max() <= 1
    colour = np.asarray(teeth.colour)[0][sure] * 255
    np.testing.assert_allclose(colour.mean(0), TOOTH, atol=5)


@pytest.mark.parametrize(
    ("between", "below", "drop"),
    [(TONGUE, TONGUE, OPEN), ((30, 20, 20), (30, 20, 20), OPEN), (TOOTH, TOOTH, 0.0)],
    ids=["tongue", "dark", "shut"],
)
def test_mouths_without_teeth_give_none(between, below, drop):
    assert np.asarray(find(made_portrait(between, below, drop)[0]).share).max() < 0.05


def test_lower_teeth_are_left_to_the_jaw():
    portrait = made_portrait(TONGUE, TOOTH, 0.4)[0]
    assert np.asarray(find(portrait).share).mean() < 0.25 * np.asarray(find(made_portrait()[0]).share).mean()


def test_teeth_show_where_lips_are_apart():
    colour, share = jnp.full((1, 4, 4, 3), 0.45), jnp.full((1, 4, 4, 1), 0.5)
    painted = jnp.full((2, 3, 3, 3), 0.2)
    where = jnp.zeros((2, 3, 3, 2))
    gap = jnp.stack([jnp.zeros((3, 3)), jnp.ones((3, 3))])
    shown = portrait_teeth.lay(portrait_teeth.Teeth(colour, share), painted, where, gap)
    np.testing.assert_allclose(shown[0], 0.2, atol=1e-6)
    np.testing.assert_allclose(shown[1], 0.5 * 0.2 + 0.45, atol=1e-6)


def test_an_unmoved_portrait_keeps_its_teeth_in_the_frame(smiling):
    """Painted is a dark mouth; where the portrait has teeth, the frame has them."""

    @jax.jit
    def frame_of(portrait):
        points = portrait.vertices[None, : topology.POINTS]
        moved = face_mesh.follow(portrait, points, portrait.head[None], portrait.origin[None])
        drawing, patch = face_mesh.draw(portrait, moved), mouth_patch.draw_patch(portrait, moved)
        share = patch.inside[..., None] * mouth_painter.border()
        painting = mouth_painter.Painting(jnp.zeros_like(patch.skin), share)
        teeth = portrait_teeth.find(portrait)
        return mouth_painter.paint_frames(portrait, moved, drawing, patch, painting, teeth)[0]

    image = made_portrait()[1]
    tooth = (image == TOOTH).all(-1)
    columns = np.nonzero(tooth)[1]
    middle = tooth & (np.abs(np.arange(SIZE) - columns.mean())[None] < 5)
    for step in (-2, -1, 1, 2):  # away from lips and tongue
        middle &= np.roll(tooth, step, 0)
    assert middle.sum() > 5
    np.testing.assert_allclose(np.asarray(frame_of(smiling))[middle] * 255, image[middle], atol=15)


def test_teeth_have_finite_slopes(smiling):
    brightness = lambda image: portrait_teeth.find(smiling._replace(image=image)).colour.sum()
    slope = quick.jit(jax.grad(brightness))(smiling.image)
    assert np.isfinite(slope).all() and np.abs(slope).max() > 0
