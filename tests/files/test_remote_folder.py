"""Folders of object stores: fetched, mirrored, and told where they are not there."""

import importlib.util
import os
import sys
import threading
import urllib.request

import fsspec
import pytest
from fsspec.implementations import memory

from avct_jax import errors
from avct_jax.files import remote_folder


class MemoryS3(memory.MemoryFileSystem):
    """fsspec's memory in the place of S3."""

    protocol = "s3"
    store, pseudo_dirs = {}, [""]

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(os.fspath(path).replace("s3://", "memory://"))


def forgetting(where):
    """Yield it, with no file system known of before or after."""
    from etils.epath import backend

    known = type(backend.fsspec_backend)._get_filesystem
    known.cache_clear()
    yield where
    known.cache_clear()


@pytest.fixture
def in_memory(monkeypatch):
    known = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True if name == "s3fs" else known(name))
    monkeypatch.setenv("EPATH_USE_TF", "false")
    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "s3", MemoryS3)
    MemoryS3.store.clear()
    MemoryS3.pseudo_dirs[:] = [""]
    yield from forgetting("s3://bucket/runs")


@pytest.fixture
def by_moto(monkeypatch):
    """A server of S3 on this machine."""
    missing = [name for name in ("moto", "s3fs", "flask") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"no local S3 server: pip install 'moto[server]' s3fs (missing: {', '.join(missing)})")
    from moto.server import ThreadedMotoServer

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("EPATH_USE_TF", "false")
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    reset = urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset).close()  # what an earlier server held is the next one's, too
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    fsspec.filesystem("s3").mkdir("bucket")
    yield from forgetting("s3://bucket/runs")
    server.stop()


@pytest.fixture(params=["in_memory", "by_moto"])
def where(request):
    return request.getfixturevalue(request.param)


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_mirror_sends_what_changes_and_begins_as_it_ended(where):
    with remote_folder.mirrored(where, every=3600.0) as folder:
        assert content(folder) == {}
        (folder / "stage/checkpoints/4").mkdir(parents=True)
        (folder / "stage/checkpoints/4/state").write_bytes(b"four")
        (folder / "stage/checkpoints/8.orbax-checkpoint-tmp").mkdir()
        (folder / "stage/checkpoints/8.orbax-checkpoint-tmp/state").write_bytes(b"half")
        (folder / "metrics.jsonl").write_bytes(b"1\n")
    assert not folder.exists()
    with pytest.raises(KeyboardInterrupt), remote_folder.mirrored(where, every=3600.0) as folder:
        assert content(folder) == {"stage/checkpoints/4/state": b"four", "metrics.jsonl": b"1\n"}
        (folder / "stage/checkpoints/4/state").unlink()
        (folder / "stage/checkpoints/12").mkdir()
        (folder / "stage/checkpoints/12/state").write_bytes(b"twelve")
        (folder / "metrics.jsonl").write_bytes(b"1\n2\n")
        raise KeyboardInterrupt
    wanted = {"stage/checkpoints/12/state": b"twelve", "metrics.jsonl": b"1\n2\n"}
    with remote_folder.mirrored(where, send=False) as folder:
        assert content(folder) == wanted
        (folder / "other").write_bytes(b"not sent")
    with remote_folder.mirrored(where, send=False) as folder:
        assert content(folder) == wanted


def test_mirror_sends_while_the_work_goes_on(in_memory):
    sent = threading.Event()
    with remote_folder.mirrored(in_memory, every=0.01) as folder:
        (folder / "a").write_bytes(b"a")
        while not sent.wait(0.01):
            if remote_folder._sizes(remote_folder.open_place(in_memory)) == {"a": 1}:
                sent.set()


def test_fetch_takes_what_is_wanted_and_keeps_what_is_there(where, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_folder, "SMALL", 3)
    place, copied = remote_folder.open_place(where), []
    for name, data in (("packed/a.columns", b"long enough"), ("packed/i", b"ab"), ("b.mp4", b"video")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    real = remote_folder._fetch_file
    monkeypatch.setattr(remote_folder, "_fetch_file", lambda *x: copied.append(x[1].name) or real(*x))
    for wanted in (["a.columns", "i"], ["i"]):
        copied.clear()
        remote_folder.fetch(where, tmp_path, wanted=lambda name: name.startswith("packed/"))
        assert sorted(copied) == wanted
    assert content(tmp_path) == {"packed/a.columns": b"long enough", "packed/i": b"ab"}
    with pytest.raises(errors.UserError, match=r"s3://bucket/runs/none holds nothing that is needed"):
        remote_folder.fetch(f"{where}/none", tmp_path)


def test_addresses_are_told_from_paths():
    assert remote_folder.address("s3:/bucket/clips") == "s3://bucket/clips"
    assert remote_folder.address("gs://bucket/runs/") == "gs://bucket/runs"
    assert remote_folder.address("runs/s3") is None and remote_folder.address("/a/b") is None


def test_missing_reader_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for scheme, package in (("gs", "gcsfs"), ("s3", "s3fs")):
        with pytest.raises(
            errors.UserError, match=f"{scheme}://b/c needs {package}: pip install .*{package} alone"
        ):
            remote_folder.open_place(f"{scheme}://b/c")


def test_store_that_fails_is_told_in_one_line(in_memory, tmp_path, monkeypatch):
    monkeypatch.setattr(MemoryS3, "ls", lambda *_, **__: (_ for _ in ()).throw(PermissionError("no\nentry")))
    (remote_folder.open_place(in_memory) / "a").parent.mkdir(parents=True)
    with pytest.raises(errors.UserError, match=r"runs cannot be read \(.*\); check the address") as caught:
        remote_folder.fetch(in_memory, tmp_path)
    assert "\n" not in str(caught.value)
