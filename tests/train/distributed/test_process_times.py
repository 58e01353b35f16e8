"""Slow processes are named, with what is slow of them."""

import json

import numpy as np

from avct_jax.train.distributed import process_times

HOSTS = ["n1", "n1", "n2", "n2"]


def times(**changes):
    """Of four processes that work 0.1 s of a second's step; `row_column=seconds` changes one."""
    rows = np.tile([1.0, 0.1, 0.02, 0.005], (4, 1))
    for name, value in changes.items():
        process, column = name.removeprefix("p").split("_")
        rows[int(process), process_times.ProcessTime._fields.index(column)] = value
    return rows


def test_equal_processes_are_not_named():
    assert process_times.slow(times(p1_own=0.14, p3_product=0.006), HOSTS) == {}


def test_process_that_waits_for_examples_is_named():
    (line,) = process_times.slow(times(p2_own=0.9, p2_data=0.8), HOSTS).values()
    assert line == "process 2 on n2 waits for its examples: 0.9 s a step, others 0.1"


def test_process_with_a_busy_processor_or_a_slow_device_is_named():
    (line,) = process_times.slow(times(p0_own=0.5, p0_product=0.01), HOSTS).values()
    assert line == (
        "process 0 on n1 is busy on its processor: 0.5 s a step, others 0.1; "
        "has a slow device: 0.01 s for a product, others 0.005"
    )


def test_of_two_processes_the_slower_is_named():
    assert [*process_times.slow(times(p1_own=0.7)[:2], HOSTS)] == [1]


def test_process_is_named_when_it_becomes_slow(tmp_path, monkeypatch):
    found = process_times.ProcessTimes(tmp_path)
    found.hosts = HOSTS
    said, own = [], process_times.ProcessTime(1.0, 0.1, 0.02, 0.005)
    gather = lambda rows: lambda _: rows
    for slow in ({}, {"p1_own": 0.9}, {"p1_own": 0.8}, {}, {"p1_own": 0.7}):
        monkeypatch.setattr(process_times.multihost_utils, "process_allgather", gather(times(**slow)))
        said.append(len(found.report(25, lambda product: own)))
    assert said == [0, 1, 0, 0, 1]


def test_times_are_written_down(tmp_path):
    found = process_times.ProcessTimes(tmp_path)
    assert found.report(25, lambda product: process_times.ProcessTime(1.0, 0.5, 0.25, product)) == []
    row = json.loads((tmp_path / process_times.FILE).read_text())
    assert row.pop("product")[0] > 0
    assert row == {"after": 25, "step": [1.0], "own": [0.5], "data": [0.25]}
