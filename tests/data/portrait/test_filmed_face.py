"""A frame of a film taken apart."""

import numpy as np
import pytest

from avct_jax.data.faces import crop, face_basis, muted_face
from avct_jax.data.portrait import filmed_face, portrait_layers
from tests import portraits

SIZE = 256


@pytest.fixture(scope="module")
def seen():
    """A film of which every frame is the astronaut, and her square."""
    pixels, points = portraits.astronaut(SIZE)
    square = crop.Square(0, 0, SIZE)
    px = (points + np.array([1, 1, 0])) / 2 * (SIZE - 1) + np.array([0.5, 0.5, 0])
    return pixels, square, muted_face.mute(np.tile(px, (5, 1, 1)), face_basis.embedded()), points


def test_places_are_those_of_the_square(seen):
    pixels, square, face, points = seen
    layers = filmed_face.take_apart(pixels, square, face, 2)
    np.testing.assert_allclose(layers.vertices[:478, :2], points[:, :2], atol=2e-3)
    aligned = face_basis.align(points[None], face_basis.embedded().canonical)
    head, origin = (x[0] for x in face_basis.heads(aligned))
    np.testing.assert_allclose(layers.head, head, atol=2e-3)
    np.testing.assert_allclose(layers.origin[:2], origin[:2], atol=2e-3)
    np.testing.assert_array_equal(layers.image[::2, ::2], pixels.astype(np.float32) / 255)


def test_bared_teeth_are_covered_by_degrees(seen):
    pixels, square, face, _ = seen
    shares = []
    for opening in (0.02, 0.06, 0.09):
        layers = filmed_face.take_apart(pixels, square, face._replace(opening=np.full(5, opening)), 0)
        shares.append((float(layers.seam), np.abs(layers.skin - layers.image).sum()))
    (none, unchanged), (half, some), (whole, most) = shares
    assert (none, unchanged) == (0, 0) and whole == 1 and half == pytest.approx(0.5)
    assert some == pytest.approx(most / 2, rel=0.05)


def test_the_lower_face_alone_is_drawn_anew(seen):
    _, square, face, points = seen
    mask = filmed_face.lower_face(square, face.points[0], 160)
    at = lambda i: mask[tuple(np.round(portrait_layers.to_pixels(points[i, 1::-1], 160)).astype(int))]
    assert min(at(13), at(14), at(61), at(291), at(17)) > 0.95 and at(152) > 0.9
    assert max(at(33), at(263), at(10), at(168)) < 0.01 and mask[0].max() == mask[:, 0].max() == 0
