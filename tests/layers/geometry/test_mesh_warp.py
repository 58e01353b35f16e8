"""Warping by a mesh, on fields whose answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import spatial

from avct_jax.layers.geometry import grid, mesh_warp

SIZE = 33


@pytest.fixture(scope="module")
def mesh():
    """Random vertices with the image's surroundings, and the triangle of each node."""
    rng = np.random.default_rng(0)
    inner = rng.uniform(-0.9, 0.9, (40, 2))
    edge = np.array([(x, y) for x in (-1.1, 0, 1.1) for y in (-1.1, 0, 1.1) if (x, y) != (0, 0)])
    vertices = np.concatenate([inner, edge]).astype(np.float32)
    triangles = spatial.Delaunay(vertices)
    nodes = grid.coordinate_grid(SIZE, SIZE).reshape(-1, 2)
    indices = triangles.simplices[triangles.find_simplex(nodes)].reshape(SIZE, SIZE, 3)
    return jnp.asarray(vertices), jnp.asarray(indices.astype(np.int32))


def test_barycentric_weights_give_back_the_nodes(mesh):
    vertices, triangles = mesh
    weights = mesh_warp.barycentric(vertices, triangles)
    nodes = (vertices[triangles] * weights[..., None]).sum(2)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(nodes, grid.coordinate_grid(SIZE, SIZE), atol=1e-5)


def test_displacement_is_linear_in_triangles(mesh):
    vertices, triangles = mesh
    matrix = jnp.array([[0.1, 0.05], [-0.02, 0.2]])
    moved = (vertices @ matrix.T + 0.03)[None]
    field = mesh_warp.displacement(moved, triangles, mesh_warp.barycentric(vertices, triangles))
    nodes = grid.coordinate_grid(SIZE, SIZE)
    np.testing.assert_allclose(field[0], nodes @ np.asarray(matrix).T + 0.03, atol=1e-5)


@pytest.mark.parametrize("strength", [0.2, 0.9])
def test_inversion_undoes_a_bump(strength):
    """Also one that stretches by nearly as much as the image is wide, as a lid in a blink does."""
    nodes = jnp.asarray(grid.coordinate_grid(65, 65))[None]
    bump = strength * 0.5 * jnp.exp(-(nodes**2).sum(-1, keepdims=True) / 0.18)
    field = jnp.concatenate([jnp.zeros_like(bump), bump], -1)
    place = mesh_warp.invert(field, nodes, nodes, iterations=6)
    back = place + grid.grid_sample(field, place, align_corners=True, padding_mode="border")
    inner = (jnp.abs(nodes) < 0.8).all(-1)
    assert float(jnp.where(inner, jnp.linalg.norm(back - nodes, axis=-1), 0).max()) < 0.01


def test_inversion_gets_over_creases():
    """Plain Newton steps go to and fro over the crease of a lid and leave specks."""
    nodes = jnp.asarray(grid.coordinate_grid(65, 65))[None]
    down = jnp.interp(nodes[..., 1], jnp.array([-0.4, -0.2, -0.1, 0.15]), jnp.array([0, 0.06, 0.2, 0]))
    field = jnp.stack([jnp.zeros_like(down), down], -1)
    place = mesh_warp.invert(field, nodes, nodes, known=field, iterations=6)
    back = place + grid.grid_sample(field, place, align_corners=True, padding_mode="border")
    inner = (jnp.abs(nodes) < 0.8).all(-1)
    assert float(jnp.where(inner, jnp.linalg.norm(back - nodes, axis=-1), 0).max()) < 0.01


def test_inversion_takes_the_guess_where_it_is_nearer():
    nodes = jnp.asarray(grid.coordinate_grid(33, 33))[None]
    centre = jnp.exp(-((nodes - jnp.array([-0.5, 0]).reshape(1, 1, 1, 2)) ** 2).sum(-1, keepdims=True) / 0.02)
    field = jnp.concatenate(
        [centre, jnp.zeros_like(centre)], -1
    )  # a small head moves a whole unit to the right
    place = mesh_warp.invert(field, nodes, nodes - jnp.array([1.0, 0.0]).reshape(1, 1, 1, 2))
    np.testing.assert_allclose(place[0, 16, 24], [-0.5, 0], atol=0.02)


def test_enlarge_keeps_corners_and_lines():
    small = jnp.asarray(grid.coordinate_grid(5, 5))[None]
    along = [jnp.linspace(-1, 1, n) for n in (17, 9)]
    np.testing.assert_allclose(mesh_warp.enlarge(small, *along)[0], grid.coordinate_grid(17, 9), atol=1e-6)
    part = mesh_warp.enlarge(small, along[0][3:7], along[1][2:])
    np.testing.assert_allclose(part[0], grid.coordinate_grid(17, 9)[3:7, 2:], atol=1e-6)


def test_curve_goes_through_its_knots_and_has_gradients():
    knots, heights = jnp.array([[0.0, 0.3, 1.0]]), jnp.array([[0.1, -0.4, 0.2]])
    read = lambda h: mesh_warp.curve_height(jnp.array([[[-1.0, 0.0, 0.3, 0.65, 1.0, 2.0]]]), knots, h)[0, 0]
    np.testing.assert_allclose(read(heights), [0.1, 0.1, -0.4, -0.1, 0.2, 0.2], atol=1e-6)
    np.testing.assert_allclose(jax.jacobian(read)(heights)[3, 0], [0, 0.5, 0.5], atol=1e-6)


def test_opening_is_read_along_its_own_axis():
    upper = jnp.array([[[0.0, 0.0], [0.1, 0.1], [0.2, 0.2]]])
    lower = jnp.array([[[0.0, 0.0], [0.05, 0.15], [0.2, 0.2]]])
    opening = mesh_warp.opening_of(upper, lower)
    u, v, top, bottom = opening.curves(jnp.array([[[[0.05, 0.15]]]]))
    np.testing.assert_allclose([u.item(), top.item()], [0.5, 0], atol=1e-6)
    np.testing.assert_allclose(v, bottom, atol=1e-6)
    assert v.item() > 0  # below
