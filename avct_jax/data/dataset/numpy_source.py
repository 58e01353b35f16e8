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
from avct_jax.data.records import packed_index


class NumpySource:
    """A source.Source: columns are read as they are needed (data/records), images are in a frame_cache.

    Data that fits on an accelerator can be held there: put `store(size)` on it once, and gather the places
    that `batch(..., images=False)` gives.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        in_memory: bool = False,
        progress: frame_cache.Progress | None = None,
        packing: packed_index.Progress | None = None,
    ):
        """Open the columns of all clips; they are packed first where they have not been.

        Args:
          folder: what `avct preprocess` made.
          in_memory: keep columns and images in memory, and write nothing into the folder.
          progress: called with the clips decoded and to be decoded, when images are first needed.
          packing: called with the shards of columns packed and to be packed.

        Raises:
          UserError: no clips, or a clip is missing or damaged.
        """
        self.folder = pathlib.Path(folder)
        self._in_memory, self._progress = in_memory, progress
        if in_memory:
            self.catalog, self._rows = _read_all(self.folder)
        else:
            found = packed_index.open_clips(self.folder, progress=packing)
            self.catalog, self._rows = found.catalog, found.files(self.folder).rows
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

    def _places(self, pairs: Int[np.ndarray, "*b 2"]) -> Int[np.ndarray, "*b"]:
        return (self.catalog.begins[pairs[..., 0]] + pairs[..., 1]).astype(np.int32)


def _read_all(folder: pathlib.Path) -> tuple[dataset_index.Catalog, collate.Rows]:
    """All columns of a folder, in memory."""
    entries = manifest.read(folder, least=1).clips
    mean_face = dataset_index.read_mean_face(folder)
    # One after the other: in threads, numpy's reading of headers now and then fails in Python 3.11, whose
    # parser counts its depth for all threads together (SystemError, CPython issue 106905).
    columns = [dataset_index.read_columns(folder, entry, mean_face) for entry in entries]
    size = video_io.probe(folder / f"{entries[0].name}.mp4").size[0]
    known = dataset_index.make(entries, [dataset_index.summarise(own) for own in columns], size=size)
    return known, lambda name, which, frames: columns[which][name][frames]


def _gather(
    store: UInt8[np.ndarray, "n s s 3"], places: Int[np.ndarray, "*b"]
) -> UInt8[np.ndarray, "*b s s 3"]:
    return np.asarray(store[places])
