"""Processes that share a list, and outlive one another."""

import os
import time

import pytest

from avct_jax import errors
from avct_jax.data.clips import worker_pool


def work(item, shared, progress):
    """What the processes do: as the item says."""
    if item == "die":
        os.kill(os.getpid(), 9)
    if item == "fail":
        raise KeyError("odd")
    if item == "refuse":
        raise errors.UserError("full; free space")
    if item == "sleep":
        time.sleep(60)
    progress(3)
    return item + shared, os.environ["OMP_NUM_THREADS"]


def quiet(item, shared, progress):
    return item + shared


def answers(items, jobs=2):
    got = list(worker_pool.run(work, items, 100, jobs=jobs))
    return {item: answer for item, answer in got if not isinstance(answer, worker_pool.WorkProgress)}, got


def test_pool_answers_each_item_once_with_one_thread_each():
    found, got = answers([1, 2, 3, 4, 5])
    assert found == {i: (100 + i, "1") for i in range(1, 6)} and len(got) == 10
    assert (3, worker_pool.WorkProgress(3)) in got and answers([])[0] == {}


def test_process_that_dies_costs_its_item_alone():
    found, _ = answers([1, "die", "fail", "refuse", 2], jobs=1)
    assert found[1][0] == 101 and found[2][0] == 102
    assert found["die"].died and "SIGKILL" in found["die"].text
    assert found["fail"].text == "KeyError: 'odd'" and found["fail"].error is None
    assert isinstance(found["refuse"].error, errors.UserError)


class DiesOnce:
    """What ends the first process that loads it."""

    def __init__(self, mark):
        self.mark = mark

    def __setstate__(self, state):
        if not state["mark"].exists():
            state["mark"].touch()
            os.kill(os.getpid(), 9)

    def __radd__(self, item):
        return 100 + item


def test_process_that_dies_as_it_starts_costs_one_item_alone(tmp_path):
    found = dict(worker_pool.run(quiet, [1, 2, 3], DiesOnce(tmp_path / "mark"), jobs=1))
    assert found.pop(1).died and found == {2: 102, 3: 103}


def test_pool_whose_processes_all_die_gives_up():
    with pytest.raises(errors.UserError, match=r"3 processes died one after another.*--jobs"):
        answers(["die"] * 9, jobs=1)


def test_leaving_the_loop_ends_the_processes_at_once():
    begun = time.monotonic()
    running = worker_pool.run(work, ["sleep", 1], 0, jobs=2)
    assert next(running)[0] == 1
    running.close()
    assert time.monotonic() - begun < 30
