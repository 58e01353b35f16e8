"""Programs that are kept: the same numbers, traced once for all processes."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax import compile_cache
from avct_jax.files import atomic_write
from avct_jax.inference import kept_program

calls = []


def traced(x, y):
    """A function that tells when it is traced."""
    calls.append(x["a"].shape)
    return x["a"] @ y + x["b"][None]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where programs are kept."""
    monkeypatch.setattr(compile_cache, "_in_use", tmp_path)
    calls.clear()
    return tmp_path


def given(count):
    x = np.arange(6.0 * count, dtype=np.float32).reshape(-1, 3)
    return {"a": x, "b": jnp.ones((2,), jnp.float32)}, np.ones((3, 2), np.float32)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_program_is_traced_once_for_all_processes(folder):
    wanted = traced(*given(2))
    calls.clear()
    for _ in range(2):  # each as a new process would
        np.testing.assert_array_equal(kept_program.KeptProgram(traced, "product")(*given(2)), wanted)
    assert calls == [(4, 3)] and len(files(folder)) == 1 and files(folder)[0].startswith("product-")


def test_other_shapes_and_settings_are_other_programs(folder, monkeypatch):
    program = kept_program.KeptProgram(traced, "product")
    for count in (1, 2, 1):
        program(*given(count))
    kept_program.KeptProgram(traced, "product", about=3)(*given(1))
    monkeypatch.setattr(kept_program, "_sources", lambda: "changed")
    kept_program.KeptProgram(traced, "product")(*given(1))
    assert calls == [(2, 3), (4, 3), (2, 3), (2, 3)] and len(files(folder)) == 4


def test_a_program_is_begun_in_a_thread_and_its_shapes_known(folder):
    program = kept_program.KeptProgram(traced, "product")
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), given(2))
    assert program.shapes(*shapes) == jax.ShapeDtypeStruct((4, 2), jnp.float32)
    program.begin(*shapes)
    assert np.asarray(program(*given(2)))[0].tolist() == [4, 4] and calls == [(4, 3)]


@pytest.mark.parametrize(
    "spoil",
    [lambda _: b"", lambda _: b"no program", lambda kept: kept[:-9] + bytes([kept[-9] ^ 1]) + kept[-8:]],
)
def test_a_damaged_program_is_made_anew(spoil, folder):
    wanted = np.asarray(kept_program.KeptProgram(traced, "product")(*given(1)))
    (path,) = folder.iterdir()
    path.write_bytes(content := spoil(path.read_bytes()))
    for _ in range(2):
        np.testing.assert_array_equal(kept_program.KeptProgram(traced, "product")(*given(1)), wanted)
    assert path.read_bytes() != content and len(calls) == 2


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(compile_cache, "_in_use", None)
    calls.clear()
    program = kept_program.KeptProgram(traced, "product")
    program.begin(*given(1))
    assert program(*given(1)).shape == (2, 2) and program.shapes(*given(1)).shape == (2, 2)
    assert not files(tmp_path)


def test_a_folder_that_cannot_be_written_is_done_without(folder, monkeypatch):
    def full(path, content):
        raise kept_program.errors.UserError("no space")

    monkeypatch.setattr(atomic_write, "write", full)
    assert kept_program.KeptProgram(traced, "product")(*given(1)).shape == (2, 2) and not files(folder)


def test_what_fails_says_so(folder):
    program = kept_program.KeptProgram(lambda x: x.reshape(7), "seven")
    with pytest.raises(TypeError, match="reshape"):
        program(np.zeros(3, np.float32))


def test_all_source_that_is_traced_counts(monkeypatch):
    root = pathlib.Path(compile_cache.__file__).parent
    found = {path for pattern in kept_program.SOURCES for path in root.glob(pattern)}
    names = {str(path.relative_to(root)) for path in found}
    assert {"face_topology.py", "models/mesh/face_mesh.py", "layers/geometry/mesh_warp.py"} <= names
    assert "inference/mesh_inference.py" in names and "layers/barrier.py" in names


def test_options_of_the_compiler_are_known_to_it_and_change_no_numbers(folder):
    """Were they unknown to a new version of XLA, programs would be compiled twice, for nothing."""
    x, y = np.float32([[0.1, 2, 3], [4, 5, 6]]), np.float32([0.3, 0.2, 0.1])
    smooth = lambda x, y: jnp.exp(-((x - y[None]) ** 2)).sum(1)
    with_options = jax.jit(smooth, compiler_options=kept_program.QUICKLY["cpu"])
    np.testing.assert_allclose(with_options(x, y), smooth(x, y), rtol=1e-6)


def test_an_unknown_option_of_the_compiler_is_done_without(folder, monkeypatch):
    monkeypatch.setitem(kept_program.QUICKLY, "cpu", {"xla_that_is_gone": True})
    program = kept_program.KeptProgram(traced, "product")
    np.testing.assert_array_equal(program(*given(2)), traced(*given(2)))
    assert len(files(folder)) == 1
    assert calls == [(4, 3), (4, 3)]  # by it and by this test, not anew
