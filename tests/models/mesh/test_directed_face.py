"""Expressions and gaze measured by landmarks of drawn frames: what is told moves, the rest stays."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax import face_topology as topology
from avct_jax.data.direction import expressions, gaze
from avct_jax.data.faces import face_basis, face_detector
from avct_jax.data.portrait import eyeballs, portrait_layers
from avct_jax.inference import mesh_inference
from avct_jax.models.mesh import face_mesh
from tests import portraits, quick
from tests.models.mesh import test_face_mesh

SIZE = 256  # px
STILL = 0.025  # eye distances that landmarks of what stays may be off


@pytest.fixture(scope="module")
def portrait():
    pixels, points = portraits.astronaut(SIZE)
    layers = portrait_layers.make(pixels, points, face_basis.embedded().canonical)
    eyes = eyeballs.complete(pixels, points)
    image = portrait_layers.denser(eyes.image.astype(np.float32) / 255)
    given = mesh_inference.Layers(*map(jnp.asarray, layers._replace(image=image)))
    return quick.jit(mesh_inference.prepare)(given._replace(irises=jnp.asarray(eyes.irises))).portrait


@quick.jit
def drawn(portrait, basis, given):
    """The frame; one program for all."""
    return face_mesh.draw(portrait, face_mesh.move(portrait, *basis, given)).frame


def controls(*, look=(0.0, 0.0), speech=None, **values):
    """Controls of a frame of what is told by name."""
    shown = expressions.shown({name: np.array([value]) for name, value in values.items()}, 1)
    ways = np.array([look], np.float32)
    told = face_mesh.FaceExpression(jnp.asarray(shown.offset()), jnp.asarray(shown.raised))
    given = {} if speech is None else {"speech": speech}
    return test_face_mesh.controls(blink=shown.lids, gaze=ways, **given)._replace(expression=told)


@pytest.fixture(scope="module")
def seen(portrait):
    """Landmarks of a drawn frame in the canonical frame, eye distances."""
    basis = tuple(jnp.asarray(x) for x in face_basis.embedded()[1:])
    landmarker = face_detector.FaceLandmarker()

    @functools.cache
    def see(**told):
        frame = np.asarray(drawn(portrait, basis, controls(**told)))[0]
        found = landmarker.landmarks((frame * 255 + 0.5).astype(np.uint8))
        return face_basis.align(found.points[None], face_basis.embedded().canonical).points[0]

    return see


def corners(points):
    """How high the mouth's corners are above the lips' middle, and how far apart."""
    return points[[13, 14], 1].mean() - points[[61, 291], 1].mean(), points[291, 0] - points[61, 0]


def brows(points):
    return points[[105, 334, 107, 336], 1].mean()


def lids(points, side):
    upper, lower = topology.APERTURES[1 + side]
    return np.linalg.norm(points[list(upper[3:6])] - points[list(lower[3:6])], axis=1).mean()


def eyes(points):
    """Irises against the corners of their eyes, right and down."""
    return np.mean([gaze._offset(points, side) for side in (0, 1)], 0)


def gap(points):
    return np.linalg.norm(points[14] - points[13])


MEASURES = {
    "corners": lambda points: corners(points)[0],
    "width": lambda points: corners(points)[1],
    "brows": brows,
    "lids": lambda points: (lids(points, 0) + lids(points, 1)) / 2,
    "gap": gap,
}


@pytest.mark.parametrize(
    ("told", "measure", "least", "most", "also"),
    [
        ({"smile": 0.6}, "width", 0.03, 0.12, {"corners"}),
        ({"frown": 0.8}, "corners", -0.1, -0.02, {"width"}),
        ({"pucker": 1.0}, "width", -0.2, -0.015, {"corners"}),
        ({"brows": 1.0}, "brows", -0.12, -0.04, {"lids"}),
        ({"brows": -1.0}, "brows", 0.012, 0.1, set()),
        ({"squint": 1.0}, "lids", -0.08, -0.015, set()),
        ({"wide": 1.0}, "lids", 0.004, 0.05, set()),
    ],
)
def test_direction_moves_what_it_names_and_leaves_the_rest(seen, told, measure, least, most, also):
    rest, moved = seen(), seen(**told)
    change = {name: float(of(moved) - of(rest)) for name, of in MEASURES.items()}
    assert least < change.pop(measure) < most
    assert not {name: x for name, x in change.items() if name not in also and abs(x) > STILL}


def test_half_a_smile_leaves_shut_lips_shut_and_open_ones_open(seen):
    basis = face_basis.embedded()
    opens = np.sign(basis.components[:1, 14, 1])
    for wide in (0.0, 2.0):
        speech = tuple(map(tuple, wide * opens * np.eye(16)[:1]))
        plain, smiling = (seen(speech=speech, **more) for more in ({}, {"smile": 0.5}))
        assert abs(gap(smiling) - gap(plain)) < 0.02
        assert corners(smiling)[1] - corners(plain)[1] > 0.02


def test_eyes_go_where_they_are_told_to(seen):
    rest = seen()
    for way in ((0.04, 0.0), (-0.04, 0.0), (0.0, -0.025)):
        moved = seen(look=way)
        found = eyes(moved) - eyes(rest)
        axis = int(np.argmax(np.abs(way)))
        # The landmark network hardly sees irises go up or down.
        assert (0.4, 0.1)[axis] < found[axis] / way[axis] < 1.6, way
        assert abs(found[1 - axis]) < STILL
        for name in ("corners", "width", "brows", "gap"):
            assert abs(MEASURES[name](moved) - MEASURES[name](rest)) < STILL, name


def test_eyes_keep_their_corners_when_they_look_aside(portrait):
    basis = tuple(jnp.asarray(x) for x in face_basis.embedded()[1:])
    rest, aside = (
        np.asarray(drawn(portrait, basis, controls(look=look)))[0] for look in ((0.0, 0.0), (0.05, 0.0))
    )
    places = portrait_layers.to_pixels(np.asarray(portrait.vertices)[:478, :2], SIZE).round().astype(int)
    changed = np.abs(aside - rest).max(-1)
    x, y = places[[33, 133, 362, 263]].T
    assert changed[y, x].max() < 0.1 and changed.max() > 0.2


def test_left_is_the_persons_own():
    left = expressions.shown({"mouthSmileLeft": np.ones(1)}, 1).offset()[0]
    assert np.abs(left[291]).max() > 0.05 and np.abs(left[61]).max() < 0.005


def test_no_expression_of_zero_moves_anything(portrait):
    basis = tuple(jnp.asarray(x) for x in face_basis.embedded()[1:])
    plain = face_mesh.move(portrait, *basis, test_face_mesh.controls())
    told = face_mesh.move(portrait, *basis, controls(smile=0.0))
    np.testing.assert_array_equal(plain.vertices, told.vertices)
