"""Two shards that are killed 20 times leave what one process does: nothing is lost or doubled."""

import json
import os
import pathlib
import subprocess
import sys

from avct_jax.data.clips import manifest
from tests.workers import killed_shards

ROOT = pathlib.Path(__file__).parent.parent.parent
ITEMS = killed_shards.ITEMS


def run(what, folder):
    """Do it; returns how many were killed."""
    words = [sys.executable, "-m", "tests.workers.killed_shards", what, str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def contents(folder):
    """Every file, hidden ones too, but for the lock."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_jobs_of_killed_shards(tmp_path):
    assert run("jobs", tmp_path) >= killed_shards.KILLS
    whole, parts = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert parts.keys() == whole.keys() and len(parts) == 2 * ITEMS  # and none half-written
    for name in whole:
        if name.endswith(".mp4"):
            assert parts[name] == whole[name]
        else:  # but for when it was made
            told, wanted = json.loads(parts[name]), json.loads(whole[name])
            assert {**told, "made": 0} == {**wanted, "made": 0}
    made = (tmp_path / "made in two").read_text().split()
    # A video whose record was not written yet is made again, into the same file; no other is.
    assert set(made) == {f"{number}.mp4" for number in range(ITEMS)}
    assert len(made) <= ITEMS + killed_shards.KILLS


def test_clips_of_killed_shards(tmp_path):
    assert run("clips", tmp_path) >= killed_shards.KILLS
    whole, parts = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert len(parts) == 2 * 2 * ITEMS + ITEMS + 1 and parts == whole
    assert len(manifest.read(tmp_path / "two").clips) == 2 * ITEMS
    made = (tmp_path / "made in two").read_text().split()
    assert len(made) == len(set(made)) <= ITEMS  # what is finished is not begun again


def test_a_run_does_not_remove_what_another_is_writing(tmp_path):
    with manifest.part_folder(tmp_path, "film") as part:
        (part / "000000.mp4").write_text("half")
        manifest.clean(tmp_path)
        assert (part / "000000.mp4").exists()
    manifest.clean(tmp_path)
    assert not list(tmp_path.iterdir())


def test_half_written_clips_go_with_their_writer(tmp_path):
    code = (
        "import os, pathlib\nfrom avct_jax.data.clips import manifest\n"
        "with manifest.part_folder(pathlib.Path(), 'film') as part:\n"
        "    (part / '000000.mp4').write_text('half'); os.kill(os.getpid(), 9)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    (tmp_path / manifest.UNFINISHED / "of_an_older_version").mkdir()
    assert len(list((tmp_path / manifest.UNFINISHED).iterdir())) == 3
    manifest.clean(tmp_path)
    assert not list(tmp_path.iterdir())
