"""A portrait's mesh, moved and drawn: what stays stays, what shuts shuts, and everything has gradients."""

import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax import face_topology as topology
from avct_jax.data.faces import face_basis
from avct_jax.data.portrait import portrait_layers
from avct_jax.layers.geometry import grid, mesh_warp
from avct_jax.models.mesh import face_mesh, mouth_patch
from tests import portraits, quick

SIZE = 128
move = quick.jit(face_mesh.move)


@pytest.fixture(scope="module")
def layers():
    """The astronaut's."""
    made = portrait_layers.make(*portraits.astronaut(SIZE), face_basis.embedded().canonical)
    assert made.cover.min() == 0 and made.cover.max() == 1  # the person was found
    return made


@pytest.fixture(scope="module")
def portrait(layers):
    fields = [
        face_mesh.Field(
            jnp.asarray(t), mesh_warp.barycentric(jnp.asarray(layers.vertices[:, :2]), jnp.asarray(t))
        )
        for t in (layers.upper, layers.lower)
    ]
    rest = map(jnp.asarray, (layers.head, layers.origin, layers.anchor, layers.cavity, layers.seam))
    first = map(jnp.asarray, (layers.skin, layers.image, layers.vertices, layers.closed))
    behind = map(jnp.asarray, (layers.cover, layers.background, layers.shares, layers.sway))
    return face_mesh.MeshPortrait(*first, *fields, *rest, *behind)


@pytest.fixture(scope="module")
def basis():
    found = face_basis.embedded()
    return jnp.asarray(found.components), jnp.asarray(found.scales)


def controls(count=1, **given):
    sizes = {"speech": face_basis.COMPONENTS, "blink": 2, "gaze": 2, "rotation": 3, "shift": 3}
    zeros = {name: jnp.zeros((count, size)) for name, size in sizes.items()} | {"brow": jnp.zeros(count)}
    return face_mesh.Controls(**{**zeros, **{k: jnp.asarray(v, jnp.float32) for k, v in given.items()}})


@quick.jit
def drawn(portrait, basis, given):
    """The frame; one program for all portraits."""
    return face_mesh.draw(portrait, face_mesh.move(portrait, *basis, given)).frame


@pytest.fixture(scope="module")
def frame_of(portrait, basis):
    return lambda **given: np.asarray(drawn(portrait, basis, controls(**given)))[0]


def opening(moved):
    return float(jnp.linalg.norm(moved.vertices[0, 14] - moved.vertices[0, 13]))


@pytest.fixture(scope="module")
def refused(portrait):
    """The same portrait as it is where no person was found for sure."""
    ones = jnp.ones_like(portrait.cover)
    return portrait._replace(skin=portrait.image, background=plain(portrait.image), cover=ones)


def plain(image):
    """A portrait's image without the pixels between those of its frames."""
    return np.asarray(image)[::2, ::2]


def at_rest(portrait):
    return face_mesh.follow(
        portrait, portrait.vertices[None, : topology.POINTS], portrait.head[None], portrait.origin[None]
    )


def difference_outside_lips(portrait):
    """Of the unmoved drawing and the image; her mouth is open, and drawn anew."""
    draw = quick.jit(lambda p: face_mesh.draw(p._replace(seam=jnp.zeros(())), at_rest(p)).frame[0])
    found = draw(portrait)
    places = jnp.asarray(portrait_layers.to_pixels(np.asarray(portrait.vertices[:468, :2]), SIZE)).astype(int)
    outside = np.ones((SIZE, SIZE), bool)
    lips = places[jnp.asarray(topology.UPPER_OUTER_LIP + topology.LOWER_OUTER_LIP)]
    reach = 4  # px beside her lips, where teeth are covered
    rows, columns = (slice(lips[:, i].min() - reach, lips[:, i].max() + reach) for i in (1, 0))
    outside[rows, columns] = False
    return np.abs(np.asarray(found) - plain(portrait.image))[outside]


def test_unmoved_mesh_draws_the_portrait(portrait, refused):
    assert difference_outside_lips(refused).max() < 0.02
    difference = difference_outside_lips(portrait)
    # Only in the softened edge of the person, and where hair might be beside it, do layers not quite make the
    # image again.
    assert difference.mean() < 0.004 and np.quantile(difference, 0.99) < 0.08


def test_mouth_at_rest_is_shut_and_speech_opens_it(portrait, basis):
    shut = move(portrait, *basis, controls())
    spoken = move(portrait, *basis, controls(speech=2 * np.sign(basis[0][:1, 14, 1]) * np.eye(16)[:1]))
    unit = float(jnp.linalg.norm(portrait.head[:, 0]))
    assert portrait.seam == 1 and opening(shut) < 0.03 * unit
    assert opening(spoken) > 0.08 * unit


def far_from_person(portrait, pixels):
    from scipy import ndimage

    return ndimage.distance_transform_edt(plain(portrait.cover) == 0) > pixels


