"""Bars on terminals, plain lines at intervals elsewhere, nothing when quiet."""

import subprocess
import sys

import pytest

from avct_jax import progress
from tests import pseudo_terminal


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""
    now = [100.0]
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 10.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_lines_come_at_intervals_with_the_rate_and_what_is_left(clock, capsys):
    with progress.Progress("looking", unit="frames") as shown:
        for done in range(0, 101, 10):
            shown.show(done, 400, "drawing")
            clock[0] += 4
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "avct: 30 of 400 frames, 2.5 frames/s, 0:02:28 left, drawing",
        "avct: 60 of 400 frames, 2.5 frames/s, 0:02:16 left, drawing",
        "avct: 90 of 400 frames, 2.5 frames/s, 0:02:04 left, drawing",
    ]


def test_what_was_done_before_makes_nothing_faster_and_slow_things_take_seconds_each(clock, capsys):
    with progress.Progress(unit="videos") as shown:
        shown.show(50, 60)
        for done in (50, 51):
            clock[0] += 30
            shown.show(done, 60)
        for done in (0, 30):  # counting begins anew
            clock[0] += 30
            shown.show(done, 60, "the next ones")
    assert capsys.readouterr().err.splitlines() == [
        "avct: 50 of 60 videos",
        "avct: 51 of 60 videos, 60 s each, 0:09:00 left",
        "avct: 0 of 60 videos, the next ones",
        "avct: 30 of 60 videos, 1 videos/s, 0:00:30 left, the next ones",
    ]


def test_quiet_shows_what_must_be_said_alone(clock, monkeypatch, capsys):
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        with progress.Progress(unit="videos", quiet=True) as shown:
            shown.show(1, 2)
            clock[0] += 99
            shown.show(2, 2)
            shown.say("[stopped]")
    assert capsys.readouterr().err == "[stopped]\n[stopped]\n"


def test_a_bar_shows_names_with_brackets_and_lines_above_it(clock, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    with progress.Progress("looking", unit="videos", name="[all]") as shown:
        shown.show(0, 3, "a [b]")
        clock[0] += 2
        shown.show(1, 3, "a [b]")
        shown.say("a line [c]")
    said = capsys.readouterr().err
    assert "1/3 videos  2 s each, 0:00:04 left  a [b]" in said
    assert "[all]" in said and "a line [c]\n" in said


def test_tenths_are_told(capsys):
    show = progress.tenths("images of {done} of {total} clips are decoded")
    for done in range(1, 101):
        show(done, 100)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10 and lines[-1] == "avct: images of 100 of 100 clips are decoded"


@pseudo_terminal.needed
def test_an_interruption_leaves_no_half_line_and_shows_the_cursor_again():
    code = """
from avct_jax import progress
try:
    with progress.Progress("looking", unit="frames") as bar:
        bar.show(3, 10, "drawing")
        raise KeyboardInterrupt
except KeyboardInterrupt:
    progress.note("interrupted")
"""
    said = pseudo_terminal.shown([sys.executable, "-c", code], "stderr", COLUMNS="100", NO_COLOR="1").decode()
    assert "3/10 frames" in said and said.endswith("avct: interrupted\r\n")
    last = said.removesuffix("avct: interrupted\r\n")
    assert last.endswith("\x1b[2K") and last.rindex("\x1b[?25h") > last.rindex("\x1b[?25l")


def test_rich_is_for_terminals_alone():
    code = """
import sys
from avct_jax import progress
with progress.Progress(unit="frames") as bar:
    bar.show(1, 2)
print("rich" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")
