"""Clips as a TFDS dataset, tf.data's batches of it, and their being those of the numpy source."""

import importlib.util
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.clips import manifest
from avct_jax.data.dataset import (
    batch_types,
    dataset_index,
    host_tensorflow,
    numpy_source,
    tfrecord_index,
    tfrecord_source,
)
from tests import made_clips

pytestmark = [
    pytest.mark.tf,
    pytest.mark.skipif(importlib.util.find_spec("tensorflow_datasets") is None, reason="no TensorFlow"),
]
CONFIG = batch_types.DrawConfig(image_size=32, speaker="s1", pose_frames=20, cross_identity_prob=0.5)
JPEG_ERROR = 3  # of 255, mean: more than quality 95 costs, less than a wrong frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_clips.make(tmp_path_factory.mktemp("Some clips"), people=4, own=4)


@pytest.fixture(scope="module")
def dataset(folder, tmp_path_factory):
    from avct_jax.data.dataset import tfds_builder

    return tfds_builder.prepare(folder, tmp_path_factory.mktemp("tfds"))


@pytest.fixture(scope="module")
def records(dataset):
    return tfrecord_source.RecordSource(dataset)


@pytest.fixture
def copied(dataset, tmp_path):
    return shutil.copytree(dataset, tmp_path / "2.0.0")


def drawn(opened, kind, count=6, *, step=3, config=CONFIG, **options):
    return opened.batch(kind, config, seed=5, step=step, batch_size=count, **options)


def same(one, other):
    return jax.tree.all(jax.tree.map(lambda a, b: a.dtype == b.dtype and np.array_equal(a, b), one, other))


def farthest(one, other):
    """Largest mean difference of the images of two batches whose numbers are equal."""

    def difference(a, b):
        assert a.dtype == b.dtype and a.shape == b.shape
        if a.dtype == np.uint8:
            return np.abs(a.astype(int) - b).mean((-3, -2, -1)).max()
        assert np.array_equal(a, b)
        return 0.0

    return max(jax.tree.leaves(jax.tree.map(difference, one, other)))


@pytest.mark.parametrize("kind", batch_types.KINDS)
@pytest.mark.parametrize("size", [64, 32, 40])
def test_both_sources_give_the_same_batches(records, folder, kind, size):
    config = batch_types.DrawConfig(
        image_size=size, speaker="s1", pose_frames=20, cross_identity_prob=0.5, driving=2
    )
    opened = numpy_source.NumpySource(folder, in_memory=True)
    for held_out in (False, True):
        batches = (drawn(x, kind, config=config, held_out=held_out) for x in (records, opened))
        assert farthest(*batches) < JPEG_ERROR


def test_same_batches_would_not_be_so_if_a_frame_were_wrong(records, folder):
    opened = numpy_source.NumpySource(folder, in_memory=True)
    one, other = (drawn(x, "sync") for x in (records, opened))
    assert farthest(one, other._replace(frames=other.frames[:, [1, 2, 3, 4, 4]])) > 2 * JPEG_ERROR
    with pytest.raises(AssertionError):
        farthest(one, other._replace(boxes=other.boxes + np.float32(1e-5)))


def test_record_source_goes_on_at_any_step_and_joins_its_parts(records):
    ahead = records.batches("sequences", CONFIG, seed=5, batch_size=6, first_step=2)
    next(ahead)
    whole = next(ahead)  # step 3
    assert same(whole, drawn(records, "sequences"))
    parts = [drawn(records, "sequences", part=(i, 2)) for i in range(2)]
    assert same(whole, jax.tree.map(lambda *x: np.concatenate(x), *parts))
    ahead.close()


def test_record_source_gives_none_where_the_schema_does(records):
    config = batch_types.DrawConfig(image_size=32, speaker="s1", with_frames=False)
    batch = drawn(records, "sequences", config=config)
    assert batch.frames is None and batch.boxes is None and batch.portrait.dtype == np.uint8


def test_dataset_reads_as_tfds_users_expect(dataset, folder):
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(dataset)
    found = {x["name"].decode(): x for x in tfds.as_numpy(builder.as_dataset(split="train"))}
    held = [x["name"].decode() for x in tfds.as_numpy(builder.as_dataset(split="test"))]
    assert (
        sorted(held) == ["id_1", "s1_1"]
        and len(found) == 7
        and builder.info.splits["train"].num_examples == 7
    )
    entries = {entry.name: entry for entry in manifest.read(folder).clips}
    for name in ("s1_0", "id_3"):
        columns = dataset_index.read_columns(folder, entries[name], dataset_index.read_mean_face(folder))
        assert all(np.array_equal(found[name][column], value) for column, value in columns.items())
        assert found[name]["frames"].shape == (entries[name].frames, 64, 64, 3)
    assert found["id_3"]["person"] == b"person3" and len(found["id_3"]["audio"]) == 0


