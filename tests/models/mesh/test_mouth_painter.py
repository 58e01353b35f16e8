"""The mouth painter: small, owner of what lies between the lips, and pasted without a seam at any size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax import face_topology as topology
from avct_jax.data.faces import face_basis
from avct_jax.data.portrait import portrait_layers
from avct_jax.models.mesh import face_mesh, mouth_painter, mouth_patch, portrait_teeth
from avct_jax.train.mesh_stages import mouth_patches

SIZE = 96
NETWORK = mouth_painter.MouthPainter(mouth_painter.MouthPainterConfig(channels=(8, 12), canvas=3))


def made_portrait(size=SIZE):
    """The mean face in coloured noise; its mouth is shut."""
    canonical = face_basis.embedded().canonical
    pixels = np.random.default_rng(0).integers(60, 200, (size, size, 3)).astype(np.uint8)
    return mouth_patches.portrait_of(portrait_layers.make(pixels, canonical * 0.8, canonical))


def opened(portrait):
    """Two frames with the lower lip down; in the second one the head has moved."""
    points = portrait.vertices[None, : topology.POINTS].repeat(2, 0)
    low = jnp.asarray((*topology.LOWER_INNER_LIP[1:-1], *topology.LOWER_OUTER_LIP[1:-1]))
    points = points.at[:, low, 1].add(0.12)
    shift = jnp.array([[0.0, 0, 0], [0.06, -0.04, 0]])
    head = portrait.head[None].repeat(2, 0)
    return face_mesh.follow(portrait, points + shift[:, None], head, portrait.origin[None] + shift)


@jax.jit
def draw(portrait):
    moved = opened(portrait)
    return moved, mouth_patch.draw_patch(portrait, moved), mouth_painter.own_patch(portrait)


@jax.jit
def paint(portrait, painting, patch):
    """Frames before and after, and the mask of the mouth."""
    moved = opened(portrait)
    drawing = face_mesh.draw(portrait, moved)
    size, part = face_mesh.frame_side(portrait), face_mesh.mouth_box(portrait)
    places = jnp.broadcast_to(part.places(size)[None], (2, part.height, part.width, 2))
    inside, _, _ = face_mesh.mouth_inside(portrait, drawing.mouth, places, size=size)
    mask = part.paste(jnp.zeros((2, size, size, 1)), inside[..., None])
    teeth = portrait_teeth.find(portrait)
    frames = mouth_painter.paint_frames(portrait, moved, drawing, patch, painting, teeth)
    return drawing.frame, frames, mask


@pytest.fixture(scope="module")
def portrait():
    return made_portrait()


@pytest.fixture(scope="module")
def drawn(portrait):
    return draw(portrait)


@pytest.fixture(scope="module")
def variables(drawn):
    return jax.jit(NETWORK.init)(jax.random.key(0), *drawn[1:])


def test_default_size_is_within_what_a_frame_may_cost():
    plane = (1, *mouth_patch.PATCH)
    patch = mouth_patch.Patch(jnp.zeros((*plane, 3)), *3 * [jnp.zeros(plane)])
    own = mouth_painter.Own(jnp.zeros((*plane, 3)), jnp.zeros(plane))
    shapes = jax.eval_shape(mouth_painter.MouthPainter().init, jax.random.key(0), patch, own)
    assert set(shapes) == {"params"} and sum(x.size for x in jax.tree.leaves(shapes)) < 0.9e6
    assert mouth_painter.cost(mouth_painter.MouthPainterConfig()) < 0.5e9


def test_painting_begins_as_the_mouth_and_fades_to_the_patch_s_edge(drawn, variables):
    _, patch, own = drawn
    painting = jax.jit(NETWORK.apply)(variables, patch, own)
    inside, share = np.asarray(patch.inside), np.asarray(painting.share)[..., 0]
    middle = np.broadcast_to(np.asarray(mouth_painter.border())[..., 0] == 1, inside.shape)
    assert share[(inside > 0.99) & middle].min() > 0.95
    assert share[inside == 0].mean() < 0.05
    assert not share[:, [0, -1]].any() and not share[:, :, [0, -1]].any()
    colour = np.asarray(painting.colour)
    assert colour.dtype == np.float32 and colour.min() >= 0 and colour.max() <= 1


def test_skin_away_from_the_opening_is_never_painted(drawn, variables):
    _, patch, own = drawn
    # The logits of the share, of the network's last channels, are set to 9: all is painted that may be.
    bias = jnp.zeros(16).at[3::4].set(9 + mouth_painter.SHYNESS)
    params = variables["params"] | {"paint": variables["params"]["paint"] | {"bias": bias}}
    painting = jax.jit(NETWORK.apply)({"params": params}, patch, own)
    share, inside = np.asarray(painting.share)[..., 0], np.asarray(patch.inside)
    rows, columns = np.nonzero(inside[0] > 0.5)
    near, far = np.zeros_like(share[0], bool), np.ones_like(share[0], bool)
    middle = int(columns.mean())
    near[rows.max() + 1 : rows.max() + 3, middle - 3 : middle + 4] = True
    far[rows.min() - 16 : rows.max() + 17, columns.min() - 16 : columns.max() + 17] = False
    assert far.sum() > 200 and share[0][near].min() > 0.3 and not share[0][far].any()
    shut = jax.jit(NETWORK.apply)({"params": params}, patch._replace(inside=0 * patch.inside), own)
    assert not np.asarray(shut.share).any()


def test_what_a_warp_puts_between_the_lips_is_not_seen(drawn, variables):
    _, patch, own = drawn
    apply, hidden = jax.jit(NETWORK.apply), (patch.inside == 1)[..., None]
    other = patch._replace(skin=jnp.where(hidden, 0.9, patch.skin))
    assert hidden.any() and np.abs(other.skin - patch.skin).max() > 0.1
    one, two = (apply(variables, p, own) for p in (patch, other))
    np.testing.assert_allclose(one.colour, two.colour, atol=1e-5)
    np.testing.assert_allclose(one.share, two.share, atol=1e-5)


def test_own_mouth_reaches_the_painting(drawn, variables):
    _, patch, own = drawn
    apply = jax.jit(NETWORK.apply)
    other = apply(variables, patch, own._replace(image=1 - own.image))
    assert np.abs(other.colour - apply(variables, patch, own).colour).max() > 1e-4


def test_code_given_takes_the_place_of_the_own_one(drawn, variables):
    _, patch, own = drawn
    apply = jax.jit(NETWORK.apply)
    code = jnp.arange(1.0, 1 + NETWORK.config.codes)
    given = apply(variables, patch, own, code[None])
    kept = apply({"params": variables["params"] | {"code": code}}, patch, own)
    np.testing.assert_array_equal(given.colour, kept.colour)
    assert np.abs(given.colour - apply(variables, patch, own).colour).max() > 1e-4


def test_every_parameter_gets_gradients_in_half_precision(drawn, variables):
    _, patch, own = drawn
    network = mouth_painter.MouthPainter(NETWORK.config, dtype=jnp.bfloat16)

    @jax.jit
    def slopes_of(params, skin):
        def brightness(params, skin):
            params = params | {"code": params["code"] + 1}  # with a code of zeros its ways mean nothing
            painting = network.apply({"params": params}, patch._replace(skin=skin), own)
            return mouth_painter.compose(skin, painting).mean()

        return jax.grad(brightness, (0, 1))(params, skin)

    by_params, by_skin = slopes_of(variables["params"], patch.skin)
    for path, slope in jax.tree.leaves_with_path(by_params):
        assert slope.dtype == jnp.float32 and np.isfinite(slope).all() and np.abs(slope).max() > 0, path
    assert np.isfinite(by_skin).all() and np.abs(by_skin).max() > 0


@jax.jit
def painted(variables, patch, own):
    """One program for all portraits."""
    return mouth_painter.paint(NETWORK.config, variables, patch, own)


def in_light(patch, own, light):
    """The same patch and portrait in another light: RGB factors."""
    return patch._replace(skin=patch.skin * light), own._replace(image=own.image * light)


def of_skin(drawn):
    """Patches of a plain skin of usual tint, so that nothing is clipped."""
    _, patch, own = drawn
    skin = 0.4 * jnp.asarray(mouth_painter.USUAL_TINT)
    return patch._replace(skin=jnp.broadcast_to(skin, patch.skin.shape)), own._replace(
        image=jnp.broadcast_to(skin, own.image.shape)
    )


def test_usual_skin_is_painted_as_the_network_says(drawn, variables):
    patch, own = of_skin(drawn)
    said = jax.jit(NETWORK.apply)(variables, patch, own)
    np.testing.assert_allclose(painted(variables, patch, own).colour, said.colour, atol=1e-4)


def test_mouths_take_on_a_images_light(drawn, variables):
    usual = painted(variables, *of_skin(drawn))
    lit = painted(variables, *in_light(*of_skin(drawn), jnp.array([[[[1.0, 1.0, 0.5]]]])))
    ratio = (lit.colour / usual.colour).mean((0, 1, 2))
    assert abs(ratio[0] - ratio[1]) < 0.15 and ratio[2] < 0.75 * ratio[0]


def test_mouths_in_images_of_greys_are_grey(drawn, variables):
    patch, own = of_skin(drawn)
    grey = lambda x: jnp.broadcast_to(x.mean(-1, keepdims=True), x.shape)
    given = patch._replace(skin=grey(patch.skin)), own._replace(image=grey(own.image))
    colour = np.asarray(painted(variables, *given).colour)
    assert np.ptp(colour, -1).max() < 1e-5
    tint = lambda x: mouth_painter.light_of(own._replace(image=x)).tint.sum()
    slope = jax.jit(jax.grad(tint))(given[1].image)
    assert np.isfinite(slope).all()


def test_folding_lays_squares_into_channels_and_back():
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, 3))
    folded = mouth_painter.fold(x)
    assert folded.shape == (2, 2, 3, 12)
    np.testing.assert_array_equal(folded[0, 1, 2, 3:6], x[0, 2, 5])
    np.testing.assert_array_equal(mouth_painter.unfold(folded), x)


def test_composing_weighs_by_share():
    skin, colour = jnp.full((1, 2, 2, 3), 0.2), jnp.full((1, 2, 2, 3), 0.8)
    share = jnp.array([0, 0.25, 0.5, 1]).reshape(1, 2, 2, 1)
    shown = mouth_painter.compose(skin, mouth_painter.Painting(colour, share))
    np.testing.assert_allclose(shown[0, ..., 0].ravel(), [0.2, 0.35, 0.5, 0.8], atol=1e-6)


def test_coordinates_in_the_patch_undo_its_places(portrait, drawn):
    moved = drawn[0]
    places = mouth_patch.patch_places(moved.head, moved.origin, portrait.anchor)
    found = mouth_painter.patch_coordinates(moved, portrait.anchor, places)
    y, x = (np.linspace(-1, 1, n) for n in mouth_patch.PATCH)
    np.testing.assert_allclose(found[1], np.stack(np.meshgrid(x, y), -1), atol=1e-4)


def test_own_mouth_is_cut_out_of_the_portrait(portrait, drawn):
    own = drawn[2]
    places = mouth_patch.patch_places(portrait.head[None], portrait.origin[None], portrait.anchor)
    row, column = 20, 50
    x, y = (np.asarray(places)[0, row, column] + 1) / 2 * (len(portrait.image) - 1)
    near = np.asarray(portrait.image)[int(y) : int(y) + 2, int(x) : int(x) + 2]
    fx, fy = x % 1, y % 1
    want = (1 - fy) * ((1 - fx) * near[0, 0] + fx * near[0, 1]) + fy * (
        (1 - fx) * near[1, 0] + fx * near[1, 1]
    )
    np.testing.assert_allclose(own.image[0, row, column], want, atol=1e-4)


@pytest.mark.parametrize("size", [SIZE, 160])
def test_frames_show_the_painting_between_the_lips_and_keep_all_else(size):
    portrait = made_portrait(size)
    moved, patch, _ = draw(portrait)
    green = jnp.zeros_like(patch.skin).at[..., 1].set(1)
    share = patch.inside[..., None] * mouth_painter.border()
    before, after, mask = map(np.asarray, paint(portrait, mouth_painter.Painting(green, share), patch))
    for i in range(2):
        middle = np.asarray(moved.vertices[i, jnp.asarray((13, 14)), :2].mean(0))
        x, y = np.round((middle + 1) / 2 * (size - 1)).astype(int)
        assert after[i, y, x, 1] > 0.9 and after[i, y, x, 0] < 0.1 < before[i].max()
        near = np.abs(mask[i, ..., 0]).nonzero()
        rows, columns = (slice(n.min() - 3, n.max() + 4) for n in near)
        away = np.ones((size, size), bool)
        away[rows, columns] = False
        np.testing.assert_array_equal(after[i][away], before[i][away])


def test_painting_nothing_leaves_the_skin_as_it_was_drawn(portrait, drawn):
    patch = drawn[1]
    nothing = mouth_painter.Painting(patch.skin, jnp.zeros_like(patch.skin[..., :1]))
    before, after, mask = map(np.asarray, paint(portrait, nothing, patch))
    skin = mask[..., 0] == 0
    assert (~skin).any()
    np.testing.assert_allclose(after[skin], before[skin], atol=1e-6)
