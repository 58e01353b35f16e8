"""A portrait's mesh, moved and drawn: what stays stays, what shuts shuts, and everything has gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import portraits
import pytest

from avct_jax import face_topology as topology
from avct_jax.data import face_basis, portrait_layers
from avct_jax.layers import mesh_warp
from avct_jax.models import face_mesh

SIZE = 128


@pytest.fixture(scope="module")
def layers():
    """The astronaut's."""
    return portrait_layers.make(*portraits.astronaut(SIZE), face_basis.embedded().canonical)


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
    return face_mesh.Portrait(*first, *fields, *rest)


@pytest.fixture(scope="module")
def basis():
    found = face_basis.embedded()
    return jnp.asarray(found.components), jnp.asarray(found.scales)


def controls(count=1, **given):
    sizes = {"speech": face_basis.COMPONENTS, "blink": 2, "gaze": 2, "rotation": 3, "shift": 3}
    zeros = {name: jnp.zeros((count, size)) for name, size in sizes.items()}
    return face_mesh.Controls(**{**zeros, **{k: jnp.asarray(v, jnp.float32) for k, v in given.items()}})


@pytest.fixture(scope="module")
def frame_of(portrait, basis):
    drawn = jax.jit(lambda c: face_mesh.draw(portrait, face_mesh.move(portrait, *basis, c)).frame)
    return lambda **given: np.asarray(drawn(controls(**given)))[0]


def opening(moved):
    return float(jnp.linalg.norm(moved.vertices[0, 14] - moved.vertices[0, 13]))


def test_unmoved_mesh_draws_the_portrait(portrait):
    still = face_mesh.follow(
        portrait._replace(skin=portrait.image), portrait.vertices[None, : topology.POINTS],
        portrait.head[None], portrait.origin[None],
    )  # fmt: skip
    drawn = face_mesh.draw(portrait._replace(skin=portrait.image, seam=jnp.zeros(())), still)
    places = jnp.asarray(portrait_layers.to_pixels(np.asarray(portrait.vertices[:468, :2]), SIZE)).astype(int)
    outside = np.ones((SIZE, SIZE), bool)
    lips = places[jnp.asarray(topology.UPPER_OUTER_LIP + topology.LOWER_OUTER_LIP)]
    outside[lips[:, 1].min() : lips[:, 1].max(), lips[:, 0].min() : lips[:, 0].max()] = (
        False  # her mouth is open
    )
    assert np.abs(np.asarray(drawn.frame[0]) - np.asarray(portrait.image))[outside].max() < 0.02


def test_mouth_at_rest_is_shut_and_speech_opens_it(portrait, basis):
    shut = face_mesh.move(portrait, *basis, controls())
    spoken = face_mesh.move(
        portrait, *basis, controls(speech=2 * np.sign(basis[0][:1, 14, 1]) * np.eye(16)[:1])
    )
    unit = float(jnp.linalg.norm(portrait.head[:, 0]))
    assert portrait.seam == 1 and opening(shut) < 0.03 * unit
    assert opening(spoken) > 0.08 * unit


def test_background_stays_when_the_head_turns(frame_of, portrait):
    turned = frame_of(rotation=[[0.0, 0.08, 0.0]])
    corner = np.s_[:8, :8]
    np.testing.assert_allclose(turned[corner], portrait.image[corner], atol=3e-3)
    assert np.abs(turned - np.asarray(portrait.image)).mean() > 0.01


def test_blink_shuts_the_lids(portrait, basis):
    moved = face_mesh.move(portrait, *basis, controls(blink=[[1.0, 0.0]]))
    gaps = [
        jnp.linalg.norm(moved.vertices[0, jnp.asarray(up)] - moved.vertices[0, jnp.asarray(low)], axis=-1)[4]
        for up, low in topology.APERTURES[1:]
    ]
    assert gaps[0] < 0.1 * gaps[1]


def test_blink_covers_the_iris(frame_of, portrait):
    x, y = np.round(portrait_layers.to_pixels(np.asarray(portrait.vertices[468, :2]), SIZE)).astype(int)
    open_eye, shut = frame_of(), frame_of(blink=[[1.0, 1.0]])
    assert shut[y, x].mean() > open_eye[y, x].mean() + 0.1  # skin is lighter than her iris


def test_patch_shows_what_the_picture_shows(portrait, basis):
    moved = face_mesh.move(portrait, *basis, controls(rotation=[[0.05, 0.05, 0.02]]))
    patch = face_mesh.draw_patch(portrait, moved)
    places = face_mesh.patch_places(moved.head, moved.origin, portrait.anchor)
    whole = face_mesh.draw(portrait, moved).frame
    from avct_jax.layers import grid

    seen = grid.grid_sample(whole, places, align_corners=True, padding_mode="border")
    outside = np.asarray(patch.inside) < 0.01
    assert np.abs(np.asarray(seen - patch.skin))[outside].mean() < 0.02


def test_gradients_reach_picture_and_speech(portrait, basis):
    def brightness(image, speech):
        given = portrait._replace(skin=image, image=image)
        frame = face_mesh.draw(given, face_mesh.move(given, *basis, controls(speech=speech))).frame
        return (frame * jnp.linspace(0, 1, SIZE)[None, :, None, None]).mean()

    slopes = jax.grad(brightness, argnums=(0, 1))(portrait.image, jnp.full((1, 16), 0.3))
    assert all(np.isfinite(s).all() and np.abs(s).max() > 0 for s in slopes)


def test_rotation_matrix_is_a_rotation():
    vectors = jnp.asarray(np.random.default_rng(0).normal(0, 0.5, (5, 3)), jnp.float32)
    matrices = face_mesh.rotation_matrix(vectors)
    np.testing.assert_allclose(
        matrices @ matrices.transpose(0, 2, 1), np.tile(np.eye(3), (5, 1, 1)), atol=1e-5
    )
    from scipy.spatial import transform

    np.testing.assert_allclose(matrices, transform.Rotation.from_rotvec(vectors).as_matrix(), atol=1e-5)
