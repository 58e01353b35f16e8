"""Images held on the accelerators: small data is copied there once, and batches bring only places."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from avct_jax import errors
from avct_jax.data.dataset import batch_types, collate, numpy_source, source
from avct_jax.train.core import sharding


class DeviceSource:
    """A source.Source that reads its batches from a numpy source, and their images from device memory.

    Batches come placed over the mesh, each device's slice gathered from its own copy of all images.

    Attributes:
      host: the numpy source, whose batches are of any size.
    """

    def __init__(self, numpy: numpy_source.NumpySource, mesh: jax.sharding.Mesh):
        self.host, self._mesh = numpy, mesh
        self._stores: dict[int, jax.Array] = {}
        whole, parts = sharding.replicated(mesh), sharding.sliced(mesh)
        self._gather = jax.jit(
            lambda store, places: jnp.take(store, places, axis=0, mode="clip"),
            in_shardings=(whole, parts),
            out_shardings=parts,
        )

    def batch(
        self,
        kind: str,
        config: batch_types.DrawConfig,
        *,
        seed: int,
        step: int,
        batch_size: int,
        **which: Any,
    ) -> Any:
        """Make a batch as source.Source says, of JAX arrays.

        Raises:
          UserError: all images do not fit into a device's memory.
        """
        made = self.host.batch(
            kind, config, seed=seed, step=step, batch_size=batch_size, images=False, **which
        )
        made = sharding.place_batch(made, self._mesh)
        if not collate.IMAGES[kind]:
            return made
        store = self._store(config.image_size)
        return collate.map_images(made, kind, functools.partial(self._gather, store))

    def batches(
        self, kind: str, config: batch_types.DrawConfig, *, first_step: int = 0, **which: Any
    ) -> Iterator[Any]:
        """Yield batches as source.Source says."""
        return source.prefetch(lambda ahead: self.batch(kind, config, step=first_step + ahead, **which))

    def _store(self, size: int) -> jax.Array:
        if size not in self._stores:
            images = self.host.store(size)
            try:
                held = sharding.place(images, self._mesh)
                self._stores[size] = jax.block_until_ready(held)
            except (jax.errors.JaxRuntimeError, MemoryError):
                raise errors.UserError(
                    f"{images.nbytes / 2**30:.0f} GiB of images do not fit a device's memory; choose "
                    "--source numpy, or a smaller --draw.image-size"
                ) from None
        return self._stores[size]