def test_dataset_hands_out_jpegs_undecoded_and_parts_of_features(dataset):
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(dataset)
    raw = builder.as_dataset(split="test", decoders={"frames": tfds.decode.SkipDecoding()})
    jpegs = next(iter(tfds.as_numpy(raw)))["frames"]
    assert jpegs.ndim == 1 and all(jpeg[:2] == b"\xff\xd8" for jpeg in jpegs)
    wanted = tfds.decode.PartialDecoding({"name": True, "poses": True})
    assert set(next(iter(builder.as_dataset(split="test", decoders=wanted)))) == {"name", "poses"}


def test_dataset_is_made_once_and_another_for_other_clips(dataset, folder, tmp_path):
    from avct_jax.data.dataset import tfds_builder

    shard = next(dataset.glob("*train.tfrecord*"))
    before = shard.stat().st_mtime_ns
    assert tfds_builder.prepare(folder, dataset.parents[2]) == dataset and shard.stat().st_mtime_ns == before
    changed = shutil.copytree(folder, tmp_path / folder.name)
    np.save(changed / "mean_face.npy", made_clips.MEAN * 2)
    assert tfds_builder.prepare(changed, tmp_path) != tmp_path / dataset.relative_to(dataset.parents[2])


def test_index_is_made_again_where_it_is_missing_or_of_other_shards(dataset, copied, folder):
    wanted = tfrecord_index.open_index(dataset)
    file = copied / tfrecord_index.FILE
    file.unlink()
    found = tfrecord_index.open_index(copied)
    known = numpy_source.NumpySource(folder, in_memory=True).catalog
    for name, value in known._asdict().items():
        np.testing.assert_array_equal(getattr(found.catalog, name), value)
    assert np.array_equal(found.catalog.names, wanted.catalog.names) and np.array_equal(
        found.images, wanted.images
    )
    assert np.array_equal(found.columns, wanted.columns) and file.exists()
    next(copied.glob("*test.tfrecord*")).unlink()
    assert tfrecord_index.open_index(copied).catalog.names.tolist() == [
        name for name in wanted.catalog.names if name not in ("id_1", "s1_1")
    ]


def spoil(path, place, value):
    data = bytearray(path.read_bytes())
    data[place : place + len(value)] = value
    path.write_bytes(data)


def test_record_source_names_the_damaged_shard(copied):
    opened = tfrecord_source.RecordSource(copied)
    shard = next(copied.glob("*train.tfrecord*"))
    for begin, length in opened._shards._index.images:
        spoil(shard, int(begin), bytes(int(length)))
    with pytest.raises(
        errors.UserError, match=r"tfrecord-00000-of-00001 is damaged at frame \d+ of clip .*prepare it again"
    ):
        drawn(opened, "pairs")
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(errors.UserError, match="tfrecord-00000-of-00001 ends too early"):
        drawn(opened, "pairs")
    with pytest.raises(errors.UserError, match="tfrecord-00000-of-00001 is damaged"):
        tfrecord_source.RecordSource(copied)


def test_record_source_of_nothing_says_how_to_make_it(tmp_path, records):
    with pytest.raises(errors.UserError, match=r"no TFRecord shards in .*prepare"):
        tfrecord_source.RecordSource(tmp_path)
    with pytest.raises(errors.UserError, match="set speaker to a person of these clips, such as 's1'"):
        drawn(records, "poses", config=batch_types.DrawConfig(speaker="nobody"))


def test_preparing_a_damaged_clip_names_it(folder, tmp_path):
    from avct_jax.data.dataset import tfds_builder

    spoiled = shutil.copytree(folder, tmp_path / "spoiled")
    shutil.copy(folder / "s1_1.mp4", spoiled / "s1_0.mp4")
    with pytest.raises(errors.UserError, match=r"s1_0.mp4 holds 30 images, 32 are listed"):
        tfds_builder.prepare(spoiled, tmp_path)


def test_tensorflow_is_imported_by_a_pipeline_only(monkeypatch):
    names = "host_tensorflow, numpy_source, source, tfrecord_index, tfrecord_source"
    code = f"from avct_jax.data.dataset import {names}; import sys; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    host_tensorflow.load.cache_clear()
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(errors.UserError, match=r"pip install 'avct-jax\[train\]', or use the numpy source"):
        host_tensorflow.load()
