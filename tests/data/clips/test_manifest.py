"""The manifest of a folder of clips, and the records it is written of: as older folders have them."""

import json
import math

import pytest

from avct_jax import errors
from avct_jax.data.clips import clip, manifest

# As version 2 has had it from its beginning.
CLIP = {
    "name": "a", "person": "p", "frames": 75, "audio": True, "source": "a.mpg", "begin_s": 1.0, "end_s": 4.0,
    "video_bytes": 7, "offset": None, "in_sync": False,
}  # fmt: skip


def write(folder, names=("b", "a")):
    entries = [manifest.Entry(name, "p", 75, True, "a.mpg", 1.0, 4.0, 7) for name in names]
    record = manifest.Record("a", "a.mpg", 9, {"audio": True}, tuple(entries), ())
    return record, manifest.write(folder, [record], speaker="", mean_face={})


def test_files_are_those_of_version_2(tmp_path):
    record, made = write(tmp_path)
    listed = json.loads((tmp_path / "manifest.json").read_text())
    held_out = clip.held_out("a", "p", speaker="")
    assert listed["clips"][0] == {**CLIP, "split": "test" if held_out else "train"}
    assert (listed["version"], listed["speaker"]) == (2, None) and listed["clips"][1]["name"] == "b"
    manifest.write_record(tmp_path, record)
    written = json.loads((tmp_path / ".done/a.json").read_text())
    assert written["clips"][1] == CLIP and set(written) == set(manifest.Record._fields)
    assert manifest.read(tmp_path)._replace(clips=()) == made._replace(clips=())
    assert all(math.isnan(entry.offset) for entry in manifest.read(tmp_path).clips)


def test_split_is_held_out_and_comes_back(tmp_path):
    write(tmp_path)
    listed = json.loads((tmp_path / "manifest.json").read_text())
    for entry, split in zip(listed["clips"], ("test", "train"), strict=True):
        entry["split"] = split
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    found = [(entry.held_out, entry.split) for entry in manifest.read(tmp_path).clips]
    assert found == [(True, "test"), (False, "train")]


def test_manifest_without_clips_is_refused_where_some_are_needed(tmp_path):
    write(tmp_path, ())
    assert manifest.read(tmp_path).clips == ()
    with pytest.raises(errors.UserError, match="lists no clip; give `avct preprocess` other videos"):
        manifest.read(tmp_path, least=1)
