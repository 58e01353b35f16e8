"""Columns packed in shards give the bits that are in memory, and are packed anew only where clips changed."""

import json
import os
import shutil

import jax
import numpy as np
import pytest

from avct_jax import errors
from avct_jax.data.clips import clip, manifest
from avct_jax.data.dataset import batch_types, numpy_source
from avct_jax.data.records import column_shards, packed_index, shard_plan
from tests import made_clips

CONFIG = batch_types.DrawConfig(image_size=32, speaker="s1", pose_frames=20, cross_identity_prob=0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return made_clips.make(tmp_path_factory.mktemp("clips"), people=4, own=4)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(shard_plan, "CLIPS", 3)


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "clips", ignore=shutil.ignore_patterns(".frames", "packed"))


@pytest.fixture
def packed_names(monkeypatch):
    """The clips that are packed, as they are."""
    real, names = column_shards.pack, []
    monkeypatch.setattr(
        column_shards, "pack", lambda *x: names.append([e.name for e in x[1].entries]) or real(*x)
    )
    return names


def equal(one, other):
    return jax.tree.all(jax.tree.map(lambda a, b: a.dtype == b.dtype and np.array_equal(a, b), one, other))


def test_shards_hold_every_clip_once_in_order(folder):
    entries = manifest.read(folder).clips
    plans = shard_plan.plan(folder, entries, ".npz", [])
    assert [entry for each in plans for entry in each.entries] == list(entries)
    assert 1 < len(plans) < len(entries) and len({each.name for each in plans}) == len(plans)


@pytest.mark.parametrize("kind", batch_types.KINDS)
def test_packed_columns_give_the_batches_of_columns_in_memory(folder, kind):
    one, other = numpy_source.NumpySource(folder), numpy_source.NumpySource(folder, in_memory=True)
    for name, value in other.catalog._asdict().items():
        np.testing.assert_array_equal(getattr(one.catalog, name), value)
    ask = {"seed": 5, "batch_size": 16, "images": False}
    for step, held_out in ((0, False), (1, True)):
        batches = (x.batch(kind, CONFIG, **ask, step=step, held_out=held_out) for x in (one, other))
        assert equal(*batches)


def test_catalog_is_mapped_and_not_in_memory(folder):
    known = packed_index.open_clips(folder).catalog
    held = [name for name, x in known._asdict().items() if isinstance(x, np.ndarray) and x.base is None]
    assert held == [] and isinstance(known.opening.base, np.memmap)


def test_only_shards_whose_clips_changed_are_packed_again(copied, packed_names):
    before = packed_index.open_clips(copied)
    count = len(packed_names)
    assert packed_index.open_clips(copied).catalog.names.tolist() == before.catalog.names.tolist()
    assert len(packed_names) == count > 2
    made = clip.load(copied / "s1_2.npz")
    clip.save(copied / "s1_2.npz", made._replace(poses=made.poses + 1000))
    os.utime(copied / manifest.FILE)  # as preprocess leaves it
    files = packed_index.open_clips(copied).files(copied)
    assert len(packed_names) == count + 1 and "s1_2" in packed_names[-1]
    which = before.catalog.names.tolist().index("s1_2")
    assert np.array_equal(files.rows("poses", which, np.arange(5, 9)), made.poses[5:9] + 1000)
    old = before.files(copied)  # of arrays that are still open, and a shard that is gone
    with pytest.raises(errors.UserError, match=r"\.columns cannot be read .*remove that folder"):
        old.rows("poses", which, np.arange(3))
    assert len(list((copied / "packed").glob("*.columns"))) == count


def test_packing_goes_on_where_a_kill_left_it(copied, packed_names, monkeypatch):
    real = column_shards.pack

    def fail(folder, plan, mean_face):
        if len(packed_names) == 2:
            raise KeyboardInterrupt
        real(folder, plan, mean_face)

    monkeypatch.setattr(column_shards, "pack", fail)
    with pytest.raises(KeyboardInterrupt):
        packed_index.open_clips(copied)
    assert not (copied / "packed/index.json").exists()
    first = packed_names[:]
    monkeypatch.setattr(column_shards, "pack", real)
    told = []
    packed_index.open_clips(copied, progress=lambda done, total: told.append((done, total)))
    again = packed_names[len(first) :]
    assert not [names for names in again if names in first] and told[-1] == (len(again), len(again))


def test_copy_of_what_is_packed_is_enough(folder, tmp_path):
    wanted = packed_index.open_clips(folder)
    (tmp_path / "copy").mkdir()
    shutil.copytree(folder / "packed", tmp_path / "copy/packed")
    found = packed_index.open_clips(tmp_path / "copy")
    assert packed_index.speaker_of(tmp_path / "copy") == made_clips.SPEAKER == found.speaker
    for name in ("audio", "mel"):
        rows = (
            x.files(at).rows(name, 8, np.arange(7))
            for x, at in ((wanted, folder), (found, tmp_path / "copy"))
        )
        assert np.array_equal(*rows)


def test_damage_is_told_with_the_file(folder, copied):
    packed_index.open_clips(copied)
    shard = max((copied / "packed").glob("*.columns"), key=lambda path: path.stat().st_size)
    os.truncate(shard, 100)
    opened = packed_index.open_clips(copied)
    which = [name for name, *_ in zip(opened.where.names, strict=True)].index(shard.stem)
    with pytest.raises(errors.UserError, match=rf"{shard.name} ends too early; remove that folder"):
        opened.files(copied).rows("silent", int(np.flatnonzero(opened.where.shard == which)[0]), np.arange(3))
    next((copied / "packed").glob("index-*/begins.npy")).write_bytes(b"no array")
    with pytest.raises(errors.UserError, match=r"begins\.npy cannot be read"):
        packed_index.open_clips(copied)
    (copied / "packed/index.json").write_text(json.dumps({"version": 0}))  # of another version: made again
    assert packed_index.open_clips(copied).catalog.begins[0] == 0
