"""Training batches from TFRecord shards through tf.data: nothing but what an example shows is read."""

import functools
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from avct_jax import errors
from avct_jax.data.dataset import (
    batch_types,
    collate,
    frame_cache,
    host_tensorflow,
    sampler,
    source,
    tfrecord_index,
)
from avct_jax.data.records import jpeg

ENDLESS = 2**62  # examples


class RecordSource:
    """A source.Source: tf.data's threads plan, read by place, and decode what an example shows."""

    def __init__(self, folder: str | os.PathLike):
        """Open a dataset that tfds_builder.prepare made.

        Args:
          folder: the dataset's own, with its shards.

        Raises:
          UserError: no dataset is there, or it is damaged.
        """
        self.folder = pathlib.Path(folder)
        index = tfrecord_index.open_index(folder)
        self.catalog = index.catalog
        self._shards = tfrecord_index.Shards(folder, index)

    def batch(
        self,
        kind: str,
        config: batch_types.DrawConfig,
        *,
        seed: int,
        step: int,
        batch_size: int,
        part: tuple[int, int] = (0, 1),
        held_out: bool = False,
    ) -> Any:
        """Make a batch as source.Source says."""
        options = {"seed": seed, "batch_size": batch_size, "part": part, "held_out": held_out}
        return next(self.batches(kind, config, **options, first_step=step, ahead=0))

    def batches(
        self,
        kind: str,
        config: batch_types.DrawConfig,
        *,
        seed: int,
        batch_size: int,
        part: tuple[int, int] = (0, 1),
        held_out: bool = False,
        first_step: int = 0,
        ahead: int = 2,
    ) -> Iterator[Any]:
        """Yield batches as source.Source says.

        Args:
          ahead: batches that may wait to be taken.
        """
        pool = sampler.find_pool(self.catalog, config, kind, held_out=held_out)
        places = source.part_of(batch_size, part)
        failures: list[errors.UserError] = []

        def read(number: int) -> Any:
            step, place = divmod(number, len(places))
            index = (first_step + step) * batch_size + places[place]
            try:
                plan = sampler.make_plan(self.catalog, pool, config, kind, seed=seed, index=index)
                example = collate.make_example(self.catalog, config, plan, self._shards.rows)
                show = functools.partial(self._images, size=config.image_size)
                return collate.map_images(example, kind, show)
            except errors.UserError as error:
                failures.append(error)
                raise

        data = _dataset(read, len(places), ahead)
        return _iterate(data, failures)

    def _images(self, pairs: Int[np.ndarray, "*b 2"], *, size: int) -> UInt8[np.ndarray, "*b s s 3"]:
        shown = np.empty((*pairs.shape[:-1], size, size, 3), np.uint8)
        for place in np.ndindex(pairs.shape[:-1]):
            which, frame = map(int, pairs[place])
            image = jpeg.decode(self._shards.image(which, frame), self.catalog.size)
            if image is None:
                raise errors.UserError(
                    f"{self._shards.path(which)} is damaged at frame {frame} of clip "
                    f"{self.catalog.names[which]}; remove its folder and prepare it again"
                )
            shown[place] = frame_cache.resize(image, size)
        return shown


def _dataset(read: Callable[[int], Any], batch_size: int, ahead: int) -> Any:
    """The tf.data graph: number -> example, in threads -> batch."""
    tf = host_tensorflow.load()
    first = _without_none(read(0))
    leaves = tf.nest.flatten(first)
    types_ = [tf.as_dtype(leaf.dtype) for leaf in leaves]

    @tf.autograph.experimental.do_not_convert
    def make(number):
        found = tf.numpy_function(lambda n: tf.nest.flatten(_without_none(read(int(n)))), [number], types_)
        shaped = [tf.ensure_shape(x, leaf.shape) for x, leaf in zip(found, leaves, strict=True)]
        return tf.nest.pack_sequence_as(first, shaped)

    data = tf.data.Dataset.range(ENDLESS).map(make, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return data.batch(batch_size, drop_remainder=True).prefetch(ahead)


def _iterate(data: Any, failures: list[errors.UserError]) -> Iterator[Any]:
    tf = host_tensorflow.load()
    try:
        for batch in data.as_numpy_iterator():
            yield _with_none(batch)
    except tf.errors.OpError:
        if failures:  # what tf.data raises is a report of many lines
            raise failures[0] from None
        raise


# tf.data's structures know no None; nothing of no parts says the same.
def _without_none(example: Any) -> Any:
    return type(example)(*(() if field is None else field for field in example))


def _with_none(batch: Any) -> Any:
    return type(batch)(*(None if isinstance(field, tuple) and not field else field for field in batch))
