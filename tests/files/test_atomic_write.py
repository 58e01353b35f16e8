"""Files bear their name only when they are whole."""

import os
import pathlib
import subprocess
import sys
import time

import pytest

from avct_jax import errors
from avct_jax.data.clips import manifest
from avct_jax.files import atomic_write


def test_failed_write_leaves_the_older_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    atomic_write.write(path, b"old")
    with pytest.raises(KeyboardInterrupt), atomic_write.writing(path) as temporary:
        temporary.write_bytes(b"half")
        assert temporary.suffix == ".json" and temporary.name.startswith(".")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_full_disk_or_missing_folder_is_told_in_one_line(tmp_path):
    with pytest.raises(errors.UserError, match=r"cannot write .*No such file or directory.*; free space"):
        atomic_write.write(tmp_path / "gone" / "a", b"")
    with (
        pytest.raises(errors.UserError, match="No space left on device"),
        atomic_write.writing(tmp_path / "a") as temporary,
    ):
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_link_stays_one_and_what_it_names_is_written(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "a.json").symlink_to(tmp_path / "real" / "b.json")
    atomic_write.write(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").is_symlink() and (tmp_path / "real" / "b.json").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["b.json"]


def test_what_dead_writers_left_is_removed_and_what_living_ones_hold_stays(tmp_path):
    left, other = tmp_path / f"{atomic_write.PREFIX}{atomic_write.token()}.mp4", tmp_path / ".avct-notes"
    for path in (left, other):
        path.write_bytes(b"half")
    code = (
        "import pathlib, sys\nfrom avct_jax.files import atomic_write\n"
        "with atomic_write.writing(sys.argv[1]) as path:\n"
        "    path.write_bytes(b'half'); print(path.name, flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "a.json")]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as living:
        name = living.stdout.readline().strip()
        assert not left.exists()
        atomic_write.write(tmp_path / "b.json", b"")
        assert {path.name for path in tmp_path.iterdir()} == {".avct-notes", name, "b.json"}
        living.kill()
    assert (tmp_path / name).exists()
    atomic_write.write(tmp_path / "b.json", b"")
    assert {path.name for path in tmp_path.iterdir()} == {".avct-notes", "b.json"}


def test_a_folder_that_another_process_removes_has_nothing_left_in_it(tmp_path, monkeypatch):
    def gone(*_):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(pathlib.Path, "glob", gone)  # as before Python 3.13
    atomic_write.remove_half_written(tmp_path)
    manifest.clean(tmp_path)
    assert os.listdir(tmp_path) == []


def test_what_another_machine_writes_stays_for_a_day(tmp_path):
    path = tmp_path / f"{atomic_write.PREFIX}0f23456789ab.mp4"
    path.write_bytes(b"half")
    age = lambda seconds: os.utime(path, (time.time() - seconds,) * 2)
    for seconds in (0, 80_000):
        age(seconds)
        atomic_write.remove_half_written(tmp_path)
        assert path.exists()
    age(90_000)
    atomic_write.remove_half_written(tmp_path)
    assert not path.exists()


def test_a_file_that_another_process_removes_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    lock, others = atomic_write.fcntl.flock, [1, 1]

    def late(file, how):
        if how == atomic_write.fcntl.LOCK_EX and others:  # a writer's, which comes too late twice
            others.pop()
            atomic_write.remove_half_written(tmp_path)
        lock(file, how)

    monkeypatch.setattr(atomic_write.fcntl, "flock", late)
    atomic_write.write(tmp_path / "a.json", b"new")
    assert not others and [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"new"


def test_a_file_is_held_until_it_bears_its_name(tmp_path, monkeypatch):
    flush = os.fsync

    def slow(number):
        atomic_write.remove_half_written(tmp_path)
        flush(number)

    monkeypatch.setattr(os, "fsync", slow)
    atomic_write.write(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["n" * 250 + ".json", "ü" * 120 + ".json", ".hidden", "s." + "x" * 250])
def test_names_may_be_as_long_as_the_disk_takes(name, tmp_path):
    atomic_write.write(tmp_path / name, b"x")
    assert [path.name for path in tmp_path.iterdir()] == [name]
