"""Sampling and doubling over a batch that is spread over devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax.layers.convolution import box, conv
from avct_jax.layers.geometry import grid

RANDOM = np.random.default_rng(0)
IMAGES = jnp.asarray(RANDOM.standard_normal((8, 6, 6, 3)), jnp.float32)
PLACES = jnp.asarray(RANDOM.uniform(-1.2, 1.2, (8, 5, 5, 2)), jnp.float32)
KERNEL = jnp.asarray(RANDOM.standard_normal((3, 3, 3, 2)), jnp.float32)
LAYERS = {
    "grid_sample": lambda images, places: grid.grid_sample(images, places),
    "convolve_doubled": lambda images, places: conv.convolve_doubled(images, KERNEL),
}


@pytest.mark.parametrize("name", LAYERS)
def test_sharded_batch_is_not_brought_together(name):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    by_batch = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    gradient = jax.jit(jax.grad(lambda x, z: jnp.sin(LAYERS[name](x, z)).sum(), (0, 1)))
    spread = [jax.device_put(x, by_batch) for x in (IMAGES, PLACES)]
    assert "all-gather" not in gradient.lower(*spread).compile().as_text()
    for found, expected in zip(gradient(*spread), gradient(IMAGES, PLACES), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_part_is_cut_and_pasted_also_where_64_bits_are_on():
    frame = jnp.arange(36, dtype=jnp.float32).reshape(1, 6, 6, 1)
    with jax.enable_x64(True):
        part = box.box_around(jnp.zeros(2, jnp.float32), 2, 4, 6)
        cut = part.cut(frame)
        assert part.paste(frame, cut + 1).sum() == frame.sum() + 8
    np.testing.assert_array_equal(cut[0, :, :, 0], frame[0, 2:4, :4, 0])
