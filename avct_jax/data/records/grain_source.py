"""Training batches through Grain: examples are planned, read, decoded and varied in worker processes.

The extra `grain` is imported when a source is opened; neither TensorFlow nor JAX is needed.
"""

import os
import pathlib
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from avct_jax import errors
from avct_jax.data.clips import worker_pool
from avct_jax.data.dataset import batch_types, collate, sampler, source
from avct_jax.data.records import image_shards, packed_index

ENDLESS = 2**40  # steps
STREAM = 17  # of random numbers for `transform`, which nothing else shares
AHEAD = 2  # batches of each worker that may wait to be taken

# transform(example, random numbers) -> example of the same shapes
Transform = Callable[[Any, np.random.Generator], Any]


class BatchOrder(NamedTuple):
    """Which batches: see source.Source."""

    kind: str
    config: batch_types.DrawConfig
    seed: int
    batch_size: int
    part: tuple[int, int] = (0, 1)
    held_out: bool = False


class GrainSource:
    """A source.Source that reads packed columns, and JPEGs in ArrayRecord files.

    Attributes:
      workers: processes that make batches; 0: threads of this one do.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        workers: int = 0,
        transform: Transform | None = None,
        packing: packed_index.Progress | None = None,
    ):
        """Open a folder of clips; what is not packed is packed first (`avct train pack` does it in parallel).

        Args:
          folder: what `avct preprocess` made, or a copy of its `packed/` alone.
          transform: varies each example further, in the workers; of a module, for they are spawned.
          packing: called with the shards that are packed and to be packed.

        Raises:
          UserError: no clips, a damaged one, or Grain or array-record is not installed.
        """
        library()
        if workers < 0:
            raise errors.UserError(f"--workers {workers} must be 0 or more")
        self.folder, self.workers, self._transform = pathlib.Path(folder), workers, transform
        clips = packed_index.open_clips(self.folder, progress=packing)
        self.catalog, self._rows = clips.catalog, clips.files(self.folder).rows
        self._images = image_shards.open_images(self.folder, clips, progress=packing)
        self._pools: dict[Any, sampler.Pool] = {}

    def __reduce__(self):
        """A worker opens the folder itself: mapped arrays would be sent whole."""
        return _reopen, (self.folder, self._transform)

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
        return self.make(BatchOrder(kind, config, seed, batch_size, part, held_out), step)

    def batches(
        self, kind: str, config: batch_types.DrawConfig, *, first_step: int = 0, **which: Any
    ) -> Iterator[Any]:
        """Yield batches as source.Source says."""
        if self.workers:
            # Arrays that are on their way when a worker ends are removed by Python, which need not tell.
            sys.warnoptions.append("ignore:resource_tracker:UserWarning")
        order = BatchOrder(kind, config, **which)
        self._pool(order)  # refused here, not in a worker
        source.part_of(order.batch_size, order.part)
        return _until_refused(iter(self.dataset(order, first_step=first_step)))

    def dataset(self, order: BatchOrder, *, first_step: int = 0) -> Any:
        """Grain's own dataset of batches: grain.IterDataset.

        Its iterator's get_state and set_state hold the position, as Grain's checkpoints do. Where a clip is
        damaged an element is a UserError.
        """
        grain = library()
        steps = grain.MapDataset.range(first_step, ENDLESS).map(_Make(self, order))
        if not self.workers:
            threads = min(AHEAD, os.cpu_count() or 1)
            return steps.to_iter_dataset(grain.ReadOptions(threads, AHEAD))
        ahead = grain.MultiprocessingOptions(self.workers, per_worker_buffer_size=AHEAD)
        return steps.to_iter_dataset(grain.ReadOptions(1, 1)).mp_prefetch(ahead, _begin_worker)

    def make(self, order: BatchOrder, step: int) -> Any:
        """Make batch `step`, or its part."""
        places = source.part_of(order.batch_size, order.part)
        return collate.stack([self._example(order, step * order.batch_size + place) for place in places])

    def _example(self, order: BatchOrder, index: int) -> Any:
        kind, config = order.kind, order.config
        plan = sampler.make_plan(self.catalog, self._pool(order), config, kind, seed=order.seed, index=index)
        example = collate.make_example(self.catalog, config, plan, self._rows)
        shown = collate.map_images(example, kind, lambda pairs: self._images.show(pairs, config.image_size))
        if self._transform is None:
            return shown
        return self._transform(shown, np.random.default_rng((order.seed, STREAM, index)))

    def _pool(self, order: BatchOrder) -> sampler.Pool:
        key = order.kind, order.config, order.held_out
        if key not in self._pools:
            self._pools[key] = sampler.find_pool(
                self.catalog, order.config, order.kind, held_out=order.held_out
            )
        return self._pools[key]


def library() -> types.ModuleType:
    """Import Grain.

    Raises:
      UserError: it is not installed.
    """
    try:
        import grain
        from absl import flags
    except ImportError:
        raise errors.UserError(
            "--source grain needs Grain: pip install 'avct-jax[grain]', or take --source numpy"
        ) from None
    if not flags.FLAGS.is_parsed():  # Grain asks for flags of absl, which only absl's own programs read
        flags.FLAGS.mark_as_parsed()
    return grain


def _reopen(folder: pathlib.Path, transform: Transform | None) -> GrainSource:
    return GrainSource(folder, transform=transform)


def _begin_worker(number: int, count: int) -> None:
    """Workers share the cores, end with their parent, and leave it to decide what a signal means."""
    del number, count
    import cv2

    cv2.setNumThreads(1)
    for signal_ in (signal.SIGINT, signal.SIGTERM):  # schedulers send them to every process
        signal.signal(signal_, signal.SIG_IGN)
    threading.Thread(target=worker_pool.die_with_parent, daemon=True).start()


class _Make:
    """The number of a step becomes its batch."""

    def __init__(self, opened: GrainSource, order: BatchOrder):
        self._opened, self._order = opened, order

    def __call__(self, step: int) -> Any:
        try:
            return self._opened.make(self._order, int(step))
        except errors.UserError as error:  # raised in a worker it would be a report of many lines
            return error


def _until_refused(batches: Any) -> Iterator[Any]:
    try:
        for batch in batches:
            if isinstance(batch, errors.UserError):
                raise batch
            yield batch
    finally:
        batches.close()
