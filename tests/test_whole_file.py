"""Files bear their name only when they are whole."""

import pytest

from avct_jax import errors
from avct_jax.data import whole_file


def test_failed_write_leaves_the_older_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    whole_file.write(path, b"old")
    with pytest.raises(KeyboardInterrupt), whole_file.writing(path) as temporary:
        temporary.write_bytes(b"half")
        assert temporary.suffix == ".json" and temporary.name.startswith(".")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_full_disk_or_missing_folder_is_told_in_one_line(tmp_path):
    with pytest.raises(errors.UserError, match=r"cannot write .*No such file or directory.*; free space"):
        whole_file.write(tmp_path / "gone" / "a", b"")
    with (
        pytest.raises(errors.UserError, match="No space left on device"),
        whole_file.writing(tmp_path / "a") as temporary,
    ):
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_link_stays_one_and_what_it_names_is_written(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "a.json").symlink_to(tmp_path / "real" / "b.json")
    whole_file.write(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").is_symlink() and (tmp_path / "real" / "b.json").read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["b.json"]
