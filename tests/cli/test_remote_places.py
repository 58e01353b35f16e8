"""Trainings from and to an object store: the same files as with folders."""

import dataclasses
import pathlib

import jax
import pytest

from avct_jax import errors
from avct_jax.cli import remote_places, training_options
from avct_jax.files import remote_folder


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A folder of this machine in the place of s3://."""
    monkeypatch.setattr(remote_folder, "open_place", lambda where: _Place(tmp_path / "store" / where[5:]))
    monkeypatch.setenv("AVCT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "store"


class _Place(type(pathlib.Path())):
    def stat(self, **options):
        found = super().stat(**options)
        return dataclasses.make_dataclass("Stat", ["length", "st_mode", "st_size"])(
            found.st_size, found.st_mode, found.st_size
        )


def asked(**fields):
    return training_options.Where(pathlib.Path("s3://b/clips"), pathlib.Path("s3://b/run"), **fields)


def test_folders_of_this_machine_stay(tmp_path):
    where = training_options.Where(tmp_path / "clips", tmp_path / "run")
    with remote_places.opened(where) as here:
        assert here == where


@pytest.mark.parametrize(
    ("source", "fetched"), [("grain", ["packed/a"]), ("numpy", ["a.mp4", "manifest.json"])]
)
def test_clips_are_fetched_as_the_source_needs_and_the_run_is_sent(store, source, fetched):
    for name in ("packed/a", "a.mp4", "manifest.json", ".frames/64.bin", "tfrecords/x"):
        (store / "b/clips" / name).parent.mkdir(parents=True, exist_ok=True)
        (store / "b/clips" / name).write_text(name)
    (store / "b/run").mkdir()
    (store / "b/run/sync.safetensors").write_text("first stage")
    with remote_places.opened(asked(source=source), quiet=True) as here:
        found = [path.relative_to(here.clips).as_posix() for path in here.clips.rglob("*") if path.is_file()]
        assert sorted(found) == fetched
        assert (here.run / "sync.safetensors").read_text() == "first stage"
        (here.run / "avct").mkdir()
        (here.run / "avct/metrics.jsonl").write_text("{}")
    assert (store / "b/run/avct/metrics.jsonl").read_text() == "{}" and not here.run.exists()


def test_several_processes_are_refused(store, monkeypatch):
    (store / "b/clips/packed").mkdir(parents=True)
    (store / "b/clips/packed/a").write_text("a")
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    refused = pytest.raises(errors.UserError, match=r"--run s3://b/run: several processes .* mounted")
    with refused, remote_places.opened(asked(source="grain"), quiet=True):
        pass
