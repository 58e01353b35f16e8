"""Training batches from a folder of clips, in numpy alone: no TensorFlow, and no image decoded twice."""

import functools
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from avct_jax.data.clips import manifest
from avct_jax.data.dataset import batch_types, collate, dataset_index, frame_cache, sampler, source
from avct_jax.data.media import video_io


class NumpySource:
    """A source.Source: columns of all clips in memory (3.5 kB a frame), images in a frame_store.

    Data that fits on an accelerator can be held there: put `store(size)` on it once, and gather the places
    that `batch(..., images=False)` gives.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        in_memory: bool = False,
        progress: frame_cache.Progress | None = None,
    ):
        """Read the columns of all clips.

        Args:
          folder: what `avct preprocess` made.
          in_memory: keep images in memory, and write nothing into the folder.
          progress: called with the clips decoded and to be decoded, when images are first needed.

        Raises:
          UserError: no clips, or a clip is missing or damaged.
        """
        self.folder = pathlib.Path(folder)
        self._in_memory, self._progress = in_memory, progress
        entries = manifest.read(self.folder, least=1).clips
        mean_face = dataset_index.read_mean_face(self.folder)
        read = functools.partial(dataset_index.read_columns, self.folder, mean_face=mean_face)
        # One after the other: in threads, numpy's reading of headers now and then fails in Python 3.11, whose
        # parser counts its depth for all threads together (SystemError, CPython issue 106905).
        self._columns = [read(entry) for entry in entries]
        size = video_io.probe(self.folder / f"{entries[0].name}.mp4").size[0]
        self.catalog = dataset_index.make(entries, self._columns, size=size)
        self._stores: dict[int, UInt8[np.ndarray, "n s s 3"]] = {}
        self._pools: dict[Any, sampler.Pool] = {}

    def store(self, size: int) -> UInt8[np.ndarray, "n s s 3"]:
        """All images at that size, decoded when first asked for (frame_store.open_frames)."""
        if size not in self._stores:
            self._stores[size] = frame_cache.open_frames(
                self.folder, self.catalog, size, in_memory=self._in_memory, progress=self._progress
            )
        return self._stores[size]

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
        images: bool = True,
    ) -> Any:
        """Make a batch as source.Source says.

        Args:
          images: False puts int32 places in `store(config.image_size)` where images would be.
        """
        key = (kind, config, held_out)
        if key not in self._pools:
            self._pools[key] = sampler.find_pool(self.catalog, config, kind, held_out=held_out)
        made = []
        for place in source.part_of(batch_size, part):
            plan = sampler.make_plan(
                self.catalog, self._pools[key], config, kind, seed=seed, index=step * batch_size + place
            )
            made.append(collate.make_example(self.catalog, config, plan, self._rows))
        batch = collate.map_images(collate.stack(made), kind, self._places)
        if not images or not collate.IMAGES[kind]:
            return batch
        store = self.store(config.image_size)
        return collate.map_images(batch, kind, functools.partial(_gather, store))

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
        images: bool = True,
    ) -> Iterator[Any]:
        """Yield batches as source.Source says."""

        def make(ahead: int) -> Any:
            return self.batch(
                kind, config, seed=seed, step=first_step + ahead, batch_size=batch_size, part=part,
                held_out=held_out, images=images,
            )  # fmt: skip

        return source.prefetch(make)

    def _rows(self, name: str, which: int, frames: Int[np.ndarray, " m"]) -> np.ndarray:
        return self._columns[which][name][frames]

    def _places(self, pairs: Int[np.ndarray, "*b 2"]) -> Int[np.ndarray, "*b"]:
        return (self.catalog.begins[pairs[..., 0]] + pairs[..., 1]).astype(np.int32)


def _gather(
    store: UInt8[np.ndarray, "n s s 3"], places: Int[np.ndarray, "*b"]
) -> UInt8[np.ndarray, "*b s s 3"]:
    return np.asarray(store[places])
