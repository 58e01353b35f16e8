"""Parts of the work, done anywhere and in any order, make what one call makes."""

import importlib.util
import shutil

import pytest

from avct_jax import errors
from avct_jax.data.records import column_shards, image_shards, packing, shard_plan
from avct_jax.workers import engine, shard
from tests import made_clips

pytestmark = pytest.mark.skipif(importlib.util.find_spec("grain") is None, reason="no Grain (extra `grain`)")


class Here(engine.Engine):
    """Works in this process."""

    def pool(self):
        from avct_jax.data.clips import worker_pool

        def run(work, items, shared, **options):
            for item in items:
                yield item, worker_pool.answer(work, item, shared, lambda amount: None)

        return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(shard_plan, "CLIPS", 3)
    (tmp_path / "a").mkdir()
    return made_clips.make(tmp_path / "a", people=3, own=3)


def files(folder):
    """Shards by name; not the arrays, whose folder's name is drawn."""
    kinds = (column_shards.DATA, image_shards.SUFFIX)
    return {path.name: path.read_bytes() for kind in kinds for path in (folder / "packed").glob(f"*{kind}")}


def test_parts_make_what_the_whole_makes(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "b")
    packing.pack(folder, by=Here())
    told = [packing.pack(other, part=shard.Shard(number, 2), by=Here()) for number in (2, 1)]
    assert files(other) == files(folder) and len(files(folder)) == sum(state.done for state in told) > 4
    assert not (other / "packed/index.json").exists()
    last = []
    packing.pack(other, by=Here(), show=last.append)
    assert last == [(len(files(folder)),) * 2] and (other / "packed/images.json").exists()


def test_columns_alone_need_no_images(folder):
    packing.pack(folder, images=False, by=Here())
    assert not list((folder / "packed").glob("*.array_record")) and (folder / "packed/index.json").exists()


def test_damaged_clip_ends_it_with_its_name(folder):
    shutil.copy(folder / "s1_1.mp4", folder / "s1_0.mp4")
    with pytest.raises(errors.UserError, match=r"s1_0.mp4 holds \d+ images"):
        packing.pack(folder, by=Here())
