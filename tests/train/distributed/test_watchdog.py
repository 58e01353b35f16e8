"""A training that hangs ends with a code of its own, and its stacks say where it hung."""

import re
import subprocess
import sys
import time

import pytest

from avct_jax.train.distributed import watchdog
from tests import toy_stage


@pytest.fixture
def watched(tmp_path):
    """A dog whose clock is a list's last number, and that notes its exit codes; nothing runs by itself."""
    clock, codes = [0.0], []
    with watchdog.Watchdog(tmp_path, 1000.0, leave=codes.append, now=lambda: clock[-1]) as dog:
        yield dog, clock, codes


def after(watched, seconds):
    """Codes when so many seconds have gone by."""
    dog, clock, codes = watched
    clock.append(clock[-1] + seconds)
    dog.check()
    return codes


def test_step_that_does_not_end_ends_the_process(watched):
    watched[0].stepped()
    assert after(watched, 990) == []
    watched[0].stepped()
    assert after(watched, 990) == []
    assert after(watched, 20) == [watchdog.HUNG]


def test_first_step_and_judging_have_ten_times_as_long(watched):
    dog = watched[0]
    assert after(watched, 9990) == []
    dog.stepped()
    with dog.patient():
        dog.stepped()  # as a save's waiting for steps says
        with dog.patient():
            assert after(watched, 9990) == []
        assert after(watched, 9990) == []
    assert after(watched, 990) == []
    assert after(watched, 20) == [watchdog.HUNG]


def test_process_0_goes_last_and_one_that_is_alone_at_once(tmp_path, monkeypatch):
    slept = []
    monkeypatch.setattr(watchdog.time, "sleep", slept.append)
    for process, processes in ((0, 1), (0, 2), (1, 2)):
        options = {"process": process, "processes": processes, "leave": [].append, "now": lambda: 0.0}
        with watchdog.Watchdog(tmp_path, 1000.0, **options) as dog:
            dog._now = lambda: 1e6
            dog.check()
    assert slept[0] == 0 and slept[1] > slept[2] > 1


def test_process_that_hangs_leaves_its_stacks(tmp_path):
    code = f"""
import pathlib, time
from avct_jax.train.distributed import watchdog
def stuck_in_its_data():
    time.sleep(600)
with watchdog.Watchdog(pathlib.Path({str(tmp_path)!r}), 0.2, process=3) as dog:
    dog.stepped()
    stuck_in_its_data()
"""
    began = time.monotonic()
    run = subprocess.run([sys.executable, "-c", code], cwd=toy_stage.HERE, capture_output=True, text=True)
    assert run.returncode == watchdog.HUNG == 86 and time.monotonic() - began < 300
    found = (tmp_path / watchdog.FOLDER / "process-3.txt").read_text()
    assert "in stuck_in_its_data" in found and found.count("hread 0x") >= 2
    assert re.search(
        r"no step has ended for \d+ s \(--watchdog 0\.2\); the stacks are in .*process-3", run.stderr
    )


def test_training_that_did_not_hang_leaves_no_folder(tmp_path):
    with watchdog.Watchdog(tmp_path, 1000.0) as dog:
        dog.stepped()
    with watchdog.Watchdog(tmp_path, 0.0) as dog:
        dog.stepped()
        dog.check()
    assert not list(tmp_path.iterdir())
