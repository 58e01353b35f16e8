"""Every second of a run is counted once, and what a restart takes back is not called work."""

import json

import pytest

from avct_jax.train.monitoring import goodput


class Clock:
    """Tells what it is set to."""

    def __init__(self):
        self.time = 1000.0

    def __call__(self):
        return self.time

    def go(self, seconds):
        self.time += seconds


def test_inner_blocks_are_taken_out_of_outer_ones(tmp_path):
    clock = Clock()
    spent = goodput.Goodput(tmp_path, now=clock)
    clock.go(5)
    spent.go_on(None)
    for kind, seconds in (("compile", 30), ("data", 1)):
        with spent.on(kind):
            clock.go(seconds)
    clock.go(60)
    with spent.on("evaluation"):
        clock.go(3)
        with spent.on("checkpoint"):
            clock.go(1)
    found = {kind: seconds for kind, seconds in spent.as_json().items() if seconds}
    assert found == {"start": 5, "compile": 30, "data": 1, "steps": 60, "evaluation": 3, "checkpoint": 1}
    assert spent.share() == pytest.approx(0.6)


def test_steps_that_are_taken_again_are_lost(tmp_path):
    clock = Clock()
    spent = goodput.Goodput(tmp_path, now=clock)
    spent.go_on(None)
    clock.go(100)
    kept = spent.as_json()  # the checkpoint
    clock.go(40)
    spent.write(now=True)  # the last report before a kill
    clock.go(500)  # in the queue
    again = goodput.Goodput(tmp_path, now=clock)
    clock.go(10)
    again.go_on(kept)
    clock.go(50)
    again.write(now=True)
    told = json.loads((tmp_path / goodput.FILE).read_text())
    assert told["goodput"] == 0.75 and told["down_seconds"] == 500
    wanted = dict.fromkeys(goodput.KINDS, 0.0) | {"steps": 150.0, "start": 10.0, "taken_back": 40.0}
    assert told["seconds"] == wanted


def test_file_is_written_every_few_seconds_by_one_process(tmp_path):
    clock = Clock()
    goodput.Goodput(tmp_path, writes=False, now=clock).write(now=True)
    assert not list(tmp_path.iterdir())
    spent = goodput.Goodput(tmp_path, now=clock)
    for _ in range(3):
        spent.write()
        first = json.loads((tmp_path / goodput.FILE).read_text())["at"]
        clock.go(goodput.EVERY / 3)
    assert first == 1000
    clock.go(1)
    spent.write()
    assert json.loads((tmp_path / goodput.FILE).read_text())["at"] == clock.time
