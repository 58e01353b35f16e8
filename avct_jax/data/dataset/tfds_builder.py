"""Clips packed as a tensorflow_datasets dataset: TFRecord shards that any TFDS user can read.

Importing this needs the extra `train`; tfds.builder_from_directory reads what was prepared without it.
"""

import dataclasses
import functools
import hashlib
import io
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from avct_jax import errors
from avct_jax.data.clips import manifest
from avct_jax.data.dataset import dataset_index, frame_cache, host_tensorflow, source, tfrecord_index
from avct_jax.data.media import video_io
from avct_jax.data.records import jpeg

SPLITS = {"train": False, "test": True}  # whether a split's clips are held out


@dataclasses.dataclass(eq=False)
class TalkingHeadConfig(tfds.core.BuilderConfig):
    """Which clips.

    Attributes:
      clips: folder that `avct preprocess` made.
    """

    clips: str = ""


class TalkingHead(tfds.core.GeneratorBasedBuilder):
    """Clips of one talking face each, 25 frames/s: images, motion, head poses, and what is heard."""

    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {"1.0.0": "First.", "2.0.0": "mel: the steps, no windows."}  # noqa: RUF012 - as TFDS asks for it
    builder_config: TalkingHeadConfig

    def _info(self) -> tfds.core.DatasetInfo:
        size = _image_size(self.builder_config.clips)
        images = tfds.features.Sequence(tfds.features.Image(shape=(size, size, 3), encoding_format="jpeg"))
        columns = {
            # As bytes: each column is then one piece of the record, at a place that can be noted down.
            name: tfds.features.Tensor(shape=(None, *own.shape), dtype=np.dtype(own.dtype), encoding="bytes")
            for name, own in dataset_index.COLUMNS.items()
        }
        scalars = {"name": tfds.features.Text(), "person": tfds.features.Text()}
        scalars |= {"offset": tfds.features.Scalar(np.float32), "in_sync": tfds.features.Scalar(np.bool_)}
        features = tfds.features.FeaturesDict({"frames": images, **columns, **scalars})
        return tfds.core.DatasetInfo(builder=self, features=features, description=self.__doc__)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        entries = manifest.read(self.builder_config.clips, least=1).clips
        splits = {
            name: [entry for entry in entries if entry.held_out == held_out]
            for name, held_out in SPLITS.items()
        }
        return {name: self._generate_examples(own) for name, own in splits.items() if own}

    def _generate_examples(self, entries: list[manifest.Entry]) -> Iterator[tuple[str, dict[str, Any]]]:
        folder = pathlib.Path(self.builder_config.clips)
        size = _image_size(folder)
        read = functools.partial(
            read_example, folder, mean_face=dataset_index.read_mean_face(folder), size=size
        )
        workers = os.cpu_count() or 1
        made = source.prefetch(
            lambda i: read(entries[i]), range(len(entries)), ahead=workers, workers=workers
        )
        for entry, example in zip(entries, made, strict=True):
            yield entry.name, example


def read_example(
    folder: pathlib.Path, entry: manifest.Entry, *, mean_face: np.ndarray, size: int
) -> dict[str, Any]:
    """Read one clip as the dataset's features.

    Raises:
      UserError: the clip is missing or damaged.
    """
    columns = dataset_index.read_columns(folder, entry, mean_face)
    video = frame_cache.read_video(folder / f"{entry.name}.mp4", entry.frames, size)
    scalars = {"name": entry.name, "person": entry.person, "in_sync": entry.in_sync}
    return {
        "frames": [io.BytesIO(jpeg.encode(image)) for image in video],
        **columns,
        **scalars,
        "offset": np.float32(entry.offset),
    }


def prepare(clips_folder: str | os.PathLike, data_dir: str | os.PathLike) -> pathlib.Path:
    """Pack a folder of clips into TFRecord shards, unless that has been done.

    The dataset's name carries a mark of the folder's content: other clips become another dataset.

    Returns:
      The dataset's own folder inside data_dir, for pipeline.RecordSource and builder_from_directory.

    Raises:
      UserError: no clips, a damaged one, or the disk is full.
    """
    tf = host_tensorflow.load()
    config = TalkingHeadConfig(name=_mark(pathlib.Path(clips_folder)), clips=os.fspath(clips_folder))
    try:
        builder = TalkingHead(config=config, data_dir=os.fspath(data_dir))
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        raise errors.UserError(
            f"cannot write shards into {data_dir} ({reason}); free space or choose another folder"
        ) from None
    folder = pathlib.Path(builder.data_dir)
    tfrecord_index.open_index(folder)
    return folder


def _image_size(folder: str | os.PathLike) -> int:
    first = manifest.read(folder, least=1).clips[0]
    return video_io.probe(pathlib.Path(folder) / f"{first.name}.mp4").size[0]


def _mark(folder: pathlib.Path) -> str:
    """The folder's name and a hash of what is in it; the sizes of clips stand for their content."""
    content = [
        (folder / name).read_bytes()
        for name in ("manifest.json", "mean_face.npy")
        if (folder / name).exists()
    ]
    names = [entry.name for entry in manifest.read(folder, least=1).clips]
    files = [folder / f"{name}{suffix}" for name in names for suffix in (".npz", ".mp4")]
    content += [str([path.stat().st_size for path in files if path.exists()]).encode()]
    plain = re.sub(r"[^a-z0-9_]+", "_", folder.resolve().name.lower())
    return f"{plain}_{hashlib.md5(b''.join(content)).hexdigest()[:8]}"