def test_background_stays_when_the_head_turns(frame_of, portrait, refused, basis):
    still = far_from_person(portrait, 8)
    assert still.sum() > 0.1 * SIZE**2
    move = controls(rotation=[[0.1, 0.08, 0.06]])
    turned = frame_of(rotation=[[0.1, 0.08, 0.06]])
    np.testing.assert_allclose(turned[still], plain(portrait.image)[still], atol=1e-6)
    assert np.abs(turned - plain(portrait.image)).mean() > 0.01
    # Where no person was found for sure, the image is warped with the head.
    warped = drawn(refused, basis, move)[0]
    assert np.abs(np.asarray(warped) - plain(portrait.image))[still].max() > 0.03


def test_hair_does_not_stay_behind_a_turned_head(frame_of, portrait):
    """Where her hair was, there is her light wall."""
    turned = frame_of(rotation=[[0.0, 0.0, 0.12]])
    hair = plain(portrait.cover) == 1
    hair[SIZE // 3 :] = False
    uncovered = hair & (turned.min(-1) > 0.6) & (plain(portrait.image).min(-1) < 0.4)
    assert uncovered.sum() > 20


def test_hair_moves_with_the_head_and_the_collar_stays(portrait, basis):
    moved = move(portrait, *basis, controls(rotation=[[0.0, 0.0, 0.1]])).vertices[0, :, :2]
    rest = portrait.vertices[:, :2]
    oval = len(topology.FACE_OVAL)
    rings = np.arange(topology.POINTS, topology.POINTS + 3 * oval).reshape(3, oval)
    top, bottom = topology.FACE_OVAL.index(topology.FOREHEAD), topology.FACE_OVAL.index(topology.CHIN)
    step = np.linalg.norm(moved - rest, axis=1)
    assert step[rings[1, top]] > step[topology.FOREHEAD] > 0.05
    assert step[rings[2, bottom]] < 1e-6
    lengths = [np.linalg.norm(x[rings[2, top]] - x[topology.FOREHEAD]) for x in (moved, rest)]
    np.testing.assert_allclose(*lengths, rtol=0.01)


def test_blink_shuts_the_lids(portrait, basis):
    moved = move(portrait, *basis, controls(blink=[[1.0, 0.0]]))
    gaps = [
        jnp.linalg.norm(moved.vertices[0, jnp.asarray(up)] - moved.vertices[0, jnp.asarray(low)], axis=-1)[4]
        for up, low in topology.APERTURES[1:]
    ]
    assert gaps[0] < 0.1 * gaps[1]


def test_brows_go_up_and_take_the_lids_along_a_little(portrait, basis):
    still, raised = (move(portrait, *basis, controls(brow=[way])).vertices[0] for way in (0.0, 0.05))
    up = (still - raised)[:, 1] / float(jnp.linalg.norm(portrait.head[:, 0]))
    np.testing.assert_allclose(up[jnp.asarray(topology.LEFT_BROW[:5])], 0.05, atol=0.005)
    lids = up[jnp.asarray(topology.LEFT_UPPER_LID + topology.LEFT_LOWER_LID)]
    assert np.abs(lids).max() < 1e-4 and 0 < up[topology.LEFT_CREASE[3]] < 0.01


def test_blink_covers_the_iris(frame_of, portrait):
    x, y = np.round(portrait_layers.to_pixels(np.asarray(portrait.vertices[468, :2]), SIZE)).astype(int)
    open_eye, shut = frame_of(), frame_of(blink=[[1.0, 1.0]])
    assert shut[y, x].mean() > open_eye[y, x].mean() + 0.1  # skin is lighter than her iris


def test_patch_shows_what_the_image_shows(portrait, basis):
    moved = move(portrait, *basis, controls(rotation=[[0.05, 0.05, 0.02]]))

    def look(portrait, moved):
        places = mouth_patch.patch_places(moved.head, moved.origin, portrait.anchor)
        whole = face_mesh.draw(portrait, moved).frame
        seen = grid.grid_sample(whole, places, align_corners=True, padding_mode="border")
        return mouth_patch.draw_patch(portrait, moved), seen

    patch, seen = quick.jit(look)(portrait, moved)
    outside = np.asarray(patch.inside) < 0.01
    assert np.abs(np.asarray(seen - patch.skin))[outside].mean() < 0.02


def test_rotation_matrix_is_a_rotation():
    vectors = jnp.asarray(np.random.default_rng(0).normal(0, 0.5, (5, 3)), jnp.float32)
    matrices = face_mesh.rotation_matrix(vectors)
    np.testing.assert_allclose(
        matrices @ matrices.transpose(0, 2, 1), np.tile(np.eye(3), (5, 1, 1)), atol=1e-5
    )
    from scipy.spatial import transform

    np.testing.assert_allclose(matrices, transform.Rotation.from_rotvec(vectors).as_matrix(), atol=1e-5)
