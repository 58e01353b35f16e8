"""Checkpoints by Orbax: which stay, what happens to damaged ones, to a full disk, to leftovers."""

import gc
import os
import shutil
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avct_jax import errors
from avct_jax.train.core import checkpoint, sharding


def make_state(step):
    return {"step": jnp.int32(step), "w": jnp.full((16, 16), step, jnp.float32), "none": None, "empty": {}}


def fill(folder, values=(5.0, 1.0, 3.0, None, 4.0), keep=2):
    """Save steps 1, 2, ... with these judged values."""
    with checkpoint.Checkpoints(folder, keep=keep, best_metric="loss") as kept:
        for step, value in enumerate(values, 1):
            metrics = None if value is None else {"loss": value}
            kept.save(make_state(step), step, facts={"position": {"step": step}}, metrics=metrics)


def read(folder, notes=None, count=1):
    """What a new process would restore."""
    said = notes if notes is not None else []
    with checkpoint.Checkpoints(folder, keep=2, best_metric="loss", note=said.append) as kept:
        mesh = sharding.make_mesh(count)
        return kept.restore(jax.eval_shape(lambda: make_state(0)), sharding.replicated(mesh)), kept.best()


def test_restored_state_is_the_saved_one_with_what_was_said_of_it(tmp_path):
    fill(tmp_path)
    found, best = read(tmp_path, count=8)
    assert (found.step, found.facts["position"], best) == (5, {"step": 5}, 1.0)
    assert int(found.state["step"]) == 5 and found.state["none"] is None
    np.testing.assert_array_equal(found.state["w"], 5.0)
    assert len(found.state["w"].sharding.device_set) == 8


def test_newest_and_best_stay(tmp_path):
    fill(tmp_path)
    with checkpoint.Checkpoints(tmp_path, keep=2, best_metric="loss") as kept:
        assert kept.steps == [2, 4, 5]


def test_empty_folder_restores_nothing(tmp_path):
    assert read(tmp_path / "new") == (None, float("inf"))


def spoil_all(change):
    def spoil(folder):
        for path in (p for p in folder.rglob("*") if p.is_file()):
            change(path)

    return spoil


SPOILT = {
    "truncated": spoil_all(lambda path: path.write_bytes(b"")),
    "random": spoil_all(lambda path: path.write_bytes(os.urandom(100))),
    "one bit": spoil_all(lambda path: path.parent.name == "d" and flip(path)),
    "no state": lambda folder: shutil.rmtree(folder / checkpoint.STATE),
    "empty": lambda folder: [shutil.rmtree(p) if p.is_dir() else p.unlink() for p in folder.iterdir()],
}


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize("how", SPOILT)
def test_damaged_newest_falls_back_to_the_one_before_and_says_so(how, tmp_path, capfd):
    fill(tmp_path)
    SPOILT[how](tmp_path / "5")
    notes = []
    found, _ = read(tmp_path, notes)
    assert found.step == 4 and len(notes) == 1 and "checkpoint 5 is damaged" in notes[0]
    assert capfd.readouterr() == ("", "") and (tmp_path / "5.damaged").is_dir()
    # Its place is free again.
    with checkpoint.Checkpoints(tmp_path, keep=2) as kept:
        kept.save(make_state(5), 5, facts={})
    assert read(tmp_path)[0].step == 5


def test_reads_that_a_damaged_checkpoint_cut_short_warn_nobody(tmp_path, monkeypatch):
    async def plan():
        """As Orbax's reads: never awaited once another has failed."""

    plan.__qualname__ = "Store._get_array_metadatas"

    def fail(*_):
        raise KeyError(plan())

    fill(tmp_path, values=(1.0,))
    with warnings.catch_warnings(record=True) as seen, checkpoint.Checkpoints(tmp_path, keep=2) as kept:
        warnings.simplefilter("always")
        monkeypatch.setattr(kept._orbax, "load_checkpointables", fail)
        assert kept._read(1, None) == (None, "damaged")
        gc.collect()
    assert not [w for w in seen if "coroutine" in str(w.message)]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_newest_that_is_not_finite_falls_back_to_the_one_before(bad, tmp_path):
    fill(tmp_path, values=(1.0, 2.0))
    with checkpoint.Checkpoints(tmp_path, keep=2) as kept:
        state = make_state(3)
        kept.save({**state, "w": state["w"].at[3, 3].set(bad)}, 3, facts={})
    notes = []
    found, _ = read(tmp_path, notes)
    assert found.step == 2 and notes == ["checkpoint 3 is not finite; going on from step 2"]
    assert read(tmp_path)[0].step == 2 and (tmp_path / "3.damaged").is_dir()


def test_all_damaged_is_refused(tmp_path):
    fill(tmp_path, values=(1.0, 2.0))
    for step in (1, 2):
        shutil.rmtree(tmp_path / str(step) / checkpoint.STATE)
    with pytest.raises(errors.UserError, match="none of the 2 checkpoints"):
        read(tmp_path)
    assert (tmp_path / "2").is_dir()  # nothing was taken away


def test_leftovers_of_an_unfinished_save_are_cleared(tmp_path):
    fill(tmp_path)
    shutil.copytree(tmp_path / "5", tmp_path / "6.orbax-checkpoint-tmp")
    assert read(tmp_path)[0].step == 5
    assert not (tmp_path / "6.orbax-checkpoint-tmp").exists()


@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left"), ValueError("x: No space left on device [28]")]
)
def test_full_disk_is_said_in_one_line(failure, tmp_path, monkeypatch):
    fill(tmp_path)
    with checkpoint.Checkpoints(tmp_path, keep=2) as kept:

        def fail(*_, **__):
            raise RuntimeError("in a thread") from failure

        monkeypatch.setattr(kept, "_begin_save", fail)
        with pytest.raises(errors.UserError, match=r"the disk of .* is full; free space") as said:
            kept.save(make_state(6), 6, facts={})
        assert "\n" not in str(said.value) and kept.steps[-1] == 5


def test_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.UserError, match=r"cannot open checkpoints in .*--run"):
        checkpoint.Checkpoints(tmp_path / "file" / "a")


def test_save_does_not_wait_for_the_disk(tmp_path, monkeypatch):
    """The state may be given away at once: what is written is what it was."""
    with checkpoint.Checkpoints(tmp_path) as kept:
        given = jax.jit(lambda: make_state(1))()
        kept.save(given, 1, facts={})
        jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)(given)
    np.testing.assert_array_equal(read(tmp_path)[0].state["w"], 1.0)
