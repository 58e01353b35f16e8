"""Grain's batches are tf.data's: in any number of workers, from any step on, and part by part."""

import importlib.util
import itertools
import multiprocessing
import os
import shutil
import signal

import jax
import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.dataset import batch_types, numpy_source
from avct_jax.data.records import grain_source, image_shards, jpeg, shard_plan
from tests import made_clips

pytestmark = pytest.mark.skipif(importlib.util.find_spec("grain") is None, reason="no Grain (extra `grain`)")
CONFIG = batch_types.DrawConfig(
    image_size=40, speaker="s1", pose_frames=20, cross_identity_prob=0.5, frames=9
)
ASK = {"seed": 5, "batch_size": 4}


@pytest.fixture(scope="module", autouse=True)
def small_shards():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_plan, "CLIPS", 3)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_clips.make(tmp_path_factory.mktemp("clips"), people=4, own=4)


@pytest.fixture(scope="module")
def opened(folder):
    return grain_source.GrainSource(folder)


def same(one, other):
    return jax.tree.all(jax.tree.map(lambda a, b: a.dtype == b.dtype and np.array_equal(a, b), one, other))


def differs(one, other):
    """Largest mean difference of images; other fields must be equal."""

    def difference(a, b):
        assert a.dtype == b.dtype and a.shape == b.shape
        if a.dtype != np.uint8:
            assert np.array_equal(a, b)
            return 0.0
        return np.abs(a.astype(int) - b).mean((-3, -2, -1)).max()

    return max(jax.tree.leaves(jax.tree.map(difference, one, other)))


@pytest.mark.parametrize("kind", batch_types.KINDS)
def test_batches_are_the_numpy_sources_but_for_jpeg(opened, folder, kind):
    numpy = numpy_source.NumpySource(folder, in_memory=True)
    for held_out in (False, True):
        one, other = (x.batch(kind, CONFIG, **ASK, step=3, held_out=held_out) for x in (opened, numpy))
        assert differs(one, other) < 3  # of 255: more than quality 95 costs, less than a wrong frame
    if kind == "sync":
        assert differs(one, other._replace(frames=other.frames[:, [1, 2, 3, 4, 4]])) > 6


@pytest.mark.tf
@pytest.mark.skipif(importlib.util.find_spec("tensorflow_datasets") is None, reason="no TensorFlow")
def test_batches_are_tf_datas_bit_by_bit(opened, folder, tmp_path):
    from avct_jax.data.dataset import tfds_builder, tfrecord_source

    records = tfrecord_source.RecordSource(tfds_builder.prepare(folder, tmp_path))
    for kind in ("pairs", "sequences"):
        batches = (x.batches(kind, CONFIG, **ASK, first_step=2) for x in (opened, records))
        for one, other in itertools.islice(zip(*batches, strict=False), 2):
            assert same(one, other)


def test_parts_join_to_the_whole_batch(opened):
    whole = opened.batch("sequences", CONFIG, **ASK, step=1)
    parts = [next(opened.batches("sequences", CONFIG, **ASK, first_step=1, part=(i, 2))) for i in range(2)]
    assert same(whole, jax.tree.map(lambda *x: np.concatenate(x), *parts))


def tell_index(example, rng):
    return example._replace(poses=example.poses * 0 + rng.random())


def test_workers_vary_and_yield_the_batches_in_order_and_go_on_exactly(folder, opened):
    """Each worker opens the folder itself; position by step, and by Grain's own state."""
    plain = grain_source.GrainSource(folder, transform=tell_index)
    by_workers = grain_source.GrainSource(folder, transform=tell_index, workers=2)
    wanted = [plain.batch("poses", CONFIG, **ASK, step=step) for step in range(3, 8)]
    assert len({float(x) for batch in wanted for x in batch.poses[:, 0, 0]}) == 20
    assert same(wanted[0].audio, opened.batch("poses", CONFIG, **ASK, step=3).audio)
    found = by_workers.batches("poses", CONFIG, **ASK, first_step=3)
    assert all(same(next(found), batch) for batch in wanted[:2])  # of each worker one: both have begun
    workers = multiprocessing.active_children()
    for number in (signal.SIGINT, signal.SIGTERM):  # the training's to heed, which may need further batches
        for worker in workers:
            os.kill(worker.pid, number)
    assert len(workers) == 2 and all(same(next(found), batch) for batch in wanted[2:])
    found.close()
    state = iter(plain.dataset(grain_source.BatchOrder("poses", CONFIG, **ASK), first_step=3))
    assert same(next(state), wanted[0]) and same(next(state), wanted[1])
    kept = state.get_state()
    later = iter(plain.dataset(grain_source.BatchOrder("poses", CONFIG, **ASK), first_step=3))
    later.set_state(kept)
    assert same(next(later), wanted[2]) and same(next(state), wanted[2])


def test_worker_reopens_the_folder_and_gets_no_array(opened):
    made, given = opened.__reduce__()
    assert given == (opened.folder, None) and same(
        made(*given).batch("sync", CONFIG, **ASK, step=0), opened.batch("sync", CONFIG, **ASK, step=0)
    )


def test_damage_is_told_in_one_line(folder, tmp_path):
    copied = shutil.copytree(folder / "packed", tmp_path / "clips/packed").parent
    opened = grain_source.GrainSource(copied)
    for shard in (copied / "packed").glob("*.array_record"):
        data = bytearray(shard.read_bytes())
        data[100:-200] = bytes(len(data) - 300)
        shard.write_bytes(data)
    with pytest.raises(errors.UserError, match=r"array_record is damaged .*remove that folder") as caught:
        next(grain_source.GrainSource(copied).batches("pairs", CONFIG, **ASK))
    assert "\n" not in str(caught.value)
    for shard in (copied / "packed").glob("*.array_record"):
        shard.unlink()
    with pytest.raises(errors.UserError, match=r"array_record is missing; remove that folder"):
        opened.batch("pairs", CONFIG, **ASK, step=0)
    with pytest.raises(errors.UserError, match="set speaker to a person of these clips, such as 's1'"):
        opened.batches("poses", batch_types.DrawConfig(speaker="nobody"), **ASK)


def test_records_are_blocks_of_frames():
    images = [bytes([i]) * (i + 1) for i in range(11)]
    first, second = image_shards._records(iter(images))
    assert [image_shards._cut(first, i) for i in range(8)] == images[:8]
    assert [image_shards._cut(second, i) for i in range(3)] == images[8:]


def test_jpeg_of_another_size_is_none():
    image = made_clips.images(0, 1)[0]
    data = jpeg.encode(image)
    assert np.abs(jpeg.decode(data, 64).astype(int) - image).mean() < 3
    assert jpeg.decode(data, 32) is None and jpeg.decode(data[:50], 64) is None


def test_missing_grain_is_told_with_its_extra(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "grain", None)
    with pytest.raises(errors.UserError, match=r"pip install 'avct-jax\[grain\]', or take --source numpy"):
        grain_source.GrainSource(folder)
